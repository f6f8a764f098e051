"""Refine an approximate transform: Gauss-Newton on edge directions, from coarse to fine.

Each step compares the directions of the warped `a` and of `b` at every pixel and solves for the small transform that
best aligns them in the least-squares sense. Edges that only one sensor sees pull in no common direction; because of
them `a` predicts only part of `b`, so its field is scaled accordingly before the two are subtracted.

Source: the step is that of G. D. Evangelidis, E. Z. Psarakis, "Parametric image alignment using enhanced correlation
coefficient maximization", IEEE TPAMI 30(10), 2008, with the mean of both gradients of S. Benhimane, E. Malis,
"Real-time image-based tracking of planes using efficient second-order minimization", IROS 2004; here on vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.alignment.edges import EdgeScale, Field, Gray, Mask, agreement, dot, downsample, orientation
from refinefuse.alignment.transform import Transform, TransformType, centering, corners, project, spline, zoom

_STEP = 0.08  # longest step, relative to the longer side
_ENOUGH = 0.02  # pixels: a smaller step ends the iteration
_CONTROLS = 8  # control points per side of the displacement: 5 x 5 spans
_STIFF = 0.03  # regularization weight of the displacement relative to the data
_PARAMETERS = {"translation": 2, "rigid": 3, "similarity": 4, "affine": 6, "homography": 8}


@dataclass(frozen=True)
class PyramidLevel:
    """One resolution at which a transform is refined.

    Attributes:
        width: longer side of `b` in pixels; smaller images are not resized.
        edge_scale: scale of edge detection.
        transform_type: most rigid transform type for this level; None means the requested one.
        boost: maximum factor by which a step is lengthened.
    """

    width: int
    edge_scale: EdgeScale
    transform_type: TransformType | None = None
    boost: float = 3


COARSE = (
    PyramidLevel(128, EdgeScale(0.7, 4, 1.2), "similarity"),
    PyramidLevel(128, EdgeScale(0.7, 4, 2), "affine"),
    PyramidLevel(128, EdgeScale(0.7, 4, 2)),
    PyramidLevel(160, EdgeScale(0.7, 6, 1.2)),
)
FINE = (
    PyramidLevel(320, EdgeScale(0.7, 8, 2)),
    PyramidLevel(320, EdgeScale(0.7, 8, 1)),
    PyramidLevel(640, EdgeScale(1, 10, 1)),
)
# coarse first, so that unstable results move away; small steps, because halves have few edges
HALF = (PyramidLevel(160, EdgeScale(0.7, 6, 1.5), boost=1), PyramidLevel(320, EdgeScale(0.7, 8, 1), boost=1))
SMALL = PyramidLevel(128, EdgeScale(0.7, 4, 0.7))  # as in the search
_BEND = PyramidLevel(320, EdgeScale(0.7, 8, 1.5))


class Refined(NamedTuple):
    """A refined transform, and its agreement at the last level, in standard deviations over chance."""

    matrix: Float[np.ndarray, "3 3"]
    score: float


class RegistrationInputs(NamedTuple):
    """The lumas to align, and their masks."""

    a: Gray
    b: Gray
    mask_a: Mask
    mask_b: Mask

    def at(self, level: PyramidLevel, matrix: np.ndarray) -> tuple[RegistrationInputs, np.ndarray, np.ndarray]:
        """The images at the size of a level, and the matrices from their pixels to the original pixels."""
        factor = max(self.b.shape) / level.width
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))  # pixels of `a` per pixel of `b`
        factor_a = max(1.0, factor) * min(max(scale, 0.25), 8)
        masks = ((self.mask_a, factor_a), (self.mask_b, factor))
        small = RegistrationInputs(
            downsample(self.a, factor_a),
            downsample(self.b, factor),
            *(downsample(mask.astype(np.float32), by) > 0.99 for mask, by in masks),
        )
        return small, zoom(self.a.shape, small.a.shape), zoom(self.b.shape, small.b.shape)


def refine(
    images: RegistrationInputs,
    matrix: Float[np.ndarray, "3 3"],
    transform_type: TransformType,
    levels: tuple[PyramidLevel, ...],
) -> Refined:
    """Refine a transform over several levels; components that the transform type lacks stay unchanged."""
    score = 0.0
    for level in levels:
        stiffest = min((transform_type, level.transform_type or transform_type), key=_softness)
        small, to_a, to_b = images.at(level, matrix)
        found, score = _solve(
            small, np.linalg.inv(to_a) @ matrix @ to_b, stiffest if stiffest != "bspline" else "homography", level
        )
        matrix = to_a @ found @ np.linalg.inv(to_b)
        matrix = matrix / matrix[2, 2]
    return Refined(matrix, score)


def measure(images: RegistrationInputs, transform: Transform, level: PyramidLevel = FINE[1]) -> float:
    """Agreement of the directions under a transform, in standard deviations over chance."""
    small, to_a, to_b = images.at(level, transform.matrix)
    moved, inside = _moved(small, _shrunk(transform, small, to_a, to_b), level.edge_scale)
    return agreement(moved, orientation(small.b, level.edge_scale), inside)


def _softness(transform_type: str) -> int:
    return _PARAMETERS.get(transform_type, _PARAMETERS["homography"])  # a displacement starts from a homography


def _solve(
    small: RegistrationInputs, matrix: np.ndarray, transform_type: str, level: PyramidLevel, iterations: int = 12
) -> Refined:
    """The best transform found by Gauss-Newton steps from `matrix`."""
    edge_scale, size = level.edge_scale, small.b.shape
    fixed = orientation(small.b, edge_scale)
    basis = _basis(transform_type, size)
    best = Refined(matrix, -np.inf)
    for _ in range(iterations):
        step, score = _step(small, matrix, fixed, basis, level)
        if score > best.score:
            best = Refined(matrix, score)
        longest = float(np.abs(step).max())
        limit = _STEP * max(size)
        change = _motion(transform_type, step * min(1, limit / max(longest, 1e-9)), size)
        matrix = matrix @ change
        matrix = matrix / matrix[2, 2]
        ends = corners(size)
        if np.abs(project(change, ends) - ends).max() < _ENOUGH:
            break
    moved, inside = _moved(small, _plain(matrix, small), edge_scale)
    score = agreement(moved, fixed, inside)
    return Refined(matrix, score) if score >= best.score else best


def _step(
    small: RegistrationInputs, matrix: np.ndarray, fixed: Field, basis: np.ndarray, level: PyramidLevel
) -> tuple[np.ndarray, float]:
    """The least-squares step, in pixels at the end of the longer side, and the agreement before it."""
    moved, inside = _moved(small, _plain(matrix, small), level.edge_scale)

    def along(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(basis[:, 0] * x + basis[:, 1] * y)

    normal, right = _normal_equations(moved, fixed, inside, along)
    normal[np.diag_indices_from(normal)] += 1e-3 * np.trace(normal) / len(normal) + 1e-9
    longer = min(_shortness(moved, fixed, inside), level.boost)
    return longer * np.linalg.solve(normal, right), agreement(moved, fixed, inside)


def _shortness(moved: Field, fixed: Field, inside: Mask) -> float:
    """The factor by which a least-squares step is too short, because edges unique to one image damp it."""
    energy, other, common = (
        float(dot(x, y)[inside].sum()) for x, y in ((moved, moved), (fixed, fixed), (moved, fixed))
    )
    part = max(common / (energy + 1e-9), 1e-3)
    speed = 2 * part**2 * (1 + part) / (3 * part**2 + other / (energy + 1e-9))
    return max(1 / (speed + 1e-9), 1.0)


def _normal_equations(
    moved: Field, fixed: Field, inside: Mask, along: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and right-hand side for the parameters; `along` derives their effect from the gradients of the field."""
    weight = inside.astype(np.float32)
    energy = float(np.vdot(dot(moved, moved), weight)) + 1e-9
    part = float(np.clip(np.vdot(dot(moved, fixed), weight) / energy, 0.1, 1))
    middle = (part * moved + fixed) / 2
    rest = (fixed - part * moved) * weight[..., None]
    normal: np.ndarray | float = 0.0
    right: np.ndarray | float = 0.0
    for channel in range(2):
        x, y = (cv2.Sobel(middle[..., channel], cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
        effect = along((x * weight).ravel(), (y * weight).ravel())
        normal = normal + (effect @ effect.T).astype(float)
        right = right + (effect @ rest[..., channel].ravel()).astype(float)
    return np.asarray(normal), np.asarray(right)


def _moved(small: RegistrationInputs, motion: Transform, edge_scale: EdgeScale) -> tuple[Field, Mask]:
    """The edge directions of `a` on the grid of `b`, and the mask where both images are valid."""
    image, inside = motion.resample(small.a, small.mask_a)
    margin = np.ones((5, 5), np.uint8)
    near = cv2.erode((inside & small.mask_b).astype(np.uint8), margin, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return orientation(image, edge_scale), near.astype(bool)


def _plain(matrix: np.ndarray, small: RegistrationInputs) -> Transform:
    return Transform("homography", small.a.shape, small.b.shape, matrix)


def _shrunk(transform: Transform, small: RegistrationInputs, to_a: np.ndarray, to_b: np.ndarray) -> Transform:
    """The transform between the downsampled images."""
    displacement = None if transform.displacement is None else transform.displacement / to_b[[0, 1], [0, 1]]
    return Transform(
        transform.transform_type,
        small.a.shape,
        small.b.shape,
        np.linalg.inv(to_a) @ transform.matrix @ to_b,
        displacement,
    )


def _basis(transform_type: str, size: tuple[int, int]) -> Float[np.ndarray, "p 2 n"]:
    """The derivative of the position of each pixel of `b` with respect to each parameter."""
    h, w = size
    half = max(size) / 2
    y, x = (axis.ravel().astype(np.float32) for axis in np.mgrid[:h, :w])
    x, y = (x - (w - 1) / 2) / half, (y - (h - 1) / 2) / half
    one, nil = np.ones_like(x), np.zeros_like(x)
    rows = [(one, nil), (nil, one)]
    if transform_type in ("rigid", "similarity"):
        rows += [(-y, x), (x, y)]
    elif transform_type in ("affine", "homography"):
        rows += [(x, nil), (y, nil), (nil, x), (nil, y), (x * x, x * y), (x * y, y * y)]
    return np.array(rows[: _PARAMETERS[transform_type]], np.float32)


def _motion(transform_type: str, parameters: np.ndarray, size: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """The matrix for small parameters of `_basis`, exact within its group: a rigid transform stays rigid."""
    half = max(size) / 2
    q = parameters / half
    m = np.eye(3)
    m[0, 2], m[1, 2] = q[0], q[1]
    if transform_type in ("rigid", "similarity"):
        scale = 1 + q[3] if transform_type == "similarity" else 1.0
        c, s = np.cos(q[2]) * scale, np.sin(q[2]) * scale
        m[:2, :2] = [[c, -s], [s, c]]
    elif transform_type in ("affine", "homography"):
        m[:2, :2] += q[2:6].reshape(2, 2)
        m[2, :2] = -q[6:8] if transform_type == "homography" else 0  # x / (1 - p x - q y) is nearly x + p x x + q x y
    about = centering(size, half)
    return np.asarray(about @ m @ np.linalg.inv(about))


def add_displacement(images: RegistrationInputs, matrix: Float[np.ndarray, "3 3"], iterations: int = 8) -> Transform:
    """Add a smooth displacement to a transform if it improves the agreement of the directions."""
    small, to_a, to_b = images.at(_BEND, matrix)
    h, w = small.b.shape
    weights = np.einsum("yr,xc->rcyx", spline(np.arange(h), h, _CONTROLS), spline(np.arange(w), w, _CONTROLS))
    basis = weights.reshape(_CONTROLS**2, h * w).astype(np.float32)
    fixed, stiffness = orientation(small.b, _BEND.edge_scale), _stiffness()
    inner = np.linalg.inv(to_a) @ matrix @ to_b
    controls = np.zeros((_CONTROLS, _CONTROLS, 2))
    best, best_score = controls, -np.inf
    for _ in range(iterations + 1):
        motion = Transform("bspline", small.a.shape, small.b.shape, inner, controls)
        moved, inside = _moved(small, motion, _BEND.edge_scale)
        score = agreement(moved, fixed, inside)
        if score <= best_score:
            break
        best, best_score = controls, score
        normal, right = _normal_equations(moved, fixed, inside, lambda x, y: np.concatenate([basis * x, basis * y]))
        flat = controls.reshape(-1, 2).T.ravel()
        resist = _STIFF * np.trace(normal) / len(normal) * stiffness
        step = np.linalg.solve(normal + resist, right - resist @ flat)
        controls = (flat + np.clip(step, -_STEP * w, _STEP * w)).reshape(2, -1).T.reshape(controls.shape)
    return Transform("bspline", images.a.shape, images.b.shape, matrix, best * to_b[[0, 1], [0, 1]])


def _stiffness() -> Float[np.ndarray, "p p"]:
    """Quadratic form of the second differences of the control points, with a small penalty on the points themselves."""
    second = np.diff(np.eye(_CONTROLS), 2, axis=0)
    one = np.eye(_CONTROLS)
    form = np.kron(second.T @ second, one) + np.kron(one, second.T @ second) + 1e-2 * np.eye(_CONTROLS**2)
    return np.kron(np.eye(2), form)
