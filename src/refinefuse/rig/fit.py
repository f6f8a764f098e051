"""Robust fit of a rig to cell matches: a homography between two lenses, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from refinefuse.alignment.transform import centering
from refinefuse.rig.lens import Lens, nominal_lens
from refinefuse.rig.model import LensTransform

# Prior standard deviations of the parameters for two cameras side by side.
# Shift, rotation and scale are free; stretch, shear and perspective allow optical axes up to 5 degrees apart; k1 and k2
# cover lenses from fisheye-like to pincushion, for a focal length equal to the longer side.
_FREE = 10.0
_PRIOR = np.array([_FREE, _FREE, _FREE, _FREE, 0.02, 0.02, 0.04, 0.04, 0.15, 0.01, 0.15, 0.01])
_GEOMETRY, _LENSES = 8, 4
UNEVEN = 0.5  # pixels: minimum deviation of any cell, since scenes are not flat
TAIL = 2.0  # standard deviations beyond which cells are down-weighted
_ROUNDS = 12
_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class RigModel:
    """A transform model with 12 parameters relative to an initial matrix, or 8 if the lenses are known.

    Attributes:
        start: the matrix at zero parameters, between undistorted images.
        size_moving: height and width of `a`.
        size_fixed: height and width of `b`.
        lens_moving: lens of `a`, if known.
        lens_fixed: lens of `b`, if known.
    """

    start: Float[np.ndarray, "3 3"]
    size_moving: tuple[int, int]
    size_fixed: tuple[int, int]
    lens_moving: Lens | None = None
    lens_fixed: Lens | None = None

    def transform(self, theta: Float[np.ndarray, " p"]) -> LensTransform:
        """Return the transform for given parameters."""
        shift_x, shift_y, turn, scale, stretch, shear, *perspective = theta[:_GEOMETRY]
        m = np.eye(3)
        m[:2] += [[scale + stretch, shear - turn, shift_x], [shear + turn, scale - stretch, shift_y]]
        m[2, :2] = perspective
        about = centering(self.size_fixed, max(self.size_fixed) / 2)
        matrix = self.start @ about @ m @ np.linalg.inv(about)
        k1_a, k2_a, k1_b, k2_b = theta[_GEOMETRY:]
        return LensTransform(
            "homography",
            self.size_moving,
            self.size_fixed,
            matrix / matrix[2, 2],
            None,
            self.lens_moving or nominal_lens(self.size_moving, k1_a, k2_a),
            self.lens_fixed or nominal_lens(self.size_fixed, k1_b, k2_b),
        )

    @property
    def prior(self) -> Float[np.ndarray, " p"]:
        """Return the prior standard deviations of the parameters; close to 0 for known lenses."""
        known = [lens is not None for lens in (self.lens_moving, self.lens_moving, self.lens_fixed, self.lens_fixed)]
        return np.where([False] * _GEOMETRY + known, 1e-6, _PRIOR)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted rig.

    Attributes:
        model: the transform model.
        theta: its parameters.
        covariance: covariance of the parameters.
        weights: (n,), robust weight of each cell in [0, 1].
        residual: (n,), residual of each cell in pixels of `b`.
    """

    model: RigModel
    theta: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    weights: Float[np.ndarray, " n"]
    residual: Float[np.ndarray, " n"]

    @property
    def transform(self) -> LensTransform:
        """The fitted transform."""
        return self.model.transform(self.theta)

    def error_at(self, points: Float[np.ndarray, "n 2"], scale: float) -> Float[np.ndarray, " n"]:
        """Expected error (one standard deviation) at points of `b`, in pixels of `b`; each is `scale` pixels of `a`."""
        by_theta = jacobian(lambda theta: self.model.transform(theta).map_points(points), self.theta)
        variance = np.einsum("nip,pq,niq->n", by_theta, self.covariance, by_theta)
        return np.asarray(np.sqrt(variance) / scale)


def fit(
    model: RigModel,
    theta: Float[np.ndarray, " p"],
    points: Float[np.ndarray, "n 2"],
    targets: Float[np.ndarray, "n 2"],
    covariance: Float[np.ndarray, "n 2 2"],
    tail: float = TAIL,
) -> Fit:
    """Fit the parameters to point pairs by iteratively reweighted Gauss-Newton steps, which down-weight outliers.

    Args:
        model: the transform model.
        theta: initial parameters.
        points: points in `b`.
        targets: the corresponding points in `a`.
        covariance: covariance of the targets, in squared pixels of `a`.
        tail: standard deviations beyond which a cell is down-weighted.
    """
    scale = float(np.sqrt(abs(np.linalg.det(model.start[:2, :2]))))
    information = np.linalg.inv(covariance + np.eye(2) * (UNEVEN * scale) ** 2)
    prior = np.diag(1 / model.prior**2)
    limit = np.full(len(points), tail)
    for _ in range(_ROUNDS):
        rest = targets - model.transform(theta).map_points(points)
        distance = np.einsum("ni,nij,nj->n", rest, information, rest)
        weights = 1 / (1 + distance / limit**2)
        by_theta = jacobian(lambda values: model.transform(values).map_points(points), theta)
        weighted = weights[:, None, None] * information
        normal = np.einsum("nip,nij,njq->pq", by_theta, weighted, by_theta) + prior
        right = np.einsum("nip,nij,nj->p", by_theta, weighted, rest) - prior @ theta
        step = np.linalg.solve(normal, right)
        theta = theta + step
        if np.abs(step).max() < 1e-7:
            break
    rest = targets - model.transform(theta).map_points(points)
    distance = np.einsum("ni,nij,nj->n", rest, information, rest)
    weights = 1 / (1 + distance / limit**2)
    spread = float((weights * distance).sum() / max(2 * weights.sum(), 1e-9))
    return Fit(model, theta, np.linalg.inv(normal) * max(1.0, spread), weights, np.linalg.norm(rest, axis=1) / scale)


def jacobian(function: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> Float[np.ndarray, "n 2 p"]:
    """Return the derivatives of points with respect to the parameters."""
    steps = np.eye(len(theta)) * _STEP
    return np.stack([(function(theta + step) - function(theta - step)) / (2 * _STEP) for step in steps], -1)
