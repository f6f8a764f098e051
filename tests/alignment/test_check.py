"""The check before fusing: silent for aligned pairs, clear for others."""

import time

import numpy as np
import pytest
from scenes import motion, moved
from scenes import scene as images

from refinefuse.alignment.check import check_registration
from refinefuse.alignment.edges import luma

SIZE = (480, 640)


def scene(seed, size):
    return [luma(x) for x in images(seed, size)]


@pytest.fixture(scope="module")
def pair():
    return scene(0, SIZE)


def test_an_aligned_pair_raises_no_warning(pair):
    for seed in range(4):
        assert check_registration(*scene(seed, SIZE)) is None


def test_a_shift_is_reported_in_pixels(pair):
    found = check_registration(moved(pair[0], motion(SIZE, (28, -21))), pair[1])
    assert "about 3" in found.message
    assert found.scale == 1
    assert found.shift == pytest.approx((28, -21), abs=5)
    assert found.peak_ratio > 1.1
    assert "right" in found.message
    assert "up" in found.message


@pytest.mark.parametrize("scale", [0.82, 1.2])
def test_another_field_of_view(pair, scale):
    found = check_registration(moved(pair[0], motion(SIZE, scale=scale)), pair[1])
    assert "times as large" in found.message
    assert found.scale == pytest.approx(scale, rel=0.1)


def test_nothing_is_said_where_nothing_is_known(pair):
    assert check_registration(np.zeros(SIZE, np.float32), pair[1]) is None
    assert check_registration(pair[0], pair[1][:100]) is None
    assert check_registration(pair[0][:1], pair[1][:1]) is None


def test_it_is_cheap(pair):
    check_registration(*pair)
    start = time.process_time()
    for _ in range(5):
        check_registration(*pair)
    assert (time.process_time() - start) / 5 < 0.1  # measured: 0.01
