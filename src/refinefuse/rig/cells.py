"""Match the edges of `b` to those of `a` cell by cell, over many frames of one rig.

Both images are converted to edge orientation fields (`refinefuse.alignment.edges`). In each cell of a grid over `b`,
the two fields are correlated over small shifts and the correlations of all frames are summed: the shift common to all
frames adds up, chance matches in single frames do not. The height of a peak is the confidence of a cell, in standard
deviations above chance; its curvature is the directional uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from refinefuse.alignment.edges import EdgeScale, Gray, downsample, orientation
from refinefuse.alignment.transform import Transform, zoom

GROUPS = 5  # groups of frames that are also evaluated separately, to estimate the variance
_WINDOW = 5  # number of windows along the longer side of the overlap
_SMALLEST, _LARGEST = 40, 128  # window size in pixels
CORRELATED = 2.0  # correlation length in pixels of the orientations of unrelated edges
_RIVAL = 0.85  # relative height of a second peak that makes a cell ambiguous
_AROUND = 4  # radius of a peak in pixels


@dataclass(frozen=True)
class CellLevel:
    """Resolution and search range of cell matching.

    Attributes:
        width: longer side of `b` in pixels; smaller images keep their size.
        radius: maximum shift in pixels at that size.
        edge_scale: scale of the edge filter.
    """

    width: int
    radius: int
    edge_scale: EdgeScale


COARSE = CellLevel(320, 20, EdgeScale(0.8, 6, 1.5))
FINE = CellLevel(480, 10, EdgeScale(0.8, 8, 1))


@dataclass(frozen=True, eq=False)
class CellMatches:
    """Matches of all cells.

    Attributes:
        points: (n, 2), cell centers in `b` at full resolution.
        shifts: (n, 2), from the edges of `b` to those of the warped `a`, in pixels of `b`.
        covariance: (n, 2, 2), covariance of the shifts.
        scores: (n,), peak heights in standard deviations above chance.
    """

    points: Float[np.ndarray, "n 2"]
    shifts: Float[np.ndarray, "n 2"]
    covariance: Float[np.ndarray, "n 2 2"]
    scores: Float[np.ndarray, " n"]


class CellSurfaces:
    """Correlation of each cell over small shifts, summed over frames.

    Args:
        frames: lumas of `a` and `b`, each of constant size.
        transform: current estimate.
        level: resolution and search range.
    """

    def __init__(self, frames: Sequence[tuple[Gray, Gray]], transform: Transform, level: CellLevel) -> None:
        self._level = level
        sampler = Sampler(transform, level)
        self._cells = _Cells(sampler.inside, level.radius)
        shape = GROUPS, len(self._cells.centers), 2 * level.radius + 1, 2 * level.radius + 1
        self._sums, self._chance = np.zeros(shape, np.float32), np.zeros(shape[:2], np.float32)
        for number, (a, b) in enumerate(frames):
            field_a = orientation(sampler.moved(a), level.edge_scale) * sampler.known[..., None]
            field_b = orientation(downsample(b, sampler.factor), level.edge_scale)
            correlation, chance = self._cells.correlate(field_a, field_b)
            self._sums[number % GROUPS] += correlation
            self._chance[number % GROUPS] += chance
        self._to_b = sampler.to_b
        self.groups = min(GROUPS, len(frames))

    @cached_property
    def score(self) -> float:
        """Agreement of all cells at zero shift, in standard deviations above chance."""
        middle = self._level.radius
        return float(self._sums[:, :, middle, middle].sum() / np.sqrt(self._chance.sum() + 1e-9))

    def matches(self, without: int | None = None) -> CellMatches:
        """Return the peaks of all cells that have one, optionally leaving out one group of frames."""
        used = [group for group in range(self.groups) if group != without]
        surfaces = self._sums[used].sum(0) / np.sqrt(self._chance[used].sum(0) + 1e-9)[:, None, None]
        found = [_peak(surface) for surface in surfaces]
        kept = [number for number, one in enumerate(found) if one is not None]
        peaks = [one for one in found if one is not None]
        step = np.array([self._to_b[0, 0], self._to_b[1, 1]])
        centers = self._cells.centers[kept]
        shifts = np.array([shift for shift, _, _ in peaks]).reshape(-1, 2)
        covariance = np.array([one for _, one, _ in peaks]).reshape(-1, 2, 2)
        return CellMatches(
            centers * step + self._to_b[:2, 2],
            shifts * step,
            covariance * np.outer(step, step),
            np.array([score for _, _, score in peaks]),
        )


class Sampler:
    """Warp `a` onto a downscaled grid of `b`.

    Args:
        transform: current estimate.
        level: resolution and search range.

    Attributes:
        factor: pixels of `b` per grid pixel.
        to_b: (3, 3), from the grid to `b`.
        inside: mask of where `a` has data.
        known: `inside` as float32, less a margin.
    """

    def __init__(self, transform: Transform, level: CellLevel) -> None:
        h, w = transform.size_fixed
        scale = local_scale(transform)
        self.factor = max(1.0, max(h, w) / level.width, 0.8 / scale)
        small = max(1, round(h / self.factor)), max(1, round(w / self.factor))
        self.to_b = zoom((h, w), small)
        self._factor_a = max(1.0, self.factor * scale)
        size_a = downsample(np.zeros(transform.size_moving, np.float32), self._factor_a).shape
        self._to_a = np.linalg.inv(zoom(transform.size_moving, size_a))
        y, x = np.mgrid[: small[0], : small[1]].reshape(2, -1).astype(float)
        points = np.stack([x, y], 1) * [self.to_b[0, 0], self.to_b[1, 1]] + self.to_b[:2, 2]
        positions = transform.map_points(points)
        h_a, w_a = transform.size_moving
        self.inside = np.asarray(((positions >= 0) & (positions <= (w_a - 1, h_a - 1))).all(1)).reshape(small)
        near = positions @ self._to_a[:2, :2].T + self._to_a[:2, 2]
        far = np.nan_to_num(near, nan=-1e4).clip(-1e4, 1e4).astype(np.float32)
        self._map = far[:, 0].reshape(small), far[:, 1].reshape(small)
        sure = cv2.erode(np.asarray(self.inside, np.uint8), np.ones((5, 5), np.uint8), borderValue=0)
        self.known = sure.astype(np.float32)

    def moved(self, a: Gray) -> Gray:
        """Warp a frame of `a` onto the downscaled grid."""
        return np.asarray(
            cv2.remap(downsample(a, self._factor_a), *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )


class _Cells:
    """Overlapping windows over the area of `b` where `a` has data."""

    def __init__(self, inside: Bool[np.ndarray, "h w"], radius: int) -> None:
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        box = [(int(side[0]), int(side[-1])) if len(side) else (0, 1) for side in (rows, columns)]
        longer = max(high - low for low, high in box)
        self._half = int(np.clip(longer / _WINDOW, _SMALLEST, _LARGEST)) // 2
        self._radius = radius
        inset = self._half // 2  # a window half outside the image would measure the part inside, not its center
        axes = [
            np.linspace(low + inset, high - inset, max(2, round(1.4 * (high - low - self._half) / self._half)))
            for low, high in box
        ]
        ys, xs = (np.round(axis).astype(int) for axis in axes)
        self.centers = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2).astype(float)
        self._corners = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
        self._size = cv2.getOptimalDFTSize(2 * (self._half + radius))
        taper = np.hanning(2 * self._half + 2)[1:-1]
        self._taper = np.outer(taper, taper).astype(np.float32)

    def correlate(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correlate both fields in each window for every shift; also return the variance expected by chance."""
        half, radius = self._half, self._radius
        parts_a = self._windows(_complex(a), half + radius)
        parts_b = self._windows(_complex(b), half) * self._taper
        size = (self._size, self._size)
        spectrum_a, spectrum_b = (torch.fft.fft2(torch.from_numpy(parts), size) for parts in (parts_a, parts_b))
        surface = torch.fft.ifft2(spectrum_a * spectrum_b.conj()).real.numpy()[:, : 2 * radius + 1, : 2 * radius + 1]
        energy_a = np.square(np.abs(parts_a)).mean((1, 2))
        return surface, energy_a * np.square(np.abs(parts_b)).sum((1, 2)) / 2

    def _windows(self, field: np.ndarray, half: int) -> np.ndarray:
        padded = np.pad(field, half)
        return np.stack([padded[y : y + 2 * half, x : x + 2 * half] for x, y in self._corners])


