"""The check before fusing: silent for aligned pairs, clear for others."""

import time

import numpy as np
import pytest
from scenes import motion, moved
from scenes import scene as images

from refinefuse.alignment.check import Pose, check_registration, find_evidence
from refinefuse.alignment.edges import luma

SIZE = (480, 640)


def scene(seed, size):
    return [luma(x) for x in images(seed, size)]


def tiles(seed, size, period):
    """Two kinds of tiles in turn, the darker ones warmer, with the noise of two sensors; (a, b)."""
    y, x = np.indices(size)
    kind = ((y // (period // 2) + x // (period // 2)) % 2).astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal((2, *size)).astype(np.float32)
    return 0.5 - 0.2 * kind + 0.06 * noise[0], 0.4 + 0.3 * kind + 0.03 * noise[1]


@pytest.fixture(scope="module")
def pair():
    return scene(0, SIZE)


def test_an_aligned_pair_raises_no_warning(pair):
    for seed in range(4):
        assert check_registration(*scene(seed, SIZE)) is None


def test_a_shift_is_reported_in_pixels(pair):
    found = check_registration(moved(pair[0], motion(SIZE, (28, -21))), pair[1])
    assert "about 3" in found.message
    assert found.pose == Pose()
    assert found.shift == pytest.approx((28, -21), abs=5)
    assert found.peak_ratio > 1.1
    assert "right" in found.message
    assert "up" in found.message


@pytest.mark.parametrize("scale", [0.82, 1.2])
def test_another_field_of_view(pair, scale):
    found = check_registration(moved(pair[0], motion(SIZE, scale=scale)), pair[1])
    assert "times as large" in found.message
    assert found.pose.scale == pytest.approx(scale, rel=0.1)


@pytest.mark.parametrize("angle", [-3, 3, 8])
def test_a_rotation_is_reported_in_degrees(pair, angle):
    found = check_registration(moved(pair[0], motion(SIZE, (14, -9), degrees=angle)), pair[1])
    assert f"({'counter' * (angle < 0)}clockwise)" in found.message
    assert found.value == found.pose.angle == pytest.approx(angle, abs=2)


def test_pairs_of_one_rig_show_together_what_each_of_them_hides():
    """In noise, one small pair says nothing for sure."""
    size, generator = (96, 128), np.random.default_rng(0)
    pairs = [[x + 0.4 * generator.standard_normal(size).astype(np.float32) for x in scene(k, size)] for k in range(10)]
    displaced = [find_evidence(moved(a, motion(size, (4, 0))), b) for a, b in pairs]
    aligned = [find_evidence(a, b) for a, b in pairs]
    assert sum(one.misalignment() is not None for one in displaced) < len(pairs) / 2
    assert sum(displaced[1:], displaced[0]).misalignment().shift == pytest.approx((4, 0), abs=1)
    assert sum(aligned[1:], aligned[0]).misalignment() is None


def test_nothing_is_said_where_nothing_is_known(pair):
    assert check_registration(np.zeros(SIZE, np.float32), pair[1]) is None
    assert check_registration(pair[0], pair[1][:100]) is None
    assert check_registration(pair[0][:1], pair[1][:1]) is None


@pytest.mark.parametrize(("size", "period"), [((240, 320), 10), ((480, 640), 20)])
@pytest.mark.parametrize("shift", [0, 2])
def test_tiles_match_themselves_everywhere(size, period, shift):
    for seed in range(3):
        a, b = tiles(seed, size, period)
        assert check_registration(moved(a, motion(size, (shift, 0))), b) is None


def test_a_shift_by_half_a_tile_is_seen():
    a, b = tiles(0, (120, 160), 20)
    assert check_registration(moved(a, motion((120, 160), (5, 5))), b) is not None


def test_it_is_cheap(pair):
    check_registration(*pair)
    start = time.process_time()
    for _ in range(5):
        check_registration(*pair)
    assert (time.process_time() - start) / 5 < 0.1  # measured: 0.01
