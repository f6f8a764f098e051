"""Three and more sources: in whatever order, twice, or with one that says nothing."""

from itertools import permutations

import numpy as np
import pytest
import torch

from refinefuse.errors import InputError
from refinefuse.inference.fuser import Fuser


@pytest.fixture(scope="module")
def fuser():
    return Fuser(device="cpu", color="both")


def sources(count=4):
    generator = np.random.default_rng(0)
    return [generator.random((40, 52, 3) if index % 2 else (40, 52), np.float32) for index in range(count)]


@pytest.mark.parametrize("color", ["a", "b", "both"])
def test_the_order_of_all_but_the_last_plays_no_part(color):
    fuser = Fuser(device="cpu", color=color)
    *others, last = sources()
    results = [fuser.fuse(*order, last, return_weight_map=True) for order in permutations(others)]
    for result in results[1:]:
        np.testing.assert_array_equal(result.fused, results[0].fused)
        assert np.array_equal(result.weight_map, results[0].weight_map)


def test_a_source_given_twice_changes_nothing(fuser):
    a, b = sources(2)
    np.testing.assert_allclose(fuser(a, a, b), fuser(a, b), atol=1e-6)


def test_a_source_that_agrees_with_the_last_changes_little(fuser):
    a, last = sources(2)[0], sources(3)[2]
    np.testing.assert_allclose(fuser(a, last, last), fuser(a, last), atol=0.02)


def test_each_adds_what_it_alone_shows(fuser):
    last = np.full((64, 64), 0.2, np.float32)
    first, second = last.copy(), last.copy()
    first[8:20, 8:20] = second[40:52, 40:52] = 0.9
    fused = fuser(first, second, last)
    assert fused[10:18, 10:18].mean() > 0.6
    assert fused[42:50, 42:50].mean() > 0.6


def test_several_images_in_a_batch(fuser):
    a, b, c = (
        torch.from_numpy(one)[None].expand(3, -1, -1, -1)
        for one in np.random.default_rng(1).random((3, 1, 24, 24), np.float32)
    )
    assert fuser(a, b, c).shape == (3, 1, 24, 24)


def test_sizes_must_agree(fuser):
    with pytest.raises(InputError, match="height and width"):
        fuser(np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8), np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize("size", [(40, 36), (64, 64), (101, 67)])
def test_the_medical_weights_prefer_no_source(size):
    """Exchanging CT and MRI changes no bit, whatever the size and the depth."""
    rng = np.random.default_rng(0)
    fuser = Fuser("medical", color="both")
    for a, b in (
        (rng.random(size, np.float32), rng.random(size, np.float32)),
        (rng.integers(0, 65536, size, np.uint16), rng.integers(0, 65536, size, np.uint16)),
    ):
        np.testing.assert_array_equal(fuser(a, b), fuser(b, a))
