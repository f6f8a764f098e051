"""What the napari plug-in fuses, without napari."""

import numpy as np
import pytest

from refinefuse import Fuser
from refinefuse.errors import InputError
from refinefuse.napari.display import Displayed, fuse_displayed
from refinefuse.samples import read_sample

WEIGHTS = "infrared-visible-small"


@pytest.fixture(scope="module")
def pair():
    return tuple(image[100:148, 200:264] for image in read_sample("smoke"))


def test_the_default_limits_fuse_as_the_package_does(pair):
    a, b = pair
    fused, weight_map = fuse_displayed(Displayed(a, (0, 255)), Displayed(b, (0, 255), is_rgb=True), WEIGHTS)
    expected = Fuser(WEIGHTS, device="cpu").fuse(a, b, return_weight_map=True)
    np.testing.assert_array_equal(np.rint(fused * 255), expected.fused)
    np.testing.assert_allclose(weight_map, expected.weight_map, atol=1e-5)


def test_contrast_limits_are_black_and_white(pair):
    a, b = pair
    counts = a.astype(np.float64) * 3 - 1000
    of_counts = fuse_displayed(Displayed(counts, (-1000, -235)), Displayed(b, (0, 255), is_rgb=True), WEIGHTS)
    of_levels = fuse_displayed(Displayed(a, (0, 255)), Displayed(b, (0, 255), is_rgb=True), WEIGHTS)
    np.testing.assert_allclose(of_counts[0], of_levels[0], atol=1e-4)


def test_a_volume_is_fused_slice_by_slice_in_the_colors_of_b(pair):
    a, gray = pair[0], pair[1][..., 1]
    stacks = [np.stack([image, image[::-1]]) for image in (a, gray)]

    def colored(levels):
        return np.stack([levels, levels / 2, 0 * levels, 1 + 0 * levels], -1)

    fused, weight_map = fuse_displayed(
        Displayed(stacks[0], (0, 255)), Displayed(stacks[1], (0, 255), colormap=colored), WEIGHTS
    )
    assert (fused.shape, weight_map.shape) == ((2, 48, 64, 3), (2, 48, 64))
    last, _ = fuse_displayed(Displayed(a[::-1], (0, 255)), Displayed(gray[::-1], (0, 255), colormap=colored), WEIGHTS)
    np.testing.assert_array_equal(fused[1], last)


def test_layers_of_two_sizes_are_refused(pair):
    a, b = pair
    with pytest.raises(InputError, match=r"A: 47 x 64\n  B: 48 x 64"):
        fuse_displayed(Displayed(a[1:], (0, 255)), Displayed(b, (0, 255), is_rgb=True), WEIGHTS)
