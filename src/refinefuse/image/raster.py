"""Pictures by rows, for those that need not lie in memory as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from typing_extensions import Self

from refinefuse.image.pixels import Pixels


class Raster(Protocol):
    """A picture whose rows can be read a few at a time.

    Attributes:
        shape: (h, w) or (h, w, c), as `Pixels` have it.
        dtype: uint8, uint16 or float32.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, start: int, stop: int) -> Pixels:
        """The rows from `start` up to, but without, `stop`."""


class ArrayRaster:
    """A picture in memory."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.shape: tuple[int, ...] = pixels.shape
        self.dtype: np.dtype[Any] = pixels.dtype

    def rows(self, start: int, stop: int) -> Pixels:
        """A view of the rows."""
        return self.pixels[start:stop]


class Spool:
    """A picture that is written once from top to bottom into a nameless file on disk, and then read.

    Args:
        shape: of the whole picture.
        dtype: of its values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._row = int(np.prod(shape[1:])) * dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="refinefuse-")  # noqa: SIM115  # lives as long as the spool

    def append(self, rows: Pixels) -> None:
        """Add the next rows at the bottom."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows).data)

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows that were added before."""
        self._file.seek(start * self._row)
        data = self._file.read((stop - start) * self._row)
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def in_bands(raster: Raster, height: int) -> Iterator[Pixels]:
    """All rows of a picture, `height` at a time."""
    for top in range(0, raster.shape[0], height):
        yield raster.rows(top, min(top + height, raster.shape[0]))


def rebanded(bands: Iterator[Pixels], height: int) -> Iterator[Pixels]:
    """The same rows cut anew: bands of any height in, bands of `height` out; the last may be lower."""
    rest: Pixels | None = None
    for band in bands:
        rest = band if rest is None else np.concatenate([rest, band])
        while len(rest) >= height:
            yield rest[:height]
            rest = rest[height:]
    if rest is not None and len(rest):
        yield rest
