"""From values to [0, 1]: who decides the range of each volume, what is warned of, and how values are displayed."""

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from refinefuse.errors import InputError
from refinefuse.image.medical.intensity import (
    MAX_SATURATED,
    Colormap,
    colored,
    intensity_ranges,
    intensity_warnings,
    parse_kinds,
    parse_window,
    range_of,
    saturated_fraction,
    scaled,
    with_kind,
)
from refinefuse.image.medical.volume import Volume
from refinefuse.image.thermal import IntensityRange


def volume(values, modality="CT", **fields):
    return Volume(np.float32(values).reshape(-1, 1, 1), np.eye(4), Path("scan.nii"), modality, **fields)


def counts(low, high):
    return IntensityRange("counts", low, high)


class TestKinds:
    def test_words_in_any_case_and_gaps(self):
        assert parse_kinds("ct, MRI,,spect", 4) == ("CT", "MR", "", "NM")
        assert parse_kinds("pet", 1) == ("PT",)

    @pytest.mark.parametrize(("text", "count"), [("ct", 2), ("ct,mri,pet", 2), ("ct,xray", 2)])
    def test_refused(self, text, count):
        with pytest.raises(InputError, match=f"(?s)expected: {count} of ct, mri, pet, spect.*got: '{text}'"):
            parse_kinds(text, count)

    def test_the_user_decides(self):
        found = volume([1, 2], "PT", units="SUV", is_inverted=True)
        assert with_kind(found, "") is found
        assert with_kind(found, "PT") is found
        ct, mri, spect = (with_kind(found, kind) for kind in ("CT", "MR", "NM"))
        assert (ct.modality, ct.units, ct.is_inverted) == ("CT", "HU", False)
        assert (mri.modality, mri.units, mri.is_inverted) == ("MR", "SUV", True)
        assert (spect.units, spect.is_inverted) == ("SUV", False)
        assert with_kind(volume([1, 2], "CT", units="HU"), "MR").units == ""


class TestRanges:
    @pytest.mark.parametrize(
        ("text", "low", "high"),
        [("brain", 0, 80), ("bone", -500, 1300), ("lung", -1350, 150), ("tissue", -160, 240), ("35,90", -10, 80)],
    )
    def test_windows(self, text, low, high):
        assert parse_window(text) == counts(low, high)

    def test_a_kind_that_is_known_changes_nothing(self):
        scan = volume([1, 2], is_inverted=True)
        assert with_kind(scan, "".join("CT")) is scan  # as read from a header: no constant of the program

    def test_percentiles_by_modality(self):
        values = np.arange(10001.0)
        mri, pet = (range_of(volume(values, kind), None, None, None) for kind in ("MR", "PT"))
        assert (mri.low, mri.high) == (pytest.approx(50, abs=2), pytest.approx(9950, abs=2))
        assert (pet.low, pet.high) == (0, pytest.approx(9990, abs=2))
        assert range_of(volume(values, "NM"), None, None, None) == pet
        assert range_of(volume(values, ""), None, None, None) == mri

    @pytest.mark.parametrize("values", [[-1, -2, -1], [-0.5, -0.25], [-5, 0, 0, 0]])
    def test_no_uptake(self, values):
        with pytest.raises(InputError, match="Cannot use 'scan.nii': it shows no uptake"):
            range_of(volume(values, "PT"), None, None, None)

    def test_a_little_uptake_is_some(self):
        assert range_of(volume([0, 0.25, 0.5], "PT"), None, None, None) == counts(0, 0.5)

    def test_suv_without_tags(self):
        with pytest.raises(InputError, match=r"`suv_range` needs(.|\n)*got: a file without such tags"):
            range_of(volume([1, 2], "PT"), None, None, counts(0, 7))
        with pytest.raises(InputError, match=r"got: no weight; no dose"):
            range_of(volume([1, 2], "PT", warnings=("no weight", "no dose")), None, None, counts(0, 7))

    def test_options_apply_to_what_they_are_for(self):
        ct, mri, pet = volume([0, 1], "CT"), volume([0, 1], "MR"), volume([0, 1], "PT", units="SUV")
        bone, rule, suv = counts(-500, 1300), counts(3, 4), counts(0, 7)
        assert intensity_ranges([ct, pet], bone, None, suv) == [bone, suv]
        assert intensity_ranges([mri, ct], bone, rule, None) == [rule, bone]
        assert intensity_ranges([mri, ct, pet], bone, None, None)[1] == bone
        assert intensity_ranges([ct, ct], bone, rule, None) == [rule, bone]  # the window for the one without a range
        assert intensity_ranges([mri, mri, pet], None, rule, None)[:2] == [rule, rule]
        assert intensity_ranges([pet, pet], None, None, None) == [range_of(pet, None, None, None)] * 2

    def test_an_option_for_no_source_is_refused(self):
        mri, ct, pet = volume([0, 1], "MR"), volume([0, 1], "CT"), volume([0, 1], "PT", units="SUV")
        with pytest.raises(InputError, match=r"(?s)`window` applies to CT, but none of the.*MRI, 2 x 1 x 1"):
            intensity_ranges([mri, pet], counts(0, 80), None, None)
        with pytest.raises(InputError, match="`suv_range` applies to PET"):
            intensity_ranges([mri, ct], None, None, counts(0, 7))

    def test_two_options_for_one_source_are_refused(self):
        ct, mri = volume([0, 1], "CT"), volume([0, 1], "MR")
        with pytest.raises(InputError, match="`window` and `range` both set"):
            intensity_ranges([ct, mri], counts(0, 80), counts(3, 4), None)


