"""Pictures are found again after what happens to pictures, and not confused with others."""

import cv2
import numpy as np
import pytest
from made import jpeg, scene

from refinefuse.data.likeness import SAME, SCENE, alike, groups, thumbnail

CHANGES = {
    "encoded again": jpeg,
    "half the size": lambda x: cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "another shape": lambda x: cv2.resize(x, (256, 256)),
    "shifted by a hundredth": lambda x: x[2:, 3:],
    "flipped": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "upside down, smaller, encoded": lambda x: jpeg(cv2.resize(np.ascontiguousarray(x[::-1]), (200, 150))),
    "brighter": lambda x: np.uint8(255 * (x / 255.0) ** 0.7),
    "colour": lambda x: np.dstack([x, x, x]),
    "16 bit": lambda x: x.astype(np.uint16) * 257,
    "noisy": lambda x: np.uint8(np.clip(x + np.random.default_rng(1).normal(0, 8, x.shape), 0, 255)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_found_among_others(change):
    pictures = [scene(seed) for seed in range(20)]
    matches = alike([thumbnail(CHANGES[change](pictures[7]))], [thumbnail(x) for x in pictures])
    assert [(match.left, match.right) for match in matches] == [(0, 7)]
    assert matches[0].likeness >= SAME


def test_other_pictures_are_not_alike():
    small = [thumbnail(scene(seed)) for seed in range(60)]
    assert not alike(small[:30], small[30:], SCENE)


def test_flat_pictures_are_like_no_other():
    flat = [thumbnail(np.full((50, 60), level, np.uint8)) for level in (0, 128, 255)]
    assert not alike(flat, [*flat, thumbnail(scene(0))])


def test_groups_join_through_others():
    """A walk over a scene: each view is like the next one alone."""
    wide = scene(3, (240, 1000))
    views = [thumbnail(wide[:, start : start + 320]) for start in range(0, 60, 10)]
    found = groups([*views, thumbnail(scene(4))])
    assert found[:6] == [0] * 6
    assert found[6] == 6


def test_no_pictures():
    assert alike([], []) == []
    assert groups([]) == []
