"""Fused volumes as derived DICOM: a series of secondary captures that says what it was made from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.atomic import temporary_name
from refinefuse.errors import InputError
from refinefuse.image.medical.volume import NAMES, NOT_A_DEVICE, Volume, load

NAME = "fused_{:04d}.dcm"
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture Image Storage
_KEPT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("PatientSize", "PatientWeight", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID", "SpecificCharacterSet"),
)
_NEEDED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_SQUARE = 1e-4  # cosine of the angle between rows and columns


def check_series_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that a series cannot be written to: one with anything in it but an older series of ours.

    Raises:
        InputError: saying what is in the way.
    """
    if folder.is_file() or not folder.parent.is_dir():
        raise InputError(f"Cannot write the folder '{folder}': it is a file, or '{folder.parent}' does not exist.")
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    ours = all(name.startswith("fused_") and name.endswith(".dcm") for name in there)
    if there and not (ours and overwrite):
        raise InputError(
            f"Cannot write to the folder '{folder}': it is not empty ({len(there)} entries, '{there[0]}').\n"
            "Give a new folder" + (", or allow the fused series in it to be replaced (--overwrite)." if ours else ".")
        )


def write_secondary_capture(
    folder: Path, images: NDArray[Any], affine: NDArray[Any], sources: Sequence[Volume], *, anonymize: bool
) -> None:
    """Write a volume as a series, one file a slice; the folder appears when all of it is written.

    Patient and study are those of the last source that is DICOM, the series and its instances are new. Their UIDs
    follow from the content, so that the same fusion gets the same ones. With `anonymize`, nothing of a source but
    its geometry is kept, and every UID is new.

    Source: DICOM PS3.3 A.8.1 (Secondary Capture), C.7.6.2 (Image Plane), C.12.4 (references); PS3.16, code 121322.

    Args:
        folder: checked by `check_series_folder`.
        images: (h, w, slices) float32 in [0, 1], or (h, w, slices, 3) uint8, RGB.
        affine: (4, 4), from (row, column, slice) to RAS+ millimeters.
        sources: what was fused; the last gives patient and study.
        anonymize: leave patient, study and references out.

    Raises:
        InputError: rows and columns are not at right angles, or the folder cannot be written to.
    """
    rows, columns = affine[:3, 0], affine[:3, 1]
    cosine = abs(rows @ columns) / (np.linalg.norm(rows) * np.linalg.norm(columns))
    if cosine > _SQUARE:
        raise InputError(
            f"DICOM needs rows and columns at right angles.\n  found: {np.degrees(np.arccos(cosine)):.2f} degrees\n"
            "Write .nii.gz instead."
        )
    template = _template(images, affine, sources, anonymize)
    temporary = temporary_name(folder)
    try:
        temporary.mkdir()
        for k in range(images.shape[2]):
            _write_slice(temporary / NAME.format(k + 1), template, images[:, :, k], affine, k, sources, anonymize)
        if folder.is_dir():
            shutil.rmtree(folder)
        temporary.replace(folder)
    except OSError as error:
        raise InputError(
            f"Cannot write the folder '{folder}': {error.strerror}.\nCheck permissions and space."
        ) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)


def _template(images: NDArray[Any], affine: NDArray[Any], sources: Sequence[Volume], anonymize: bool) -> Any:
    """What all slices share."""
    pydicom = load("pydicom", "pydicom")
    patients = [source.headers[0] for source in sources if source.headers]
    dataset = pydicom.Dataset()
    for name in _NEEDED:
        setattr(dataset, name, "")
    if patients and not anonymize:
        for name in _KEPT:
            if name in patients[-1]:
                setattr(dataset, name, patients[-1].get(name))
    made_from = [str(header.get("SeriesInstanceUID")) for header in patients]
    digest = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    entropy = None if anonymize else [digest, str(affine.tolist()), version("refinefuse"), *made_from]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if name not in dataset:
            unique = pydicom.uid.generate_uid(entropy_srcs=entropy and [*entropy, name])
            setattr(dataset, name, unique)
    if anonymize:
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "RefineFuse --anonymize: pixels and geometry only"
    dataset.SOPClassUID, dataset.Modality, dataset.ConversionType = _CAPTURE, "OT", "WSD"
    dataset.SeriesNumber, dataset.Manufacturer = 9000, "RefineFuse"
    dataset.ManufacturerModelName, dataset.SoftwareVersions = "RefineFuse", version("refinefuse")
    kinds = " + ".join(NAMES[source.modality] for source in sources)
    dataset.SeriesDescription = f"Fused {kinds}, not for diagnosis"[:64]
    dataset.ImageType = ["DERIVED", "SECONDARY", "FUSED"]
    dataset.DerivationDescription, dataset.ImageComments = f"Fusion of {kinds}. {NOT_A_DEVICE}", NOT_A_DEVICE
    dataset.BurnedInAnnotation = "YES" if any(h.get("BurnedInAnnotation") == "YES" for h in patients) else "NO"
    if any(header.get("LossyImageCompression") == "01" for header in patients):
        dataset.LossyImageCompression = "01"
    _add_pixel_form(dataset, images)
    lps = affine[:3] * np.array([[-1], [-1], [1]])
    down, right = (lps[:, axis] / np.linalg.norm(lps[:, axis]) for axis in (0, 1))
    dataset.ImageOrientationPatient = [_decimal(value) for value in (*right, *down)]
    dataset.PixelSpacing = [_decimal(float(np.linalg.norm(lps[:, axis]))) for axis in (0, 1)]
    dataset.SpacingBetweenSlices = _decimal(float(np.linalg.norm(lps[:, 2])))
    dataset.SliceThickness = dataset.SpacingBetweenSlices
    return dataset


