"""Registration of volumes that were moved by a known transform."""

from pathlib import Path

import numpy as np
import pytest

from refinefuse.errors import InputError
from refinefuse.image.medical.registration import register_volumes
from refinefuse.image.medical.volume import Volume

pytest.importorskip("SimpleITK")

SIDES, SPACING = (42, 45, 40), (4.0, 4.0, 4.0)
#: Ellipsoids (center and radii in millimeters), and their values in the two modalities.
PARTS = [((0, 0, 0), (66, 78, 62), 300, 600), ((0, 4, 0), (58, 70, 54), 60, 420), ((-20, 22, 8), (16, 24, 14), 90, 150),
         ((24, -18, -6), (12, 20, 26), -20, 800), ((8, 38, 20), (20, 8, 12), 110, 300),
         ((0, 80, -20), (12, 14, 18), 40, 90), ((-66, -6, -10), (10, 16, 20), 50, 200),
         ((10, 40, -56), (30, 34, 14), 200, 60), ((-30, -36, 24), (18, 14, 20), 130, 700)]  # fmt: skip


def rigid(angles, shift):
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(angles)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        one = np.eye(4)
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        matrix = one @ matrix
    matrix[:3, 3] = shift
    return matrix


def scan(modality, moved=None, seed=0):
    """A head in one modality: sampled where a patient who is moved by a transform would be."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-(side - 1) / 2 * step for side, step in zip(SIDES, SPACING, strict=True)]
    grid = np.stack(np.meshgrid(*map(np.arange, SIDES), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    if moved is not None:
        back = np.linalg.inv(moved)
        grid = grid @ back[:3, :3].T + back[:3, 3]
    values = np.zeros(SIDES)
    for center, radii, *levels in PARTS:
        inside = (((grid - center) / radii) ** 2).sum(-1) < 1
        values[inside] = levels[modality == "MR"]
    values += np.random.default_rng(seed).normal(0, 8, SIDES)
    return Volume(values.astype(np.float32), affine, Path(f"{modality}.nii"), modality)


def error(found, expected):
    """The largest distance in millimeters between points of the head that both transforms move."""
    points = np.array(np.meshgrid([-60, 60], [-70, 70], [-55, 55])).reshape(3, -1)
    apart = (found - expected)[:3, :3] @ points + (found - expected)[:3, 3:]
    return np.linalg.norm(apart, axis=0).max()


def test_a_rigid_motion_between_two_modalities():
    moved = rigid((4, -6, 9), (11, -8, 6))
    moving, fixed = scan("CT", moved), scan("MR", seed=1)
    found = register_volumes(moving, fixed)
    assert error(np.eye(4), np.linalg.inv(moved)) > 15
    assert error(found.transform, np.linalg.inv(moved)) < 1.5
    assert found.is_reliable
    assert found.score_after > 2 * found.score_before
    np.testing.assert_allclose(found.apply(moving).affine, found.transform @ moving.affine)


@pytest.mark.slow
def test_an_affine_transform():
    moved = rigid((3, 2, -4), (5, 6, -4)) @ np.diag([1.06, 0.95, 1.04, 1])
    found = register_volumes(scan("CT", moved), scan("MR", seed=1), "affine")
    assert error(found.transform, np.linalg.inv(moved)) < 2


def test_volumes_that_do_not_overlap_are_brought_together():
    moving, fixed = scan("CT"), scan("MR", seed=1)
    away = rigid((0, 0, 0), (900, 0, 0))
    far = Volume(moving.values, away @ moving.affine, moving.path, "CT")
    found = register_volumes(far, fixed)
    assert found.score_before == 0
    assert error(found.transform @ away, np.eye(4)) < 1.5


def test_noise_gives_no_confidence():
    noise = [np.random.default_rng(seed).normal(500, 50, (20, 20, 20)).astype(np.float32) for seed in (0, 1)]
    volumes = [Volume(values, np.diag([4.0, 4.0, 4.0, 1.0]), Path("x.nii"), "MR") for values in noise]
    assert not register_volumes(*volumes).is_reliable


def test_an_unknown_transform_type():
    with pytest.raises(InputError, match=r"(?s)rigid, affine.*homography"):
        register_volumes(scan("CT"), scan("MR"), "homography")