class TestSaturation:
    CT = volume([-1000, -500, -499, 0, 40, 80, 81, 100, -400, 10])  # of ten voxels, two are no body and three white

    def test_fraction_of_the_body(self):
        assert saturated_fraction(self.CT, counts(0, 80)) == 3 / 8
        assert saturated_fraction(self.CT, counts(0, 1000)) == 0
        assert saturated_fraction(volume([-1000, -900]), counts(0, 80)) == 0

    def test_slices_are_added_up(self):
        stack = Volume(np.float32([[[0, 90, 90]]]), np.eye(4), Path("scan.nii"), "CT")
        assert saturated_fraction(stack, counts(0, 80)) == pytest.approx(2 / 3)

    def test_warned_of_above_a_fifth(self):
        (warning,) = intensity_warnings(self.CT, counts(0, 80))
        assert "38% of the body in 'scan.nii' is white in the window 0 to 80 HU" in warning
        assert MAX_SATURATED == 0.2
        assert intensity_warnings(volume([0, 0, 0, 0, 90]), counts(0, 80)) == []
        assert intensity_warnings(volume([0, 0, 0, 90]), counts(0, 80))
        assert intensity_warnings(volume([0, 0, 0, 90], "MR"), counts(0, 80)) == []


class TestDisplay:
    def test_scaled_and_clipped(self):
        found = scaled(np.array([[-100, 10, 35, 60, 1000]]), counts(10, 60))
        np.testing.assert_allclose(found, [[0, 0, 0.5, 1, 1]])
        assert found.dtype == np.float32

    def test_inverted(self):
        found = scaled(np.array([[10, 20, 60]]), counts(10, 60), inverted=True)
        np.testing.assert_allclose(found, [[1, 0.8, 0]], atol=1e-6)
        assert found.dtype == np.float32

    @pytest.mark.parametrize("name", sorted({*get_args(Colormap)} - {"gray"}))
    def test_color_maps_are_those_of_opencv_and_smooth_between_their_colors(self, name):
        gray = np.arange(256, dtype=np.uint8)[None]
        expected = cv2.applyColorMap(gray, getattr(cv2, f"COLORMAP_{name.upper()}"))[..., ::-1] / 255
        np.testing.assert_allclose(colored(np.float32(gray) / 255, name), expected, atol=1e-6)
        middle = colored(np.float32([[100.5 / 255]]), name)
        np.testing.assert_allclose(middle[0, 0], expected[0, 100:102].mean(0), atol=1e-5)
        assert middle.dtype == np.float32

    @pytest.mark.parametrize("name", ["gray", "jet"])
    def test_no_color_map(self, name):
        with pytest.raises(InputError, match=f"inferno, magma, hot, gray(.|\n)*got: '{name}'"):
            colored(np.zeros((1, 1), np.float32), name)
