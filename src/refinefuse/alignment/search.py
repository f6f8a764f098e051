"""Global search for the transform between two images: all rotations, scales and shifts at low resolution.

For each rotation and scale, the downsampled `a` is resampled, its edge directions are correlated with those of `b` over
all shifts at once (FFT), and the agreement at each shift is expressed in standard deviations over chance, given the
overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.alignment.edges import EdgeScale, Field, Gray, Mask, dot, downsample, orientation
from refinefuse.alignment.transform import TransformType, centering, zoom

_WIDTH = 128  # the longer side of the small images
LOOK = EdgeScale(0.7, 4, 0.7)  # at the small size
_ANGLES = tuple(np.deg2rad(np.arange(-12, 12.1, 3)))
_SCALES = tuple(np.exp(np.arange(-12, 12.1) * 0.04))  # 0.62 to 1.62 times the scale at which `a` fits into `b`
_REACH = 0.3  # the largest shift, in sides
_APART = 16  # small pixels: minimum distance between distinct shifts


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate transform of the search.

    Attributes:
        matrix: maps pixels of `b` to pixels of `a`, at full size.
        score: agreement at low resolution, in standard deviations over chance.
    """

    matrix: Float[np.ndarray, "3 3"]
    score: float


def search(
    a: Gray, b: Gray, transform_type: TransformType, mask_a: Mask | None = None, mask_b: Mask | None = None
) -> list[Candidate]:
    """Search for transforms between two images, best first: two shifts for each rotation and scale.

    `translation` searches only shifts, `rigid` also rotations, and all other types also scales.

    Args:
        a: luma of the moving image.
        b: luma of the fixed image.
        transform_type: the type of transform.
        mask_a: where to use `a`.
        mask_b: where to use `b`.
    """
    small_a, small_b = (downsample(x, max(x.shape) / _WIDTH) for x in (a, b))
    valid_a, valid_b = (_small_mask(m, x) for m, x in ((mask_a, small_a), (mask_b, small_b)))
    correlator = Correlator(orientation(small_b, LOOK) * valid_b[..., None], _REACH)
    to_a, to_b = zoom(a.shape, small_a.shape), zoom(b.shape, small_b.shape)
    # small pixels of `a` per small pixel of `b`: fitted to each other, or with equal original pixels
    fit = max(x / y for x, y in zip(small_a.shape, small_b.shape, strict=True))
    stiff = transform_type in ("translation", "rigid")
    scales = (to_b[0, 0] / to_a[0, 0],) if stiff else tuple(scale * fit for scale in _SCALES)
    found = []
    for angle in _ANGLES if transform_type != "translation" else (0.0,):
        for scale in scales:
            turn = centering(small_a.shape) @ _turn(angle, scale) @ np.linalg.inv(centering(small_b.shape))
            for shift, score in correlator.peaks(directions_after(small_a, valid_a, turn, small_b.shape)):
                matrix = to_a @ turn @ _shifted(shift) @ np.linalg.inv(to_b)
                found.append(Candidate(matrix / matrix[2, 2], score))
    return sorted(found, key=lambda one: -one.score)


class Correlator:
    """Correlates edge directions with those of one image over all shifts of up to `reach` of a side."""

    def __init__(self, b: Field, reach: float) -> None:
        h, w = b.shape[:2]
        limits = [max(1, int(side * reach)) for side in (h, w)]
        self.size = tuple(cv2.getOptimalDFTSize(side + limit) for side, limit in zip((h, w), limits, strict=True))
        self.window = np.ix_(*(np.r_[: limit + 1, -limit:0] for limit in limits))
        self.shifts = [np.r_[: limit + 1, -limit:0] for limit in limits]
        self.directions, self.strength = self._spectrum(b), self._spectrum(dot(b, b))

    def surface(self, a: Field) -> Float[np.ndarray, "rows columns"]:
        """The agreement at each shift of `shifts`, in standard deviations over chance."""
        total = self._correlate(a, self.directions)[..., 0][self.window]
        chance = self._correlate(dot(a, a), self.strength)[self.window]
        least = max(0.02 * float(chance.max()), 1e-6)  # ignore slivers of overlap
        return np.asarray(total / np.sqrt(np.maximum(chance, least) / 2))

    def _correlate(self, a: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
        product = cv2.mulSpectrums(self._spectrum(a), spectrum, 0, conjB=True)
        return np.asarray(cv2.idft(product, flags=cv2.DFT_SCALE))

    def _spectrum(self, x: np.ndarray) -> np.ndarray:
        """The spectrum, of size `size`, of an image or of a field, whose vectors are treated as complex numbers."""
        h, w = x.shape[:2]
        padded = cv2.copyMakeBorder(x, 0, self.size[0] - h, 0, self.size[1] - w, cv2.BORDER_CONSTANT)
        return np.asarray(cv2.dft(padded))

    def peaks(self, a: Field) -> list[tuple[tuple[int, int], float]]:
        """The best shift (x, y) from `b` to `a` and the best clearly different one, with scores."""
        surface = self.surface(a)
        found = []
        for _ in range(2):
            y, x = np.unravel_index(int(surface.argmax()), surface.shape)
            shift = int(self.shifts[1][x]), int(self.shifts[0][y])
            found.append((shift, float(surface[y, x])))
            near = np.ix_(abs(self.shifts[0] - shift[1]) < _APART, abs(self.shifts[1] - shift[0]) < _APART)
            surface[near] = -np.inf
        return found


def directions_after(
    image: Gray, known: Float[np.ndarray, "h w"], matrix: Float[np.ndarray, "3 3"], size: tuple[int, ...]
) -> Field:
    """The edge directions of an image on another grid, zero where it has no data.

    Args:
        image: luma.
        known: 1 where the image is valid, 0 elsewhere.
        matrix: maps pixels of the grid to pixels of the image.
        size: height and width of the grid.
    """
    flags, shape = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (size[1], size[0])
    moved = cv2.warpPerspective(image, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(known, matrix, shape, flags=flags)
    sure = cv2.erode((inside > 0.99).astype(np.float32), np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE)
    return orientation(np.asarray(moved), LOOK) * np.asarray(sure)[..., None]


def _small_mask(mask: Mask | None, small: Gray) -> Float[np.ndarray, "h w"]:
    if mask is None:
        return np.ones(small.shape, np.float32)
    part = cv2.resize(mask.astype(np.float32), small.shape[::-1], interpolation=cv2.INTER_AREA)
    return (part > 0.99).astype(np.float32)


def _turn(angle: float, scale: float) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _shifted(shift: tuple[int, int]) -> np.ndarray:
    return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]], float)
