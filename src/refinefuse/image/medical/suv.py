"""The standardized uptake value (SUV) of PET by body weight."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from refinefuse.image.medical.elements import number, text
from refinefuse.image.medical.volume import load

_DAY = timedelta(days=1)
_MAX_HALF_LIVES = 10.0  # between injection and scan: beyond, less than a thousandth of the dose is left
_MAX_HALF_LIVES_OVERNIGHT = 5.0  # if the date of the injection is not given and has to be the day before
_DATED = timedelta(hours=6)  # half-life of tracers that may have been injected on any day: the date must be given
_WEIGHT = (0.01, 500.0)  # kg: from a mouse up
_DOSE = (1e5, 2e10)  # Bq; below it, the dose was most likely given in MBq or mCi
_OF_SERIES = ("Units", "SUVType", "CorrectedImage", "DecayCorrection", "PatientWeight")
_OF_DOSE = (
    *("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartDateTime"),
    "RadiopharmaceuticalStartTime",
)
_PER_KG = (2e4, 2e9)  # Bq per kg of body weight at the time of the scan


def suv_factor(headers: Sequence[Any]) -> tuple[float | None, str]:
    """The factor from Bq/ml of a PET series to the SUV by body weight (g/ml).

    SUV = activity concentration x body weight / dose, the dose decayed to the time to which the slices are corrected:
    the earliest acquisition of the series (DecayCorrection START) or the injection (ADMIN).

    Source: Quantitative Imaging Biomarkers Alliance (QIBA), "SUV calculation", vendor-neutral pseudo-code, the case in
    which all attributes are present.

    Args:
        headers: DICOM datasets of the series, one per slice.

    Returns:
        The factor and an empty string, or None and the reason.
    """
    header = headers[0]
    differing = _differing(headers)
    if differing:
        return None, f"the slices differ in {', '.join(differing)}"
    if text(header, "Units") == "GML":
        kind = text(header, "SUVType") or "BW"
        return (1.0, "") if kind == "BW" else (None, f"the file's SUV type is {kind}, not body weight")
    radio = (header.get("RadiopharmaceuticalInformationSequence") or [{}])[0]
    try:
        weight, dose = number(header, "PatientWeight", 0.0), number(radio, "RadionuclideTotalDose", 0.0)
        half_life = number(radio, "RadionuclideHalfLife", 0.0)
    except (TypeError, ValueError) as error:
        return None, str(error)
    decay_corrected_to = text(header, "DecayCorrection")
    missing = [
        name
        for name, present in (
            ("Units BQML", text(header, "Units") == "BQML"),
            ("CorrectedImage ATTN and DECY", {"ATTN", "DECY"} <= set(header.get("CorrectedImage") or ())),
            ("DecayCorrection START or ADMIN", decay_corrected_to in ("START", "ADMIN")),
            ("PatientWeight", weight != 0),
            ("RadionuclideTotalDose", dose != 0),
            ("RadionuclideHalfLife", decay_corrected_to != "START" or half_life > 0),
        )
        if not present
    ]
    if missing:
        return None, f"the tags lack {', '.join(missing)}"
    for name, value, limits in (("PatientWeight (kg)", weight, _WEIGHT), ("RadionuclideTotalDose (Bq)", dose, _DOSE)):
        if not limits[0] <= value <= limits[1]:
            return None, f"{name} must be {limits[0]:g} to {limits[1]:g}, but is {value:g}"
    decayed = dose
    if decay_corrected_to == "START":
        elapsed, reason = _elapsed(headers, radio, timedelta(seconds=half_life))
        if elapsed is None:
            return None, reason
        decayed *= 2.0 ** (-elapsed.total_seconds() / half_life)
    if not _PER_KG[0] <= decayed / weight <= _PER_KG[1]:
        return (
            None,
            f"the dose per kg at the scan must be {_PER_KG[0]:g} to {_PER_KG[1]:g} Bq, but is {decayed / weight:g}",
        )
    return weight * 1000 / decayed, ""


def _differing(headers: Sequence[Any]) -> list[str]:
    """What one factor for the series follows from, and differs between its slices."""
    radio = [(header.get("RadiopharmaceuticalInformationSequence") or [{}])[0] for header in headers]
    parts = [(name, headers) for name in _OF_SERIES] + [(name, radio) for name in _OF_DOSE]
    return [name for name, sources in parts if len({text(source, name) for source in sources}) > 1]


def _elapsed(headers: Sequence[Any], radio: Any, half_life: timedelta) -> tuple[timedelta | None, str]:
    """Time from the injection to the scan, or None and the reason."""
    scan = _scan_time(headers)
    injection, is_dated = _injection_time(radio, headers[0], scan)
    if scan is None or injection is None:
        return None, "the tags lack the times of injection and acquisition"
    if not is_dated and half_life > _DATED:
        return None, f"the tags lack RadiopharmaceuticalStartDateTime (half-life {half_life})"
    elapsed, limit = scan - injection, _MAX_HALF_LIVES
    if elapsed < timedelta(0) and not is_dated and elapsed + _DAY <= _MAX_HALF_LIVES_OVERNIGHT * half_life:
        elapsed += _DAY  # over midnight
    if elapsed < timedelta(0):
        return None, f"the injection is dated after the scan: {injection}, scan {scan}"
    if elapsed > limit * half_life:
        found = f"injection {injection}, scan {scan}, half-life {half_life}"
        return None, f"the scan is more than {limit:g} half-lives after the injection: {found}"
    return elapsed, ""


def _scan_time(headers: Sequence[Any]) -> datetime | None:
    """The earliest acquisition of the series; without one, the time of the series."""
    acquired = [
        time
        for header in headers
        for time in (
            _parsed(text(header, "AcquisitionDateTime"))
            or _moment(_day(header, "AcquisitionDate"), text(header, "AcquisitionTime")),
        )
        if time is not None
    ]
    header = headers[0]
    return min(acquired) if acquired else _moment(_day(header, "SeriesDate"), text(header, "SeriesTime"))


def _day(header: Any, keyword: str) -> str:
    return text(header, keyword) or text(header, "SeriesDate") or text(header, "StudyDate")


def _injection_time(radio: Any, header: Any, scan: datetime | None) -> tuple[datetime | None, bool]:
    """The time of the injection, and whether its date is given; without a date, that of the scan."""
    dated = _parsed(text(radio, "RadiopharmaceuticalStartDateTime"))
    if dated is not None:
        return dated, True
    day = f"{scan:%Y%m%d}" if scan is not None else _day(header, "AcquisitionDate")
    return _moment(day, text(radio, "RadiopharmaceuticalStartTime")), False


def _parsed(moment: str) -> datetime | None:
    """A DICOM date and time; an offset from UTC is left out, as acquisition times have none."""
    local = moment.partition("+")[0].partition("-")[0]
    return _moment(local[:8], local[8:]) if len(local) >= 10 else None


def _moment(day: str, time: str) -> datetime | None:
    valuerep = load("pydicom.valuerep")
    try:
        date, clock = valuerep.DA(day), valuerep.TM(time)
        return None if date is None or clock is None else datetime.combine(date, clock)
    except (ValueError, TypeError):
        return None
