"""Patient, study and UIDs of a fused volume: copied from a source, or omitted."""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from typing import Any

from refinefuse.image.medical.elements import text, uid
from refinefuse.image.medical.volume import load

_COPIED = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight", "StudyID", "StudyDate", "StudyTime", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName", "BodyPartExamined", "PositionReferenceIndicator"),
)
_COPIED_UIDS = ("StudyInstanceUID", "FrameOfReferenceUID")
_UIDS = (*_COPIED_UIDS, "SeriesInstanceUID", "SOPInstanceUID")
_REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
)
_UNPAIRED = {"HEAD", "BRAIN", "SKULL", "NECK", "HEADNECK", "CHEST", "ABDOMEN", "PELVIS", "SPINE", "WHOLEBODY"}
_NO_DATE, _NO_TIME = "19000101", "000000"  # placeholders written by anonymizers
_PROFILE = ("113100", "DCM", "Basic Application Confidentiality Profile")


def add_identity(dataset: Any, patients: Sequence[Any], entropy: Sequence[str] | None, *, anonymize: bool) -> None:
    """Add patient, study, and the UIDs of study, series, instance and frame of reference.

    Source: DICOM PS3.15, annex E (basic application confidentiality profile), for `anonymize`: a result keeps nothing
    of its sources but pixels and geometry; what the profile replaces by dummies gets one.

    Args:
        dataset: the dataset to extend.
        patients: one header per DICOM source; the last one is copied.
        entropy: input for deterministic UIDs; None makes them random.
        anonymize: copy nothing.
    """
    for keyword in _REQUIRED:
        setattr(dataset, keyword, "")
    for header in patients[-1:]:
        _add_body_part(dataset, header, anonymize)
        if not anonymize:
            _copy(dataset, header)
    generate = load("pydicom.uid").generate_uid
    for keyword in _UIDS:
        if keyword not in dataset:
            setattr(dataset, keyword, generate(entropy_srcs=None if entropy is None else [*entropy, keyword]))
    dataset.StudyID = text(dataset, "StudyID") or "1"
    dataset.StudyDate, dataset.StudyTime = dataset.StudyDate or _NO_DATE, dataset.StudyTime or _NO_TIME
    dataset.ContentDate, dataset.ContentTime = dataset.StudyDate, dataset.StudyTime
    if anonymize:
        _add_deidentification(dataset)


def _copy(dataset: Any, header: Any) -> None:
    for keyword in _COPIED:
        if text(header, keyword) and _is_writable(header[keyword]):
            setattr(dataset, keyword, header[keyword].value)
    for keyword in _COPIED_UIDS:
        if uid(header, keyword):
            setattr(dataset, keyword, uid(header, keyword))


def _add_body_part(dataset: Any, header: Any, anonymize: bool) -> None:
    """The body part if it is a code of the standard, which identifies nobody; the side of a paired one."""
    body_part = text(header, "BodyPartExamined")
    if body_part in _UNPAIRED:
        dataset.BodyPartExamined = body_part
    else:
        dataset.Laterality = "" if anonymize else text(header, "Laterality")  # required, and may be unknown


def _add_deidentification(dataset: Any) -> None:
    code = load("pydicom").Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = _PROFILE
    dataset.PatientName, dataset.PatientID = "Anonymous^Patient", f"ANONYMOUS-{secrets.token_hex(4)}"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "RefineFuse, anonymized: pixels and geometry only"
    dataset.DeidentificationMethodCodeSequence = [code]
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _is_writable(element: Any) -> bool:
    """Whether an element can be copied unchanged; values that violate the standard cannot."""
    pydicom = load("pydicom")
    copy = pydicom.Dataset()
    try:
        setattr(copy, element.keyword, element.value)
        pydicom.dcmwrite(io.BytesIO(), copy, implicit_vr=False, little_endian=True)
    except Exception:  # each value representation has its own
        return False
    return True
