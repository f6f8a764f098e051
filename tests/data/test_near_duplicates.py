"""Images are found again after what happens to images, and not confused with others."""

import cv2
import numpy as np
import pytest
from made import jpeg, scene

from refinefuse.data.near_duplicates import (
    DUPLICATE_THRESHOLD,
    SCENE_THRESHOLD,
    cluster_near_duplicates,
    find_near_duplicates,
    thumbnail,
)

CHANGES = {
    "encoded again": jpeg,
    "half the size": lambda x: cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "another shape": lambda x: cv2.resize(x, (256, 256)),
    "shifted by a hundredth": lambda x: x[2:, 3:],
    "flipped": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "upside down, smaller, encoded": lambda x: jpeg(cv2.resize(np.ascontiguousarray(x[::-1]), (200, 150))),
    "brighter": lambda x: np.uint8(255 * (x / 255.0) ** 0.7),
    "color": lambda x: np.dstack([x, x, x]),
    "16 bit": lambda x: x.astype(np.uint16) * 257,
    "sensor_noise": lambda x: np.uint8(np.clip(x + np.random.default_rng(1).normal(0, 8, x.shape), 0, 255)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_image_is_found_among_others(change):
    images = [scene(seed) for seed in range(20)]
    matches = find_near_duplicates([thumbnail(CHANGES[change](images[7]))], [thumbnail(x) for x in images])
    assert [(match.left, match.right) for match in matches] == [(0, 7)]
    assert matches[0].similarity >= DUPLICATE_THRESHOLD


def test_other_images_are_no_near_duplicates():
    small = [thumbnail(scene(seed)) for seed in range(60)]
    assert not find_near_duplicates(small[:30], small[30:], SCENE_THRESHOLD)


def test_flat_images_are_like_no_other():
    flat = [thumbnail(np.full((50, 60), level, np.uint8)) for level in (0, 128, 255)]
    assert not find_near_duplicates(flat, [*flat, thumbnail(scene(0))])


def test_groups_join_through_others():
    """A walk over a scene: each view is like the next one alone."""
    wide = scene(3, (240, 1000))
    views = [thumbnail(wide[:, start : start + 320]) for start in range(0, 60, 10)]
    found = cluster_near_duplicates([*views, thumbnail(scene(4))])
    assert found[:6] == [0] * 6
    assert found[6] == 6


def test_no_images():
    assert find_near_duplicates([], []) == []
    assert cluster_near_duplicates([]) == []
