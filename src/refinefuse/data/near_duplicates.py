"""Detect near-duplicate images by content, regardless of their names.

Images are downsampled to 64 x 64 and band-passed, to ignore encoding, size, brightness and contrast. The
similarity of two images is the correlation of these thumbnails, at the best of small shifts and of the four flips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.image.color import to_tensor, to_ycbcr
from refinefuse.image.pixels import Pixels

Thumbnail = Float[np.ndarray, "64 64"]

DUPLICATE_THRESHOLD = 0.9
SCENE_THRESHOLD = 0.8
"""Similarity thresholds for duplicates and for images of one scene; measured in docs/data.md."""
SIDE = 64
_COARSE = 32
_MARGIN = 3  # shifts of up to 3 of the 64 pixels, 5 percent of a side, are tried
_CANDIDATE = 0.75  # minimum similarity of the coarse images, without shifts, for a candidate
_FLAT = 0.002  # of the range: thumbnails with less structure cannot be compared
_ROWS = 512  # images compared with all others at once
_FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


class Match(NamedTuple):
    """Image `left` of one list resembles image `right` of the other; a similarity of 1 means equal."""

    left: int
    right: int
    similarity: float


def thumbnail(pixels: Pixels) -> Thumbnail:
    """Downsample an image to 64 x 64 luma in [0, 1], as float16."""
    luma = to_ycbcr(to_tensor(pixels)).luma[0, 0].numpy()
    small: Thumbnail = cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float16)
    return small


def find_near_duplicates(
    left: Sequence[Thumbnail], right: Sequence[Thumbnail], least: float = DUPLICATE_THRESHOLD
) -> list[Match]:
    """Find images of one list that resemble images of the other, most similar first.

    Flat images match no other.
    """
    fine = [_band(x, 4.0) for x in right]
    coarse = np.array([_coarse(x) for x in right], np.float32).reshape(len(right), _COARSE**2)
    best: dict[tuple[int, int], float] = {}
    for vertical, horizontal in _FLIPS:
        flipped = [x[::vertical, ::horizontal] for x in left]
        for i, j in _candidates(flipped, coarse):
            near = _closest(_band(flipped[i], 4.0), fine[j])
            if near >= least and near > best.get((i, j), 0):
                best[i, j] = near
    return [Match(i, j, near) for (i, j), near in sorted(best.items(), key=lambda item: -item[1])]


def cluster_near_duplicates(thumbnails: Sequence[Thumbnail], least: float = DUPLICATE_THRESHOLD) -> list[int]:
    """Assign images to groups of direct or transitive near-duplicates."""
    root = list(range(len(thumbnails)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for match in find_near_duplicates(thumbnails, thumbnails, least):
        one, other = sorted((find(match.left), find(match.right)))
        root[other] = one
    return [find(i) for i in range(len(thumbnails))]


def _candidates(left: Sequence[Thumbnail], coarse: np.ndarray) -> Iterator[tuple[int, int]]:
    for start in range(0, len(left), _ROWS):
        rows = np.array([_coarse(x) for x in left[start : start + _ROWS]], np.float32)
        for i, j in np.argwhere(rows.reshape(len(rows), _COARSE**2) @ coarse.T > _CANDIDATE):
            yield start + int(i), int(j)


def _coarse(small: Thumbnail) -> np.ndarray:
    """32 x 32, band-passed and of length 1, so that a product is a correlation; zero for a flat image."""
    half = cv2.resize(small.astype(np.float32), (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    band = _band(half, 3.0, 1.0)
    band = band - band.mean()
    return band / np.linalg.norm(band) if band.std() > _FLAT else np.zeros_like(band)


def _band(small: np.ndarray, coarsest: float, finest: float = 0.7) -> np.ndarray:
    small = np.ascontiguousarray(small, np.float32)
    band: np.ndarray = cv2.GaussianBlur(small, (0, 0), finest) - cv2.GaussianBlur(small, (0, 0), coarsest)
    return band


def _closest(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation at the best shift, sliding the inner part of each over the other."""
    inner = slice(_MARGIN, -_MARGIN)
    shifted = (
        cv2.matchTemplate(x, np.ascontiguousarray(y[inner, inner]), cv2.TM_CCOEFF_NORMED)
        for x, y in ((one, other), (other, one))
    )
    return max(float(map_.max()) for map_ in shifted)
