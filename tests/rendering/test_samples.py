import time

import numpy as np
import pytest

from refinefuse.samples import read_sample
from rendering import SCENES, render
from rendering.__main__ import sample

NAMES = [*SCENES]
KINDS = {  # shapes of both images, and their type
    "night_street": ((480, 640), (480, 640, 3), np.uint8),
    "smoke": ((480, 640), (480, 640, 3), np.uint8),
    "ridge_16bit": ((480, 640), (480, 640, 3), np.uint16),
    "head_ct_mri": ((256, 256), (256, 256), np.uint8),
}


@pytest.fixture(scope="module")
def rendered():
    start = time.process_time()
    images = {name: render(name) for name in NAMES}
    assert time.process_time() - start < 15  # about 3 s; a slow machine may take longer
    return images


def gray_of(pixels):
    """Gray in [0, 1]."""
    gray = pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])
    return gray / np.iinfo(pixels.dtype).max


@pytest.mark.parametrize("name", NAMES)
def test_kind(rendered, name):
    shape_a, shape_b, dtype = KINDS[name]
    a, b = rendered[name]
    assert (a.shape, a.dtype) == (shape_a, dtype)
    assert (b.shape, b.dtype) == (shape_b, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_images(rendered, name):
    for first, other in zip(rendered[name], render(name, seed=1), strict=True):
        assert first.shape == other.shape
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", NAMES)
def test_both_images_have_contrast_and_differ(rendered, name):
    a, b = (gray_of(pixels) for pixels in rendered[name])
    assert a.std() > 0.05
    assert b.std() > 0.05
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.9


def test_headlights_saturate_and_hide_what_is_warm(rendered):
    infrared, visible = (gray_of(pixels) for pixels in rendered["night_street"])
    assert (visible > 0.99).sum() > 200
    behind_the_car = slice(205, 232), slice(445, 492)
    people = infrared[behind_the_car] > 0.8
    assert people.sum() > 60
    assert np.median(visible[behind_the_car][people]) < 0.15


def test_smoke_hides_the_hot_lorry(rendered):
    infrared, visible = (gray_of(pixels) for pixels in rendered["smoke"])
    lorry = slice(175, 250), slice(290, 450)
    assert (infrared[lorry] > 0.6).sum() > 1000
    assert visible[lorry].std() < 0.12
    color = rendered["smoke"][1][lorry].astype(int)
    assert np.median(color.max(-1) - color.min(-1)) < 20


def test_16_bits_are_used(rendered):
    for pixels in rendered["ridge_16bit"]:
        assert len(np.unique(pixels)) > 5000
        assert len(np.unique(pixels & 0xFF)) == 256


def test_skull_in_ct_and_ventricles_in_mri(rendered):
    ct, mri = rendered["head_ct_mri"]
    ring = ct > 200
    assert 0.05 < ring.mean() < 0.25
    assert mri[ring].mean() < 80
    ventricle = mri[85:105, 115:142] > 200
    assert ventricle.sum() > 30
    assert ct[85:105, 115:142][ventricle].mean() < ct[85:105, 115:142][~ventricle].mean()
    assert ct[:20, :20].max() < 30


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_is_what_is_rendered(name):
    """To within the rounding of another processor."""
    for shipped, made in zip(read_sample(name), sample(name), strict=True):
        assert shipped.dtype == made.dtype
        assert shipped.shape == made.shape
        step = 1 if made.dtype == np.uint8 else 32
        assert np.abs(shipped.astype(int) - made.astype(int)).mean() < 0.01 * step
