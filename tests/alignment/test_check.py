"""The check before fusing: silent for aligned pairs, clear for others."""

import time

import numpy as np
import pytest
from scenes import motion, moved, scene

from refinefuse.alignment.check import doubts_of

SIZE = (480, 640)


@pytest.fixture(scope="module")
def pair():
    return scene(0, SIZE)


def test_an_aligned_pair_raises_no_doubt(pair):
    for seed in range(4):
        assert doubts_of(*scene(seed, SIZE)) == []
    assert doubts_of(pair[0].astype(np.uint16) * 257, np.dstack([pair[1]] * 3)) == []


def test_a_shift_is_told_in_pixels(pair):
    (doubt,) = doubts_of(moved(pair[0], motion(SIZE, (28, -21))), pair[1])
    assert "about 3" in doubt
    assert "right" in doubt
    assert "up" in doubt


@pytest.mark.parametrize("scale", [0.82, 1.2])
def test_another_field_of_view(pair, scale):
    (doubt,) = doubts_of(moved(pair[0], motion(SIZE, scale=scale)), pair[1])
    assert "fields of view" in doubt


def test_swapped(pair):
    colour = np.dstack([pair[0], pair[0] // 2, pair[0] // 3])
    assert "swapped" in doubts_of(colour, pair[1])[0]
    assert doubts_of(pair[0], colour) == []
    assert doubts_of(np.dstack([pair[0]] * 3), pair[1]) == []  # grey that is stored as RGB


def test_nothing_is_said_where_nothing_is_known(pair):
    assert doubts_of(np.zeros(SIZE, np.uint8), pair[1]) == []
    assert doubts_of(pair[0], pair[1][:100]) == []
    assert doubts_of(pair[0][:1], pair[1][:1]) == []


def test_it_is_cheap(pair):
    doubts_of(*pair)
    start = time.process_time()
    for _ in range(5):
        doubts_of(*pair)
    assert (time.process_time() - start) / 5 < 0.1  # measured: 0.01
