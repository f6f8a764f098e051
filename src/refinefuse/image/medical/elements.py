"""Elements of DICOM datasets, decoded and checked before anything relies on them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refinefuse.errors import InputError
from refinefuse.image.medical.volume import load

_PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("PatientSize", "PatientWeight"),
)
_STUDY = (
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber"),
    *("ReferringPhysicianName", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime"),
    *("SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID", "Modality", "BodyPartExamined", "Laterality"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "TimezoneOffsetFromUTC", "SpecificCharacterSet"),
    *("BurnedInAnnotation", "LossyImageCompression", "PositionReferenceIndicator"),
)
_PIXELS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "Units", "SUVType"),
)
_GEOMETRY = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DetectorInformationSequence"),
)
_UPTAKE = ("DecayCorrection", "CorrectedImage", "RadiopharmaceuticalInformationSequence")
_USED = (*_PATIENT, *_STUDY, *_PIXELS, *_GEOMETRY, *_UPTAKE)
_TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}  # interchangeable


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's remarks about encoding, which concern neither values nor geometry."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_elements(file: Path, header: Any) -> None:
    """Decode every element that is used, sequences with all they hold, and compare its kind with the dictionary.

    pydicom decodes an element on first access, and may raise anything on damage.

    Raises:
        InputError: if an element is damaged; the message names the file and the element.
    """
    dictionary_vr = load("pydicom.datadict").dictionary_VR
    for keyword in _USED:
        if keyword not in header:
            continue
        try:
            element = header[keyword]
            known = dictionary_vr(element.tag).split(" or ")
            _decode(element.value)
        except Exception as error:  # each value representation has its own
            reason = str(error).partition("\n")[0]
            raise InputError(_damaged(file, keyword, reason or type(error).__name__)) from None
        same = element.VR in known or str(element.VR) == " or ".join(known)
        if not same and not (element.VR in _TEXT and _TEXT & set(known)):
            raise InputError(_damaged(file, keyword, f"value representation {element.VR}, not {' or '.join(known)}"))


def _decode(value: Any) -> None:
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        for item in value:
            for element in item if hasattr(item, "to_json_dict") else ():
                _decode(element.value)


def _damaged(file: Path, keyword: str, reason: str) -> str:
    return f"Cannot use '{file}': its element {keyword} is damaged.\n  got: {reason}\nCopy or export the file again."


def number(header: Any, keyword: str, default: float) -> float:
    """The number of an element; the default if the element is missing or empty.

    Raises:
        ValueError: it is not a finite number.
    """
    value = header.get(keyword)
    if value is None or value == "":
        return default
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{keyword} is {found:g}")
    return found


def whole_number(header: Any, keyword: str, default: int) -> int:
    """As `number`, for counts.

    Raises:
        ValueError: it is not an integer, or below 1.
    """
    found = number(header, keyword, default)
    if found < 1 or found != int(found):
        raise ValueError(f"{keyword} is {found:g}")
    return int(found)


def text(header: Any, keyword: str) -> str:
    """The text of an element, empty if the element is missing or empty."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def uid(header: Any, keyword: str) -> str:
    """A UID, empty if it is missing or not valid."""
    value = load("pydicom.uid").UID(text(header, keyword))
    return str(value) if value.is_valid else ""
