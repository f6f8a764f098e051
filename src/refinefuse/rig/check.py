"""Check on later frames whether the cameras of a rig have moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from refinefuse.alignment.transform import corners
from refinefuse.errors import InputError
from refinefuse.image.pixels import Pixels
from refinefuse.rig.calibrate import to_lumas
from refinefuse.rig.cells import COARSE, FINE, CellMatches, CellSurfaces
from refinefuse.rig.model import Rig

_MOVED = 1.8  # mean corner displacement, in pixels at a width of 640, above which a camera has moved
_SURE = 3.5  # standard deviations
_SCORE = 12.0  # minimum score of a cell, in standard deviations above chance
_CELLS = 8
_UNEVEN = 0.5  # pixels, as in the calibration
_ROUNDS = 10


@dataclass(frozen=True)
class RigCheck:
    """Whether a rig is still valid; lengths in pixels of `b`.

    Attributes:
        frames: number of frame pairs used.
        shift: mean displacement of the corners.
        uncertainty: standard deviation of `shift`.
        is_known: whether the frames have enough edges for a result.
        has_moved: whether a camera has moved.
    """

    frames: int
    shift: float
    uncertainty: float
    is_known: bool
    has_moved: bool


def check_rig(rig: Rig, frames: Iterable[tuple[Pixels, Pixels]], *, distance: float | None = None) -> RigCheck:
    """Check a rig on later frames; 20 different scenes reveal a displacement of 3 pixels.

    Args:
        rig: the calibrated rig.
        frames: pairs (a, b) of the same two cameras, in the sizes of the rig.
        distance: distance to the scene in meters; None uses that of the calibration.

    Raises:
        InputError: there are no frames, or their sizes differ from the rig's.
    """
    lumas = to_lumas(frames, fewest=1)
    transform = rig.transform(distance)
    transform.check_size("a", lumas[0][0].shape)
    transform.check_size("b", lumas[0][1].shape)
    coarse = CellSurfaces(lumas, transform, COARSE)
    level = CellSurfaces(lumas, transform, FINE)
    scale = max(rig.size_fixed) / 640
    ends = corners(rig.size_fixed)
    found = [_displacement(one.matches(), rig.size_fixed) for one in (coarse, level)]
    moves = [one for one in found if one is not None]
    if not moves:
        return RigCheck(len(lumas), 0.0, float("inf"), is_known=False, has_moved=False)
    far = np.linalg.norm(_at(moves[0], ends, rig.size_fixed), axis=1).mean() > FINE.radius * scale / 2
    surfaces = coarse if far or found[1] is None else level
    move = moves[0] if surfaces is coarse else moves[-1]
    shift = float(np.linalg.norm(_at(move, ends, rig.size_fixed), axis=1).mean())
    groups = [_displacement(surfaces.matches(without=group), rig.size_fixed) for group in range(surfaces.groups)]
    positions = [_at(one, ends, rig.size_fixed) for one in groups if one is not None]
    uncertainty = _jackknife(np.stack(positions)) if len(positions) > 1 else float("inf")
    moved = shift > _MOVED * scale and shift > _SURE * uncertainty
    return RigCheck(len(lumas), shift, uncertainty, is_known=True, has_moved=bool(moved))


def _jackknife(positions: np.ndarray) -> float:
    count = len(positions)
    return float(np.sqrt(((positions - positions.mean(0)) ** 2).sum(-1).sum(0) * (count - 1) / count).mean())


def _basis(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the displacement of points per unit of shift, rotation and scale: (n, 2, 4)."""
    h, w = size
    x, y = ((points - [(w - 1) / 2, (h - 1) / 2]) / (max(size) / 2)).T
    one, nil = np.ones_like(x), np.zeros_like(x)
    return np.stack([np.stack([one, nil, -y, x], 1), np.stack([nil, one, x, y], 1)], 1)


def _at(move: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(_basis(points, size) @ move)


def _displacement(matches: CellMatches, size: tuple[int, int]) -> np.ndarray | None:
    """Fit shift, rotation and scale to the cells, in pixels at the end of the longer side."""
    used = matches.scores >= _SCORE
    if used.sum() < _CELLS:
        return None
    basis, shifts = _basis(matches.points[used], size), matches.shifts[used]
    information = np.linalg.inv(matches.covariance[used] + np.eye(2) * _UNEVEN**2)
    move = np.r_[np.median(shifts, 0), 0.0, 0.0]
    for _ in range(_ROUNDS):
        rest = shifts - basis @ move
        weights = 1 / (1 + np.einsum("ni,nij,nj->n", rest, information, rest) / 4)
        weighted = weights[:, None, None] * information
        normal = np.einsum("nip,nij,njq->pq", basis, weighted, basis) + 1e-6 * np.eye(4)
        move = np.linalg.solve(normal, np.einsum("nip,nij,nj->p", basis, weighted, shifts))
    return np.asarray(move)


def describe(check: RigCheck) -> str:
    """Describe the result in one sentence."""
    if not check.is_known:
        return f"{check.frames} pairs of frames show too few edges to decide whether a camera moved."
    found = f"corners are {check.shift:.1f} pixels (+-{check.uncertainty:.1f}) from where the rig puts them"
    return f"A camera moved: {found}." if check.has_moved else f"The rig is still valid: {found}."


def require_known(check: RigCheck) -> None:
    """Reject an inconclusive result.

    Raises:
        InputError: the frames have too few edges.
    """
    if not check.is_known:
        raise InputError(f"{describe(check)}\nUse more frames of scenes with structure.")
