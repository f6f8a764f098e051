"""Crops at other scales: how far, how often, where, and what is kept when a crop is resized."""

import numpy as np
import pytest

from refinefuse.data.crops import Augmentation, PairCropDataset, _resized

RAMP = np.arange(200, dtype=np.float32)[None].repeat(200, 0)


def zooms(max_scale=2.0, ramp=RAMP, count=4000):
    """The scale of many crops: how many columns of the ramp lie between two of theirs."""
    dataset = PairCropDataset(
        [(np.zeros(ramp.shape, np.uint8),) * 2], [1.0], size=32, crops=1, context_size=8,
        augmentation=Augmentation(0, 0, max_scale), length=1, seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    cuts = [dataset._cut((ramp,), rng)[0] for _ in range(count)]
    assert {cut.shape for cut in cuts} == {(32, 32)}
    return np.array([(cut[0, 28] - cut[0, 3]) / 25 for cut in cuts])


def test_half_of_the_crops_keep_their_scale():
    assert 0.48 < (zooms() == 1).mean() < 0.56


@pytest.mark.parametrize("max_scale", [1.5, 4.0])
def test_the_others_are_up_to_the_greatest_scale_larger_or_smaller(max_scale):
    scales = zooms(max_scale=max_scale)
    scales = np.log(scales[scales != 1]) / np.log(max_scale)
    assert -1.06 < scales.min() < -0.9
    assert 0.9 < scales.max() < 1.06
    assert abs(scales.mean()) < 0.06
    assert scales.std() == pytest.approx(1 / np.sqrt(3), abs=0.04)


def test_a_crop_is_never_larger_than_its_pair():
    low = np.arange(70, dtype=np.float32)[None].repeat(40, 0)
    scales = zooms(max_scale=4.0, ramp=low)
    assert scales.max() == pytest.approx(40 / 32, abs=0.01)


def test_no_scale_but_one_where_none_is_asked_for():
    assert (zooms(max_scale=1.0, count=100) == 1).all()


def test_luma_that_shrinks_is_averaged():
    """Checkers of single pixels shrunk by 3 are nearly gray: no pixel is left out."""
    checkers = (np.indices((96, 96)).sum(0) % 2).astype(np.float32)
    assert np.abs(_resized(checkers, 32) - 0.5).max() < 0.06


def test_luma_that_grows_is_interpolated():
    grown = _resized(RAMP[:8, :8], 32)
    assert np.allclose(np.diff(grown[:, 2:-2]), 0.25)


@pytest.mark.parametrize("side", [8, 96])
def test_classes_keep_their_numbers(side):
    classes = (np.indices((side, side)).sum(0) % 2 * 7).astype(np.uint8)
    resized = _resized(classes, 32)
    assert resized.dtype == np.uint8
    assert set(np.unique(resized)) == {0, 7}
