"""The standardized uptake value of PET by body weight."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from refinefuse.image.medical.volume import load

_LONGEST = timedelta(days=1)  # between injection and scan: what is more is a wrong date


def suv_factor(header: Any) -> tuple[float | None, str]:
    """What Bq/ml of a PET slice are multiplied by to give the SUV by body weight (g/ml).

    SUV = activity concentration x body weight / dose, the dose decayed to the time to which the slices are
    corrected.

    Source: Quantitative Imaging Biomarkers Alliance (QIBA), "SUV calculation", vendor-neutral pseudo-code, the case in
    which all attributes are present.

    Args:
        header: a DICOM dataset of the series.

    Returns:
        The factor and an empty string, or None and what the tags lack.
    """
    if header.get("Units") == "GML":
        return 1.0, ""
    radio = (header.get("RadiopharmaceuticalInformationSequence") or [{}])[0]
    weight, dose, half_life = header.get("PatientWeight"), radio.get("RadionuclideTotalDose"), None
    correction = header.get("DecayCorrection")
    corrected = set(header.get("CorrectedImage") or ())
    lacking = [
        name
        for name, there in (
            ("Units BQML", header.get("Units") == "BQML"),
            ("CorrectedImage ATTN and DECY", {"ATTN", "DECY"} <= corrected),
            ("DecayCorrection START or ADMIN", correction in ("START", "ADMIN")),
            ("PatientWeight", bool(weight)),
            ("RadionuclideTotalDose", bool(dose)),
        )
        if not there
    ]
    half_life = radio.get("RadionuclideHalfLife")
    scan, injection = _scan_time(header), _injection_time(radio, header)
    if correction == "START" and not (half_life and scan and injection):
        lacking.append("RadionuclideHalfLife, times of injection and series")
    if lacking:
        return None, ", ".join(lacking)
    decayed = float(dose)
    if correction == "START" and scan is not None and injection is not None:
        elapsed = scan - injection if scan >= injection else scan + _LONGEST - injection
        if not timedelta(0) <= elapsed <= _LONGEST:
            return None, f"an injection within a day before the scan (it says {elapsed} before)"
        decayed *= 2.0 ** (-elapsed.total_seconds() / float(half_life))
    return float(weight) * 1000 / decayed, ""


def _scan_time(header: Any) -> datetime | None:
    """The time to which the decay is corrected: that of the series, unless it was made after the acquisition."""
    series = _moment(header.get("SeriesDate"), header.get("SeriesTime"))
    acquired = _moment(header.get("AcquisitionDate"), header.get("AcquisitionTime"))
    known = [time for time in (series, acquired) if time is not None]
    return min(known, default=None)


def _injection_time(radio: Any, header: Any) -> datetime | None:
    if radio.get("RadiopharmaceuticalStartDateTime"):
        text = str(radio.get("RadiopharmaceuticalStartDateTime"))
        return _moment(text[:8], text[8:].split("+")[0].split("-")[0])
    day = header.get("SeriesDate") or header.get("AcquisitionDate")
    return _moment(day, radio.get("RadiopharmaceuticalStartTime"))


def _moment(day: Any, time: Any) -> datetime | None:
    valuerep = load("pydicom.valuerep", "pydicom")
    try:
        date, clock = valuerep.DA(str(day)), valuerep.TM(str(time))
        return None if date is None or clock is None else datetime.combine(date, clock)
    except (ValueError, TypeError):
        return None