def _add_pixel_form(dataset: Any, images: NDArray[Any]) -> None:
    color = images.ndim == 4
    dataset.Rows, dataset.Columns = images.shape[:2]
    dataset.SamplesPerPixel = 3 if color else 1
    dataset.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    bits = 8 if color else 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0
    if color:
        dataset.PlanarConfiguration = 0


def _write_slice(
    path: Path, template: Any, image: NDArray[Any], affine: NDArray[Any], k: int, sources: Sequence[Volume],
    anonymize: bool,
) -> None:  # fmt: skip
    pydicom = load("pydicom", "pydicom")
    dataset = pydicom.Dataset(template)
    form = pydicom.dataset.FileMetaDataset()
    form.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    entropy = None if anonymize else [str(dataset.SeriesInstanceUID), str(k)]
    form.MediaStorageSOPClassUID = _CAPTURE
    form.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=entropy)
    dataset.file_meta = form
    dataset.InstanceNumber = k + 1
    corner = affine @ np.array([0, 0, k, 1.0])
    dataset.ImagePositionPatient = [_decimal(value) for value in (-corner[0], -corner[1], corner[2])]
    if not anonymize:
        center = affine @ np.array([(image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2, k, 1.0])
        _add_references(dataset, [_nearest(source, center) for source in sources if source.headers])
    stored = image if image.ndim == 3 else np.floor(image * np.float32(65535) + np.float32(0.5)).astype("<u2")
    data = np.ascontiguousarray(stored).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if image.ndim == 3 else "OW"
    dataset.save_as(path, enforce_file_format=True)


def _nearest(source: Volume, place: NDArray[Any]) -> Any:
    """The header of the slice of a series that lies nearest to a place."""
    k = int(np.rint((np.linalg.inv(source.affine) @ place)[2]))
    return source.headers[min(max(k, 0), len(source.headers) - 1)]


def _add_references(dataset: Any, headers: Iterable[Any]) -> None:
    """Which slices a slice was made from, as such and by study and series."""
    pydicom = load("pydicom", "pydicom")
    images, here, elsewhere = [], [], []
    for header in headers:
        image = pydicom.Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        series = pydicom.Dataset()
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = header.SeriesInstanceUID, [pydicom.Dataset(image)]
        if header.get("StudyInstanceUID") == dataset.StudyInstanceUID:
            here.append(series)
        else:
            study = pydicom.Dataset()
            study.StudyInstanceUID, study.ReferencedSeriesSequence = header.get("StudyInstanceUID"), [series]
            elsewhere.append(study)
        purpose = pydicom.Dataset()
        purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
        purpose.CodeMeaning = "Source image for image processing operation"
        image.PurposeOfReferenceCodeSequence = [purpose]
        images.append(image)
    for name, items in (
        ("SourceImageSequence", images),
        ("ReferencedSeriesSequence", here),
        ("StudiesContainingOtherReferencedInstancesSequence", elsewhere),
    ):
        if items:
            setattr(dataset, name, items)


def _decimal(value: float) -> Any:
    """A decimal string of at most 16 characters, as exact as these allow."""
    return load("pydicom.valuerep", "pydicom").DSfloat(float(value) + 0.0, auto_format=True)  # and no -0
