"""Subpixel refinement from small cells jointly, without a peak in each cell.

At the current transform, the products of both edge fields are summed over the frames for a few shifts around zero, per
pixel, and pooled in small cells. In each cell they are close to a parabola in the shift, and the shift is a function of
the parameters, so one linear system yields the parameters that best align all cells. A cell with a single edge, which
has no peak, still constrains one direction, and the corners of the image contribute their own edges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.alignment.edges import EdgeScale, Gray, dot, downsample, orientation
from refinefuse.rig.cells import CORRELATED, GROUPS, CellLevel, Sampler
from refinefuse.rig.fit import TAIL, UNEVEN, Fit, jacobian

LEVEL = CellLevel(640, 3, EdgeScale(0.8, 8, 1))
_CELL = 32  # pixels per side
_NEAR = 1.5  # standard deviation in pixels of the shift weights around zero
_LONGEST = 1.5  # maximum motion of any cell per step, in pixels


class JointCells:
    """Sums over the frames of the products of the edge fields of `a` and `b`, by group of frames, shift and cell.

    Args:
        frames: lumas of `a` and `b`, each of constant size.
        found: the current fit.
        level: resolution and search range.
    """

    def __init__(self, frames: Sequence[tuple[Gray, Gray]], found: Fit, level: CellLevel = LEVEL) -> None:
        self._found = found
        sampler = Sampler(found.transform, level)
        h, w = sampler.inside.shape
        side = 2 * level.radius + 1
        self._grid = max(1, w // _CELL), max(1, h // _CELL)
        self._to_b, self._size = sampler.to_b, (h, w)
        steps = np.arange(side) - level.radius
        self._shifts = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        shape = min(GROUPS, len(frames)), len(self._shifts), self._grid[0] * self._grid[1]
        products, energy, chance = (np.zeros(one, np.float32) for one in (shape, shape, shape[::2]))
        # Use only pixels with a counterpart at every shift: the border of `a` would bias the sums inward.
        sure = cv2.erode(sampler.known, np.ones((side, side)), borderValue=0)
        for number, (a, b) in enumerate(frames):
            group = number % GROUPS
            field_a = orientation(sampler.moved(a), level.edge_scale) * sampler.known[..., None]
            field_b = orientation(downsample(b, sampler.factor), level.edge_scale) * sure[..., None]
            strength = dot(field_a, field_a)
            products[group] += [self._pool(dot(moved, field_b)) for moved in self._shifted(field_a)]
            energy[group] += [self._pool(moved * sure) for moved in self._shifted(strength)]
            chance[group] += self._pool(strength * dot(field_b, field_b)) / 2
        # Where the edges of `a` fade out, the sums would be biased toward stronger edges.
        middle = len(self._shifts) // 2
        leaning = np.sqrt((energy + 1e-6) / (energy[:, middle : middle + 1] + 1e-6))
        self._sums, self._chance = products / leaning, chance / CORRELATED**2

    def improve(self, without: int | None = None) -> Fit:
        """Return the fit that best aligns the cells, optionally leaving out one group of frames."""
        used = [group for group in range(len(self._sums)) if group != without]
        slope, bend = self._parabolas(self._sums[used].sum(0))
        # The shift of a cell is slope / bend; its variance is due to chance and to scene depth.
        variance = self._chance[used].sum(0)[:, None, None] * np.eye(2) + UNEVEN**2 * bend @ bend
        weighted = np.linalg.solve(variance + 1e-9 * np.eye(2), np.concatenate([slope[..., None], bend], 2))
        distance = np.einsum("ni,ni->n", slope, weighted[..., 0])
        weights = 1 / (1 + distance / TAIL**2)
        found, moves = self._found, self._moves()
        turned = np.einsum("n,nij,njp->nip", weights, bend, moves)
        prior = np.diag(1 / found.model.prior**2)
        normal = np.einsum("nip,nij,njq->pq", turned, weighted[..., 1:], moves) + prior
        right = np.einsum("nip,ni->p", turned, weighted[..., 0]) - prior @ found.theta
        step = np.linalg.solve(normal, right)
        step *= min(1.0, _LONGEST / max(np.abs(moves @ step).max(), 1e-9))
        return replace(found, theta=found.theta + step, covariance=np.linalg.inv(normal))

    def _pool(self, plane: Float[np.ndarray, "h w"]) -> Float[np.ndarray, " n"]:
        area = self._size[0] * self._size[1] / (self._grid[0] * self._grid[1])
        return np.asarray(cv2.resize(plane, self._grid, interpolation=cv2.INTER_AREA)).ravel() * area

    def _shifted(self, plane: np.ndarray) -> Iterator[np.ndarray]:
        h, w = self._size
        radius = int(self._shifts.max())
        padded = cv2.copyMakeBorder(plane, *(radius,) * 4, cv2.BORDER_CONSTANT)
        return (padded[y : y + h, x : x + w] for x, y in self._shifts + radius)

    def _parabolas(self, sums: Float[np.ndarray, "s n"]) -> tuple[np.ndarray, np.ndarray]:
        """Fit the slope (n, 2) and negative curvature (n, 2, 2) of the sums at zero shift by least squares."""
        x, y = self._shifts.T.astype(float)
        basis = np.stack([np.ones_like(x), x, y, x * x / 2, x * y, y * y / 2], 1)
        weights = np.exp(-(x * x + y * y) / (4 * _NEAR**2))[:, None]
        _, gx, gy, xx, xy, yy = np.linalg.lstsq(basis * weights, sums * weights, rcond=None)[0]
        values, vectors = np.linalg.eigh(-np.stack([np.stack([xx, xy], 1), np.stack([xy, yy], 1)], 1))
        bend = np.einsum("nik,nk,njk->nij", vectors, np.maximum(values, 0), vectors)
        return np.stack([gx, gy], 1), bend

    def _moves(self) -> Float[np.ndarray, "n 2 p"]:
        """Return the motion of the cells of `b` on the downscaled grid per unit of each parameter."""
        model, theta = self._found.model, self._found.theta
        (columns, rows), (h, w) = self._grid, self._size
        x, y = (np.arange(columns) + 0.5) / columns * w - 0.5, (np.arange(rows) + 0.5) / rows * h - 0.5
        scale = np.diag(self._to_b)[:2]
        points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2) * scale + self._to_b[:2, 2]
        transform = model.transform(theta)
        by_theta = jacobian(lambda values: model.transform(values).map_points(points), theta)
        by_shift = jacobian(lambda shift: transform.map_points(points + shift * scale), np.zeros(2))
        moves = np.linalg.solve(by_shift, by_theta)
        return np.where(np.isfinite(moves).all((1, 2), keepdims=True), moves, 0.0)
