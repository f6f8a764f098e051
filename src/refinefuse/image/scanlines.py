"""Images by rows, for those that need not lie in memory as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np

from refinefuse.image.pixels import Pixels


class ScanlineReader(Protocol):
    """An image whose rows can be read a few at a time.

    Attributes:
        shape: (h, w) or (h, w, c), as `Pixels` have it.
        dtype: uint8, uint16 or float32.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read_scanlines(self, start: int, stop: int) -> Pixels:
        """The rows from `start` up to, but without, `stop`."""


class ArrayReader:
    """An image in memory."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.shape: tuple[int, ...] = pixels.shape
        self.dtype: np.dtype[Any] = pixels.dtype

    def read_scanlines(self, start: int, stop: int) -> Pixels:
        """A view of the rows."""
        return self.pixels[start:stop]


class ScanlineBuffer:
    """An image that is written once from top to bottom into a nameless file on disk, and then read.

    Args:
        shape: of the whole image.
        dtype: of its values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._row = int(np.prod(shape[1:])) * dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="refinefuse-")  # noqa: SIM115  # lives as long as the buffer

    def append(self, rows: Pixels) -> None:
        """Add the next rows at the bottom."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows).data)

    def read_scanlines(self, start: int, stop: int) -> Pixels:
        """Rows that were added before."""
        self._file.seek(start * self._row)
        data = self._file.read((stop - start) * self._row)
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def iter_strips(reader: ScanlineReader, height: int) -> Iterator[Pixels]:
    """All rows of an image, `height` at a time."""
    for top in range(0, reader.shape[0], height):
        yield reader.read_scanlines(top, min(top + height, reader.shape[0]))


def rechunk(strips: Iterator[Pixels], height: int) -> Iterator[Pixels]:
    """The same rows cut anew: strips of any height in, strips of `height` out; the last may be lower."""
    rest: Pixels | None = None
    for strip in strips:
        rest = strip if rest is None else np.concatenate([rest, strip])
        while len(rest) >= height:
            yield rest[:height]
            rest = rest[height:]
    if rest is not None and len(rest):
        yield rest
