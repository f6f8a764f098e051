"""Calibrate two cameras on one mount from frames of ordinary scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from refinefuse.alignment.edges import Gray, luma
from refinefuse.alignment.transform import corners
from refinefuse.errors import AlignmentError, InputError
from refinefuse.image.pixels import Pixels
from refinefuse.rig.cells import COARSE, FINE, CellLevel, CellMatches, CellSurfaces, local_scale
from refinefuse.rig.fit import Fit, RigModel, fit
from refinefuse.rig.joint import JointCells
from refinefuse.rig.lens import Lens
from refinefuse.rig.model import LensTransform, Rig, RigQuality
from refinefuse.rig.start import search_rig

FEWEST = 5
"""Minimum number of frame pairs for a calibration."""
_STEPS: tuple[tuple[CellLevel, float], ...] = (
    (COARSE, 8), (COARSE, 4), (COARSE, 2), (COARSE, 2), (FINE, 3), (FINE, 2), (FINE, 2)
)  # fmt: skip
"""Coarse-to-fine schedule: resolution, and outlier threshold of the fit in standard deviations."""
_JOINT = 3  # joint refinement steps with small cells
_STARTS = 3  # number of motions from the search to refine
_APART = 0.06  # fraction of the longer side: motions whose corners are closer on average are the same
_SCORE = 12.0  # minimum score of a cell, in standard deviations above chance
_CELLS = 8  # minimum number of consistent cells
_AGREEING = 0.5  # minimum fraction of consistent cells
_ERROR = 3.0  # pixels at a width of 640
_RIVAL = 0.9
_MAP = (6, 8)  # rows and columns of the error map
_SMALLEST = 64  # minimum height and width in pixels
Frames = Sequence[tuple[Gray, Gray]]


def calibrate_rig(
    frames: Iterable[tuple[Pixels, Pixels]],
    *,
    lens_a: Lens | None = None,
    lens_b: Lens | None = None,
    distance: float | None = None,
) -> Rig:
    """Estimate the transform from each pixel of `b` to its position in `a`, for two cameras on one mount.

    Args:
        frames: at least five synchronized pairs (a, b) of ordinary scenes; 20 different scenes are enough. Each frame
            is (h, w) or (h, w, c), uint8, uint16 or float32 in [0, 1].
        lens_a: lens of the moving camera, if calibrated; None estimates its distortion.
        lens_b: lens of the fixed camera, if calibrated; None estimates its distortion.
        distance: distance to the scene in meters, if known; the calibration is exact at that distance.

    Raises:
        AlignmentError: the frames do not determine the transform.
        InputError: there are too few frames, their sizes differ, or they are not images.
    """
    lumas = to_lumas(frames)
    if distance is not None and not distance > 0:
        raise InputError(f"A distance must be above 0 meters.\n  got: {distance:g}")
    size_a, size_b = lumas[0][0].shape, lumas[0][1].shape
    models = [RigModel(matrix, size_a, size_b, lens_a, lens_b) for matrix in _starts(lumas)]
    tried = [found for found in (_refine(lumas, model, _STEPS[:3]) for model in models) if found is not None]
    if not tried:
        raise AlignmentError(_refusal(["no transform makes the edges of both cameras agree"]))
    ranked = sorted(tried, key=lambda one: -one[1].score)
    best = _refine(lumas, ranked[0][0].model, _STEPS[3:], ranked[0][0].theta)
    if best is None:
        raise AlignmentError(_refusal(["no transform makes the edges of both cameras agree"]))
    found, surfaces = best
    for _ in range(_JOINT):
        joint = JointCells(lumas, found)
        found = joint.improve()
    quality, reasons = _quality(found, surfaces, joint, len(lumas))
    if len(ranked) > 1 and ranked[1][1].score > _RIVAL * ranked[0][1].score and _far(ranked[0][0], ranked[1][0]):
        reasons.append("the match is ambiguous: another transform fits the frames equally well")
    if reasons:
        raise AlignmentError(_refusal(reasons))
    transform = found.transform
    return Rig(
        size_a, size_b, transform.matrix, transform.lens_moving, transform.lens_fixed,
        np.inf if distance is None else distance, None, quality,
    )  # fmt: skip


def to_lumas(frames: Iterable[tuple[Pixels, Pixels]], fewest: int = FEWEST) -> list[tuple[Gray, Gray]]:
    """Convert frames to lumas in [0, 1].

    Raises:
        InputError: there are too few frames, their sizes differ, or they are too small or not images.
    """
    lumas = [(luma(a), luma(b)) for a, b in frames]
    if len(lumas) < fewest:
        raise InputError(f"Calibration needs more frames.\n  expected: {fewest} or more pairs\n  got: {len(lumas)}")
    for side, name in enumerate("ab"):
        first = lumas[0][side].shape
        for number, pair in enumerate(lumas):
            if pair[side].shape != first:
                raise InputError(
                    f"All frames of `{name}` must have the same size, because they come from one camera.\n"
                    f"  expected: {first[0]} x {first[1]}\n"
                    f"  frame {number + 1}: {pair[side].shape[0]} x {pair[side].shape[1]}"
                )
        if min(first) < _SMALLEST:
            raise InputError(
                f"Frames of `{name}` are too small.\n  expected: at least {_SMALLEST} x {_SMALLEST}\n"
                f"  got: {first[0]} x {first[1]}"
            )
    return lumas


def _starts(lumas: Frames) -> list[Float[np.ndarray, "3 3"]]:
    """Return the best motions of the search, without near-duplicates."""
    ends = corners(lumas[0][1].shape)
    starts: list[tuple[np.ndarray, np.ndarray]] = []
    for one in search_rig(lumas):
        scale = np.sqrt(abs(np.linalg.det(one.matrix[:2, :2])))
        positions = ends @ one.matrix[:2, :2].T + one.matrix[:2, 2]
        limit = _APART * max(lumas[0][1].shape) * scale
        if all(np.linalg.norm(positions - other, axis=1).mean() > limit for _, other in starts):
            starts.append((one.matrix, positions))
        if len(starts) == _STARTS:
            break
    return [matrix for matrix, _ in starts]


def _refine(
    lumas: Frames, model: RigModel, steps: Sequence[tuple[CellLevel, float]], theta: np.ndarray | None = None
) -> tuple[Fit, CellSurfaces] | None:
    """Alternate between matching cells and fitting; None if no cells match."""
    theta = np.zeros(len(model.prior)) if theta is None else theta
    found = None
    for level, tail in steps:
        transform = model.transform(theta)
        surfaces = CellSurfaces(lumas, transform, level)
        matches = surfaces.matches()
        found = fit_matches(model, theta, transform, matches, tail)
        if found is None:
            return None
        theta = found.theta
    return None if found is None else (found, surfaces)


def fit_matches(
    model: RigModel, theta: np.ndarray, transform: LensTransform, matches: CellMatches, tail: float = 2.0
) -> Fit | None:
    """Fit a rig to the cell matches found under a transform; None if there are too few."""
    used = matches.scores >= _SCORE
    if used.sum() < _CELLS:
        return None
    points, shifts = matches.points[used], matches.shifts[used]
    targets = transform.map_points(points + shifts)
    covariance = matches.covariance[used] * local_scale(transform) ** 2
    sound = np.isfinite(targets).all(1)
    return fit(model, theta, points[sound], targets[sound], covariance[sound], tail)


def _far(one: Fit, other: Fit) -> bool:
    ends = corners(one.model.size_fixed)
    apart = one.transform.map_points(ends) - other.transform.map_points(ends)
    return float(np.linalg.norm(apart, axis=1).mean()) > _APART * max(one.model.size_fixed)


def overlap_corners(transform: LensTransform) -> Float[np.ndarray, "4 2"]:
    """Return the four corners of the overlap in `b`; without an overlap, the corners of `b`."""
    ends = corners(transform.size_fixed)
    x, y = transform.positions
    h, w = transform.size_moving
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    if not inside.any():
        return ends
    rows, columns = np.nonzero(inside)
    points = np.stack([columns, rows], 1).astype(float)
    outward = ends - corners(transform.size_fixed).mean(0)
    return np.stack([points[np.argmax((points - points.mean(0)) @ one)] for one in outward])


def _quality(found: Fit, surfaces: CellSurfaces, joint: JointCells, frames: int) -> tuple[RigQuality, list[str]]:
    """Assess a fit: its quality, and any reasons to reject it."""
    transform = found.transform
    scale = local_scale(transform)
    ends = overlap_corners(transform)
    count = surfaces.groups
    sufficient = all((surfaces.matches(without=group).scores >= _SCORE).sum() >= _CELLS for group in range(count))
    positions = np.stack([joint.improve(without=group).transform.map_points(ends) for group in range(count)]) / scale
    spread = np.sqrt(((positions - positions.mean(0)) ** 2).sum(-1).sum(0) * (count - 1) / count)
    error = np.maximum(found.error_at(ends, scale), spread)
    agreeing = float((found.weights > 0.5).mean())
    residual = float(np.median(found.residual))
    quality = RigQuality(frames, surfaces.score, float(error.max()), residual, _error_map(found, scale))
    allowed = _ERROR * max(transform.size_fixed) / 640
    rules = (
        (sufficient, "only some of the frames determine the result: the others show too few edges"),
        (agreeing >= _AGREEING, f"only {agreeing:.0%} of the positions agree with each other"),
        (
            residual <= allowed,
            f"half of the positions are {residual:.1f} pixels or more off the fit, at most {allowed:.1f} are "
            "allowed: do the "
            "frames show only one scene?",
        ),
        (
            quality.corner_error <= allowed,
            f"the corners are known only to {quality.corner_error:.1f} pixels, at most {allowed:.1f} are allowed",
        ),
    )
    return quality, [text for holds, text in rules if not holds]


def _error_map(found: Fit, scale: float) -> tuple[tuple[float | None, ...], ...]:
    h, w = found.model.size_fixed
    y, x = ((np.arange(count) + 0.5) / count * side - 0.5 for count, side in zip(_MAP, (h, w), strict=True))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    positions = found.transform.map_points(points)
    h_a, w_a = found.model.size_moving
    inside = np.asarray(((positions >= 0) & (positions <= (w_a - 1, h_a - 1))).all(1))
    errors = found.error_at(points, scale)
    cells = [round(float(one), 2) if known else None for one, known in zip(errors, inside, strict=True)]
    return tuple(tuple(cells[row * _MAP[1] : (row + 1) * _MAP[1]]) for row in range(_MAP[0]))


def _refusal(reasons: Sequence[str]) -> str:
    listed = "\n".join(f"  {reason}" for reason in reasons)
    return (
        f"The rig could not be calibrated, so nothing was written.\n{listed}\n"
        "Use more frames of different scenes with structure all over the image (buildings, trees, by day), check that "
        "the frames of both cameras belong together, or pass the lenses (`lens_a`, `lens_b`)."
    )
