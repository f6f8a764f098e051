"""The check before fusing: silent for aligned pairs, clear for others."""

import time

import numpy as np
import pytest
from scenes import motion, moved
from scenes import scene as pictures

from refinefuse.alignment.check import misplaced
from refinefuse.alignment.edges import luma

SIZE = (480, 640)


def scene(seed, size):
    return [luma(x) for x in pictures(seed, size)]


@pytest.fixture(scope="module")
def pair():
    return scene(0, SIZE)


def test_an_aligned_pair_raises_no_doubt(pair):
    for seed in range(4):
        assert misplaced(*scene(seed, SIZE)) == []


def test_a_shift_is_told_in_pixels(pair):
    (doubt,) = misplaced(moved(pair[0], motion(SIZE, (28, -21))), pair[1])
    assert "about 3" in doubt
    assert "right" in doubt
    assert "up" in doubt


@pytest.mark.parametrize("scale", [0.82, 1.2])
def test_another_field_of_view(pair, scale):
    (doubt,) = misplaced(moved(pair[0], motion(SIZE, scale=scale)), pair[1])
    assert "times as large" in doubt


def test_nothing_is_said_where_nothing_is_known(pair):
    assert misplaced(np.zeros(SIZE, np.float32), pair[1]) == []
    assert misplaced(pair[0], pair[1][:100]) == []
    assert misplaced(pair[0][:1], pair[1][:1]) == []


def test_it_is_cheap(pair):
    misplaced(*pair)
    start = time.process_time()
    for _ in range(5):
        misplaced(*pair)
    assert (time.process_time() - start) / 5 < 0.1  # measured: 0.01
