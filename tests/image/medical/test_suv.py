"""The SUV by body weight, and what keeps it from being computed."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from refinefuse.image.medical.dicom import read_dicom
from refinefuse.image.medical.suv import suv_factor
from series import head, pet_tags, write_series

F18 = 6586.2  # seconds


def header(**changes):
    dataset = Dataset()
    for name, value in pet_tags(**changes).items():
        setattr(dataset, name, value)
    return dataset


def injected(**changes):
    """A header whose injection differs."""
    dataset = header()
    for name, value in changes.items():
        setattr(dataset.RadiopharmaceuticalInformationSequence[0], name, value)
    return dataset


def factor(*headers):
    found, reason = suv_factor(headers)
    assert reason == ""
    return found


def reason(*headers):
    found, why = suv_factor(headers)
    assert found is None
    return why


def test_by_body_weight(tmp_path):
    write_series(tmp_path / "p", head(), slope=10.0, **pet_tags(AcquisitionTime="120000"))
    volume = read_dicom(tmp_path / "p")
    dose = 4e8 * 2 ** (-3600 / F18)
    np.testing.assert_allclose(volume.values, np.rint(head() / 10) * 10 * 80_000 / dose, rtol=1e-5)
    assert volume.units == "SUV"


def test_corrected_to_the_injection():
    assert factor(header(DecayCorrection="ADMIN")) == pytest.approx(80_000 / 4e8)


def test_over_midnight():
    late = header(SeriesTime="001500", AcquisitionTime="001500")
    late.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "231500"
    assert factor(late) == pytest.approx(80_000 / (4e8 * 2 ** (-3600 / F18)))


def test_decay_to_the_earliest_acquisition_of_the_series():
    beds = [header(SeriesTime="140000", AcquisitionTime=time) for time in ("120600", "120000", "120300")]
    assert factor(*beds) == pytest.approx(80_000 / (4e8 * 2 ** (-3600 / F18)))


def test_the_time_of_the_series_where_acquisitions_have_none():
    assert factor(header(AcquisitionTime=None)) == pytest.approx(80_000 / (4e8 * 2 ** (-3600 / F18)))


def test_a_tracer_that_lives_for_days():
    zirconium = injected(
        RadionuclideHalfLife=78.4 * 3600, RadiopharmaceuticalStartDateTime="20240501120000", RadionuclideTotalDose=7e7
    )
    expected = 80_000 / (7e7 * 2 ** (-(5 * 86400 + 0.5) / (78.4 * 3600)))
    assert factor(zirconium) == pytest.approx(expected)
    assert "StartDateTime" in reason(injected(RadionuclideHalfLife=78.4 * 3600))  # the day is not known


@pytest.mark.parametrize("time", ["120100", "130000", "160000", "230000"])
def test_an_injection_after_the_scan(time):
    why = reason(injected(RadiopharmaceuticalStartTime=time))
    assert "dated after the scan" in why
    assert f"{time[:2]}:{time[2:4]}" in why
    assert "dated after" in reason(injected(RadiopharmaceuticalStartDateTime=f"20240506{time}.000000+0100"))


def test_a_scan_long_after_the_injection():
    why = reason(injected(RadiopharmaceuticalStartDateTime="20240501110000"))
    assert "10 half-lives" in why
    assert "2024-05-01 11:00:00" in why


@pytest.mark.parametrize("dose", [370, 10, 4e5 / 10, 4e11, -4e8])
def test_an_impossible_dose(dose):
    assert "RadionuclideTotalDose" in reason(injected(RadionuclideTotalDose=dose))


@pytest.mark.parametrize("weight", [80_000, 0.001, -80])
def test_an_impossible_weight(weight):
    assert "PatientWeight" in reason(header(PatientWeight=weight))


def test_a_factor_that_no_scan_has():
    assert "per kg" in reason(injected(RadionuclideTotalDose=4e5))  # 400 MBq in kBq


def test_suv_of_the_file():
    assert factor(header(Units="GML")) == 1
    assert "LBM" in reason(header(Units="GML", SUVType="LBM"))


@pytest.mark.parametrize("name", ["PatientWeight", "Units", "DecayCorrection", "SeriesTime", "CorrectedImage"])
def test_what_is_missing_is_named(tmp_path, name):
    tags = pet_tags(**{name: None})
    if name == "SeriesTime":
        tags["AcquisitionTime"] = None
    write_series(tmp_path / "p", head(), **tags)
    volume = read_dicom(tmp_path / "p")
    assert volume.units != "SUV"
    assert ("times of" if name == "SeriesTime" else name) in volume.warnings[0]


@pytest.mark.parametrize(
    "other", [header(PatientWeight=70.0), header(DecayCorrection="ADMIN"), injected(RadionuclideTotalDose=3e8)]
)
def test_slices_that_give_different_factors(other):
    assert "the slices differ in" in reason(header(), other)
