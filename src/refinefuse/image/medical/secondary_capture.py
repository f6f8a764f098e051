"""Fused volumes as derived DICOM: a multi-frame secondary capture that records what it was made from.

Of DICOM's objects, only multi-frame secondary captures hold values that no scanner acquired, gray or RGB, together
with position, orientation and frame of reference (as functional groups). Single-frame secondary captures have no
geometry; CT, MR and PET objects would claim to be acquired; parametric maps hold no color.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refinefuse._version import __version__
from refinefuse.atomic import replace_when_done
from refinefuse.errors import InputError
from refinefuse.image.medical.elements import quiet_pydicom, text, uid
from refinefuse.image.medical.identity import add_identity
from refinefuse.image.medical.volume import NAMES, NOT_A_DEVICE, Volume, load

NAME = "fused.dcm"
_GRAY = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture Image Storage
_COLOR = "1.2.840.10008.5.1.4.1.1.7.4"  # Multi-frame True Color Secondary Capture Image Storage
_SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
_PROCESSING = ("109102", "DCM", "Processing Equipment")
_RIGHT_ANGLE = 1e-4  # cosine of the angle between rows and columns
_MAX_BYTES = 2**32 - 2  # of pixels in one DICOM file


class DerivationText(NamedTuple):
    """Provenance of a result, in texts of at most 900 characters.

    Attributes:
        summary: for people, in DerivationDescription.
        record: for programs, in Contributing Equipment.
    """

    summary: str = ""
    record: str = ""


def check_series_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that a folder can be written to: it must be empty or contain only an older result.

    Raises:
        InputError: if it is not; the message names the conflict.
    """
    if folder.is_file() or not folder.parent.is_dir():
        raise InputError(f"Cannot write the folder '{folder}': it is a file, or '{folder.parent}' does not exist.")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    existing = [name for name in names if not name.startswith(".refinefuse-")]  # of a run that was killed
    ours = all(name.startswith("fused") and name.endswith(".dcm") for name in existing)
    if existing and not (ours and overwrite):
        raise InputError(
            f"Cannot write to the folder '{folder}': it is not empty ({len(existing)} entries, '{existing[0]}').\n"
            "Choose a new folder" + (", or allow the fused volume in it to be replaced (`overwrite`)." if ours else ".")
        )


def write_secondary_capture(
    folder: Path,
    images: NDArray[Any],
    affine: NDArray[Any],
    sources: Sequence[Volume],
    *,
    anonymize: bool,
    provenance: DerivationText = DerivationText(),  # noqa: B008  # immutable
) -> None:
    """Write a volume as one multi-frame file in a folder, atomically.

    Patient and study are those of the last source that is DICOM, the series and its instance are new. Their UIDs
    follow from the content, so that the same fusion gets the same ones. With `anonymize`, nothing of a source but
    its geometry is kept, and every UID is random.

    Source: DICOM PS3.3 A.8.4 and A.8.5 (multi-frame secondary captures), C.7.6.16 (functional groups), C.12.4
    (references); PS3.16, codes 121322 and 109102.

    Args:
        folder: checked by `check_series_folder`.
        images: (h, w, slices) float32 in [0, 1], or (h, w, slices, 3) uint8, RGB.
        affine: (4, 4), from (row, column, slice) to RAS+ millimeters.
        sources: the volumes that were fused; the last gives patient and study.
        anonymize: leave patient, study and references out.
        provenance: what made the result.

    Raises:
        InputError: rows and columns are not at right angles, the volume is too large for one file, or the folder
            cannot be written to.
    """
    _check_form(images, affine)
    with quiet_pydicom():  # the sources' elements are copied as they are
        _write(folder, _dataset(images, affine, sources, anonymize, provenance))


def _write(folder: Path, dataset: Any) -> None:
    try:
        folder.mkdir(exist_ok=True)
        with replace_when_done(folder / NAME) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
        for other in folder.glob("fused*.dcm"):  # of an older version, a file per slice
            if other.name != NAME:
                other.unlink()
    except OSError as error:
        raise InputError(
            f"Cannot write the folder '{folder}': {error.strerror}.\nCheck permissions and space."
        ) from None
    finally:
        with suppress(OSError):  # it is not empty, but for a new one in which nothing could be written
            folder.rmdir()


def _check_form(images: NDArray[Any], affine: NDArray[Any]) -> None:
    rows, columns = affine[:3, 0], affine[:3, 1]
    cosine = abs(rows @ columns) / (np.linalg.norm(rows) * np.linalg.norm(columns))
    if cosine > _RIGHT_ANGLE:
        raise InputError(
            f"DICOM requires rows and columns at right angles.\n  got: {np.degrees(np.arccos(cosine)):.2f} degrees\n"
            "Write .nii.gz instead."
        )
    size = images.size * (1 if images.ndim == 4 else 2)
    if size > _MAX_BYTES:
        raise InputError(
            f"The fused volume is too large for a DICOM file.\n  expected: at most {_MAX_BYTES:,} bytes\n"
            f"  got: {size:,}\nWrite .nii.gz instead."
        )


def _dataset(
    images: NDArray[Any], affine: NDArray[Any], sources: Sequence[Volume], anonymize: bool, provenance: DerivationText
) -> Any:
    pydicom = load("pydicom")
    patients = [source.headers[0] for source in sources if source.headers]
    digest = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    series = [text(header, "SeriesInstanceUID") for header in patients]
    entropy = None if anonymize else [digest, str(affine.tolist()), __version__, *provenance, *series]
    dataset = pydicom.Dataset()
    add_identity(dataset, patients, entropy, anonymize=anonymize)
    dataset.SOPClassUID = _COLOR if images.ndim == 4 else _GRAY
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _add_description(dataset, sources, patients, provenance)
    _add_pixels(dataset, images)
    _add_geometry(dataset, images.shape, affine)
    if not anonymize:
        _add_references(dataset, sources)
    return dataset


