"""Registration of volumes that were moved by a known transform."""

from pathlib import Path

import numpy as np
import pytest

from refinefuse.errors import InputError
from refinefuse.image.medical import registration
from refinefuse.image.medical.registration import VolumeRegistration, register_volumes, write_transform
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


#: Two heads of one outline and one thin skull, with different things in them.
SKULL = [((0, 0, 0), (66, 78, 62), 300, 600), ((0, 2, 0), (62, 74, 58), 60, 420)]
ONE = [*SKULL, *PARTS[2:5], *PARTS[7:]]
OTHER = [*SKULL, ((22, -26, 10), (14, 20, 16), 90, 150), ((-26, 10, -10), (20, 14, 18), -20, 800),
         ((-6, -40, 16), (18, 10, 16), 110, 300), ((-12, 20, 30), (24, 12, 12), 200, 60),
         ((26, 30, -20), (14, 22, 16), 130, 700)]  # fmt: skip


def scan(modality, moved=None, seed=0, parts=PARTS):
    """A head in one modality: sampled where a patient who is moved by a transform would be."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-(side - 1) / 2 * step for side, step in zip(SIDES, SPACING, strict=True)]
    grid = np.stack(np.meshgrid(*map(np.arange, SIDES), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    if moved is not None:
        back = np.linalg.inv(moved)
        grid = grid @ back[:3, :3].T + back[:3, 3]
    values = np.zeros(SIDES)
    for center, radii, *levels in parts:
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
    assert found.rejection_reasons == ()
    assert found.displacement > 15
    assert found.overlap > 0.7
    moved_back = found.apply(moving, fixed)
    np.testing.assert_allclose(moved_back.affine, found.transform @ moving.affine)
    assert moved_back.values is moving.values


def test_what_is_registered_already_stays(tmp_path):
    """The recorded position counts as a result: nothing that fits worse is taken instead."""
    found = register_volumes(scan("CT"), scan("MR", seed=1))
    assert found.score_after >= found.score_before
    assert error(found.transform, np.eye(4)) < 1


def test_the_transform_is_read_by_itk(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    matrix = rigid((4, -6, 9), (11, -8, 6))
    write_transform(tmp_path / "x.tfm", matrix)
    read = sitk.ReadTransform(str(tmp_path / "x.tfm"))
    fixed = np.array([10.0, 20.0, 30.0])
    moving = np.array(read.TransformPoint((fixed * [-1, -1, 1]).tolist())) * [-1, -1, 1]  # LPS there, RAS here
    np.testing.assert_allclose(matrix[:3, :3] @ moving + matrix[:3, 3], fixed)


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
    found = register_volumes(*volumes)
    assert not found.is_reliable
    assert "little in common" in found.rejection_reasons[0]


def test_structures_that_repeat_give_no_confidence():
    """A position that is shifted by a period fits as well."""
    stripes = np.broadcast_to(np.arange(20) % 2 * 500.0, (20, 20, 20))
    grid = np.diag([8.0, 8.0, 4.0, 1.0])
    one = Volume(stripes.astype(np.float32), grid, Path("x.nii"), "MR")
    found = register_volumes(one, one)
    assert any("fits nearly as well" in reason for reason in found.rejection_reasons)


def test_another_patient_is_refused():
    """The outline fits, so that neither the mutual information nor its fall at wrong positions shows it."""
    found = register_volumes(scan("CT", parts=ONE), scan("MR", seed=1, parts=OTHER))
    (reason,) = found.rejection_reasons
    assert "as those of two patients do" in reason
    assert found.score_after > 0.4
    assert found.confidence > 0.02
    assert register_volumes(scan("CT", parts=ONE), scan("MR", seed=1, parts=ONE)).is_reliable


def test_a_thin_slab_is_refused():
    fixed = scan("MR", seed=1)
    slab = Volume(scan("CT").values[:, :, 20:24], rigid((0, 0, 0), (0, 0, 80)) @ fixed.affine, Path("CT.nii"), "CT")
    reasons = register_volumes(slab, fixed).rejection_reasons
    assert reasons[0] == "the thinner volume is only 16 mm thick, at least 20 mm are needed to find rotations"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, None),
        ({"overlap": 0.29}, "the volumes overlap in 29% of the smaller field of view, at least 30% is needed"),
        ({"transform": np.diag([1.3, 1, 1, 1])},
         "the transform stretches or squeezes by a factor of 1.30, at most 1.25 is plausible"),
        ({"transform": np.diag([1, 1, 0.5, 1])},
         "the transform stretches or squeezes by a factor of 2.00, at most 1.25 is plausible"),
        ({"detail": 0.1}, "inside the body, the volumes agree hardly better than when shifted or rotated, as those "
         "of two patients do: 10%, at least 21% is needed"),
        ({"detail": 0.1, "blurred": True}, None),
    ],
)  # fmt: skip
def test_each_rule_refuses_by_itself(values, reason):
    sound = {"transform": np.eye(4), "displacement": 1, "confidence": 0.5, "detail": 0.5, "score_before": 0.1,
             "score_after": 0.2, "overlap": 1, "thickness": 90}  # fmt: skip
    assert VolumeRegistration(**(sound | values)).rejection_reasons == (() if reason is None else (reason,))


@pytest.mark.parametrize(("shift", "expected"), [(0, 1), (21 * 4, 0.5), (42 * 4, 0)])
def test_overlap_is_of_the_smaller_field_of_view(shift, expected):
    whole = scan("MR")
    part = Volume(whole.values[:, :20], whole.affine, whole.path, "MR")
    away = rigid((0, 0, 0), (shift, 0, 0))
    for one, other in ((whole, part), (part, whole)):
        assert registration._overlap(away, one, other) == pytest.approx(expected, abs=0.05)


def test_an_unknown_transform_type():
    with pytest.raises(InputError, match=r"(?s)rigid, affine.*homography"):
        register_volumes(scan("CT"), scan("MR"), "homography")