def _complex(field: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(field).view(np.complex64)[..., 0]


def _peak(surface: Float[np.ndarray, "s s"]) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Return the shift (x, y), covariance and height of the highest peak; None without a clear peak."""
    radius = len(surface) // 2
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    height = float(surface[y, x])
    if height <= 0 or not (1 <= y < len(surface) - 1 and 1 <= x < len(surface) - 1):
        return None
    near = surface[y - 1 : y + 2, x - 1 : x + 2].astype(float)
    gradient = np.array([near[1, 2] - near[1, 0], near[2, 1] - near[0, 1]]) / 2
    mixed = (near[2, 2] - near[2, 0] - near[0, 2] + near[0, 0]) / 4
    bend = -np.array(
        [[near[1, 2] - 2 * near[1, 1] + near[1, 0], mixed], [mixed, near[2, 1] - 2 * near[1, 1] + near[0, 1]]]
    )
    values, vectors = np.linalg.eigh(bend)
    values = np.maximum(values, 0.02)
    inverse = (vectors / values) @ vectors.T
    shift = np.clip(inverse @ gradient, -1, 1) + np.array([x - radius, y - radius])
    covariance = (vectors / values**2) @ vectors.T / CORRELATED**2
    rest = surface.copy()
    rest[max(0, y - _AROUND) : y + _AROUND + 1, max(0, x - _AROUND) : x + _AROUND + 1] = 0
    if rest.max() > _RIVAL * height:
        covariance = covariance + np.eye(2) * radius**2 / 4
    return shift, covariance, height


def local_scale(transform: Transform) -> float:
    """Return the number of pixels of `a` per pixel of `b`, at the center of `b`."""
    h, w = transform.size_fixed
    step = max(h, w) / 8
    start = np.array([[w / 2, h / 2], [w / 2 + step, h / 2], [w / 2, h / 2 + step]])
    ends = transform.map_points(start)
    along, across = ends[1] - ends[0], ends[2] - ends[0]
    return float(np.sqrt(abs(along[0] * across[1] - along[1] * across[0])) / step)