def _add_description(dataset: Any, sources: Sequence[Volume], patients: list[Any], provenance: DerivationText) -> None:
    """Add the image type and the provenance."""
    kinds = " + ".join(NAMES[source.modality] for source in sources)
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.SeriesNumber, dataset.InstanceNumber = 9000, 1
    dataset.SeriesDescription = f"Fused {kinds}, not for diagnosis"[:64]
    dataset.ImageType = ["DERIVED", "SECONDARY", "FUSED"]
    dataset.DerivationDescription = " ".join(filter(None, (f"Fusion of {kinds}.", provenance.summary, NOT_A_DEVICE)))
    dataset.ImageComments = NOT_A_DEVICE
    dataset.Manufacturer = dataset.ManufacturerModelName = "RefineFuse"
    dataset.SoftwareVersions = __version__
    equipment = _item(
        PurposeOfReferenceCodeSequence=[_code(*_PROCESSING)],
        Manufacturer="RefineFuse",
        ManufacturerModelName="RefineFuse",
        SoftwareVersions=__version__,
        ContributionDescription=f"Image fusion. {provenance.record}".strip(),
    )
    dataset.ContributingEquipmentSequence = [equipment]
    # The attribute is required here, and nobody has looked at the pixels: NO only if all sources were declared so.
    burned_in = [text(header, "BurnedInAnnotation") for header in patients]
    dataset.BurnedInAnnotation = "NO" if burned_in and set(burned_in) == {"NO"} else "YES"
    if any(text(header, "LossyImageCompression") == "01" for header in patients):
        dataset.LossyImageCompression = "01"


def _add_pixels(dataset: Any, images: NDArray[Any]) -> None:
    color = images.ndim == 4
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = images.shape[:3]
    dataset.FrameIncrementPointer = [0x52009230]  # the position of each frame is in its functional groups
    dataset.SamplesPerPixel = 3 if color else 1
    dataset.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    bits = 8 if color else 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0
    if color:
        dataset.PlanarConfiguration = 0
    else:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "US"
    frames = np.empty((images.shape[2], *images.shape[:2], *images.shape[3:]), np.uint8 if color else "<u2")
    for k in range(images.shape[2]):
        image = images[:, :, k]
        frames[k] = image if color else np.floor(image * np.float32(65535) + np.float32(0.5))
    data = frames.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if color else "OW"


def _add_geometry(dataset: Any, shape: tuple[int, ...], affine: NDArray[Any]) -> None:
    """Position of every frame, and the orientation and spacing of all."""
    lps = affine[:3] * np.array([[-1], [-1], [1]])
    down, right = (lps[:, axis] / np.linalg.norm(lps[:, axis]) for axis in (0, 1))
    rows, columns, slices = (_decimal(float(np.linalg.norm(lps[:, axis]))) for axis in range(3))
    measures = _item(PixelSpacing=[rows, columns], SliceThickness=slices, SpacingBetweenSlices=slices)
    orientation = _item(ImageOrientationPatient=[_decimal(value) for value in (*right, *down)])
    dataset.SharedFunctionalGroupsSequence = [
        _item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[
                _item(ImagePositionPatient=[_decimal(value) for value in lps @ np.array([0, 0, k, 1.0])])
            ]
        )
        for k in range(shape[2])
    ]
    dataset.PatientOrientation = [_direction(right), _direction(down)]


def _direction(vector: NDArray[Any]) -> str:
    """Letters of the directions of the body that a vector (LPS) points to, the strongest first."""
    letters = [("R", "L"), ("A", "P"), ("F", "H")]
    order = np.argsort(-np.abs(vector), kind="stable")
    return "".join(letters[axis][int(vector[axis] > 0)] for axis in order if abs(vector[axis]) > 0.1)


def _add_references(dataset: Any, sources: Sequence[Volume]) -> None:
    """The slices that the volume was made from, with their purpose, and by study and series."""
    images, here, elsewhere = [], [], []
    for source in sources:
        instances = {
            uid(header, "SOPInstanceUID"): uid(header, "SOPClassUID")
            for header in source.headers
            if uid(header, "SOPInstanceUID") and uid(header, "SOPClassUID")
        }
        images += [_instance(*one, PurposeOfReferenceCodeSequence=[_code(*_SOURCE_IMAGE)]) for one in instances.items()]
        header = source.headers[0] if source.headers else {}
        series, study = uid(header, "SeriesInstanceUID"), uid(header, "StudyInstanceUID")
        if not series or not instances:
            continue
        item = _item(
            SeriesInstanceUID=series, ReferencedInstanceSequence=[_instance(*one) for one in instances.items()]
        )
        if study == dataset.StudyInstanceUID:
            here.append(item)
        elif study:
            elsewhere.append(_item(StudyInstanceUID=study, ReferencedSeriesSequence=[item]))
    for name, items in (
        ("SourceImageSequence", images),
        ("ReferencedSeriesSequence", here),
        ("StudiesContainingOtherReferencedInstancesSequence", elsewhere),
    ):
        if items:
            setattr(dataset, name, items)


def _instance(instance: str, sop_class: str, **more: Any) -> Any:
    return _item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance, **more)


def _item(**elements: Any) -> Any:
    dataset = load("pydicom").Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def _code(value: str, scheme: str, meaning: str) -> Any:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _decimal(value: float) -> Any:
    """A decimal string of at most 16 characters, as exact as these allow."""
    return load("pydicom.valuerep").DSfloat(float(value) + 0.0, auto_format=True)  # and no -0
