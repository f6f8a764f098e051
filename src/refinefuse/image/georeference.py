"""Map locations of images from GeoTIFF tags; pairs of different locations are refused.

Source: OGC GeoTIFF standard 1.1 (19-008r4), section 7 (keys) and annex B (raster space).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from refinefuse.errors import InputError
from refinefuse.image.metadata import Metadata

_SCALE, _TIE_POINT, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2
_CRS_KEYS, _USER_DEFINED = (3072, 2048), 32767  # projected before geographic
_MOST_APART = 0.5  # pixels


@dataclass(frozen=True, eq=False)
class Georeference:
    """The map location of an image.

    Attributes:
        matrix: maps (column, row, 1), from the corner of the first pixel, to map coordinates.
        epsg: EPSG code of the coordinate reference system; None if not given.
    """

    matrix: Float[np.ndarray, "3 3"]
    epsg: int | None

    @classmethod
    def of(cls, metadata: Metadata) -> Self | None:
        """Read the location from tags; None if there is none, or the image was stored rotated."""
        numbers = {entry.tag: entry.numbers() for entry in metadata.upright().geotiff}
        scale, tie, flat = (numbers.get(tag, []) for tag in (_SCALE, _TIE_POINT, _MATRIX))
        if len(flat) == 16:
            matrix = np.reshape(flat, (4, 4))[np.ix_([0, 1, 3], [0, 1, 3])]
        elif len(scale) >= 2 and len(tie) == 6:
            (x, y), (column, row, _, east, north, _) = scale[:2], tie
            matrix = np.array([[x, 0, east - x * column], [0, -y, north + y * row], [0, 0, 1]])
        else:
            return None
        keys = numbers.get(_KEYS, [])[4:]  # fours of key, location, count and value; a damaged last one is left out
        fours = zip(*(keys[first::4] for first in range(4)), strict=False)
        values = {int(key): int(value) for key, location, _, value in fours if location == 0}
        if values.get(_RASTER_TYPE) == _PIXEL_IS_POINT:
            matrix = matrix @ np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        codes = [values[key] for key in _CRS_KEYS if values.get(key, _USER_DEFINED) != _USER_DEFINED]
        return cls(matrix, codes[0] if codes else None) if abs(np.linalg.det(matrix)) > 0 else None

    def __str__(self) -> str:
        (x, y), (across, down) = self.matrix[:2, 2], np.linalg.norm(self.matrix[:2, :2], axis=0)
        system = f", EPSG:{self.epsg}" if self.epsg else ""
        return f"top left at ({x:.10g}, {y:.10g}), pixels of {across:.6g} x {down:.6g}{system}"


def check_georeferences(paths: Sequence[str], metadata: Sequence[Metadata], shape: tuple[int, ...]) -> None:
    """Refuse images whose tags give different locations; images without such tags pass.

    Args:
        paths: the files of a pair, or of more sources, which are compared with the last.
        metadata: metadata of each file.
        shape: (h, w) of the last.

    Raises:
        InputError: if locations differ; the message gives both.
    """
    found = [Georeference.of(each) for each in metadata]
    for name, other in zip(paths[:-1], found, strict=False):
        last = found[-1]
        if other is not None and last is not None and _lie_apart(other, last, shape):
            raise InputError(
                f"The GeoTIFF tags of `a` and `b` give different locations.\n  a: {other}   '{name}'\n  b: {last}   "
                f"'{paths[-1]}'\nBring `a` onto the grid of `b` first (for example with gdalwarp), or align them by "
                "content (`align`)."
            )


def _lie_apart(a: Georeference, b: Georeference, shape: tuple[int, ...]) -> bool:
    """Whether `a` and `b`, of shape (h, w), have different locations or coordinate systems."""
    height, width = shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    moved = np.linalg.solve(b.matrix, a.matrix @ corners) - corners
    return bool(abs(moved).max() > _MOST_APART or (a.epsg and b.epsg and a.epsg != b.epsg))
