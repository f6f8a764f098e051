"""TIFF and BigTIFF that need not fit into memory: read by rows, written by tiles, with or without a pyramid."""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC

from refinefuse.atomic import temporary_file
from refinefuse.errors import InputError
from refinefuse.image.cog import write_cog
from refinefuse.image.metadata import Metadata
from refinefuse.image.metadata_embed import append_directories, tiff_options
from refinefuse.image.pixels import Pixels, check_pixels
from refinefuse.image.scanlines import ScanlineBuffer, iter_strips, rechunk
from refinefuse.image.tiff import as_image, can_decode, checked_page, damage_reported
from refinefuse.image.tiff_segments import decode_strips, strip_height

_JPEG = (COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)
_ORIENTATION = 274
_TILE = 256  # pixels per side of a written tile
_CLASSIC = 2**32 - 2**25  # bytes beyond which offsets need 64 bits
_SMALLEST = 256  # pixels: a pyramid ends with the first level whose longer side is no longer


class TiffReader:
    """A TIFF whose rows are decoded as they are asked for; at most one row of its strips or tiles is kept.

    Everything that `read_image` refuses is refused here too. The level of full resolution of a pyramid is read.

    Args:
        path: a TIFF or BigTIFF with one image.

    Raises:
        InputError: if the file cannot be read, or is no TIFF that can be decoded piece by piece.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._strip: tuple[int, Pixels] | None = None
        with self._errors_name_the_file(), ExitStack() as stack:
            self._file = stack.enter_context(tifffile.TiffFile(path))
            with mmap.mmap(self._file.filehandle.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self._page = checked_page(self._file, data)
            self.shape: tuple[int, ...] = (self._page.imagelength, self._page.imagewidth)
            top = self._rows(0, 1)
            stack.pop_all()  # it stays open
        self.shape = (self._page.imagelength, *top.shape[1:])
        self.dtype: np.dtype[Any] = top.dtype

    @property
    def is_pyramid(self) -> bool:
        """Whether the file holds smaller levels of the image."""
        return bool(self._page.subifds) or any(
            isinstance(page, tifffile.TiffPage) and page.is_reduced for page in self._file.pages
        )

    def read_scanlines(self, start: int, stop: int) -> Pixels:
        """Decode rows.

        Raises:
            InputError: if they are damaged or hold values that are no image's.
        """
        with self._errors_name_the_file():
            return self._rows(start, stop)

    def _rows(self, start: int, stop: int) -> Pixels:
        samples = self._contiguous(start, stop) if self._page.is_memmappable else self._decoded(start, stop)
        pixels = as_image(self._page, samples)
        check_pixels(pixels)
        return pixels

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def _errors_name_the_file(self) -> Iterator[None]:
        try:
            with damage_reported(self.path.stat().st_size):
                yield
        except InputError as error:
            raise InputError(f"Cannot read '{self.path}': {error}") from None

    def _contiguous(self, start: int, stop: int) -> Pixels:
        """Samples (planes, rows, width, samples) of a page that is stored raw and in one piece."""
        planes, _, height, width, samples = self._page.shaped
        dtype = self._page.dtype.newbyteorder(self._file.byteorder)
        count = (stop - start) * width * samples
        handle, strips = self._file.filehandle, []
        for plane in range(planes):
            handle.seek(self._page.dataoffsets[0] + (plane * height + start) * width * samples * dtype.itemsize)
            strips.append(np.frombuffer(handle.read(count * dtype.itemsize), dtype))
        return np.stack(strips).reshape(planes, stop - start, width, samples)

    def _decoded(self, start: int, stop: int) -> Pixels:
        """The same of a page in strips or tiles."""
        side, strips = strip_height(self._page), []
        for top in range(start // side * side, stop, side):
            if self._strip is None or self._strip[0] != top:
                self._strip = top, decode_strips(self._page, top, min(top + side, self.shape[0]))
            strips.append(self._strip[1][:, max(0, start - top) : stop - top])
        return np.concatenate(strips, 1)


def reads_in_pieces(path: Path) -> bool:
    """Whether a file is an upright TIFF whose strips or tiles this installation decodes one by one.

    False too for whatever cannot be read at all: `read_image` says why.
    """
    try:
        with damage_reported(0), tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            plain = page.photometric != PHOTOMETRIC.YCBCR or page.compression in _JPEG
            orientation = page.tags.get(_ORIENTATION)  # an image that lies on its side is read as a whole
            upright = orientation is None or orientation.value == 1
            return plain and upright and can_decode(page)
    except (InputError, OSError):
        return False


def write_tiff(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strips: Iterator[Pixels],
    *,
    pyramid: bool = False,
    metadata: Metadata | None = None,
) -> None:
    """Write a TIFF (BigTIFF where it must be) from strips of rows, deflated in tiles, in constant memory.

    Args:
        path: the file, which is replaced.
        shape: (h, w), (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA.
        dtype: uint8, uint16 or float32.
        strips: all rows from top to bottom, cut as the caller likes.
        pyramid: also write levels of half the size each, down to 256 pixels per side.
        metadata: what to write beside the pixels. Of a COG, it makes this one too.
    """
    metadata = metadata or Metadata()
    with path.open("w+b") as file:
        if metadata.is_cog:
            with temporary_file(path) as name, name.open("w+b") as plain:
                _write_levels(plain, shape, dtype, strips, pyramid=True, metadata=metadata)
                plain.flush()
                with mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    write_cog(data, file)
        else:
            _write_levels(file, shape, dtype, strips, pyramid=pyramid, metadata=metadata)
        append_directories(file, metadata)


def encode_cog(pixels: Pixels, metadata: Metadata) -> bytes:
    """A COG with an image of any form that `write_tiff` takes."""
    plain, file = io.BytesIO(), io.BytesIO()
    _write_levels(plain, pixels.shape, pixels.dtype, iter([pixels]), pyramid=True, metadata=metadata)
    write_cog(plain.getvalue(), file)
    append_directories(file, metadata)
    return file.getvalue()


def _write_levels(
    file: BinaryIO,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strips: Iterator[Pixels],
    *,
    pyramid: bool,
    metadata: Metadata,
) -> None:
    """Write the image and its smaller levels: as its SubIFDs, or for a COG behind it."""
    channels = shape[2] if len(shape) == 3 else 1
    options: dict[str, Any] = {
        "dtype": dtype,
        "tile": (_TILE, _TILE),
        "photometric": "rgb" if channels >= 3 else "minisblack",
        "planarconfig": "contig" if channels > 1 else None,
        "extrasamples": ["unassalpha"] if channels in (2, 4) else None,
        "compression": "zlib",
        "compressionargs": {"level": 3},
        "metadata": None,
        "software": False,
    }
    shapes = _smaller_shapes(shape) if pyramid else []
    large = int(np.prod(shape)) * dtype.itemsize * (4 / 3 if pyramid else 1) > _CLASSIC
    with ExitStack() as stack:
        buffers = [stack.enter_context(ScanlineBuffer(smaller, dtype)) for smaller in shapes]
        writer = stack.enter_context(tifffile.TiffWriter(file, bigtiff=large))
        levels = [rechunk(strips, _TILE), *(iter_strips(buffer, _TILE) for buffer in buffers)]
        for number, (rows, smaller) in enumerate(zip(levels, [*buffers, None], strict=True)):
            kind: dict[str, Any] = {"subfiletype": 1}
            if number == 0:
                children = 0 if metadata.is_cog else len(shapes)
                kind = {"subifds": children, **tiff_options(metadata, channels, big=large)}
            writer.write(_tiles(rows, smaller), shape=[shape, *shapes][number], **kind, **options)
    if not metadata.is_cog:
        _unchain(file)


def _unchain(file: BinaryIO) -> None:
    """End every SubIFD: tifffile lets each also point to the next, so that readers list all but the first again."""
    file.seek(0)
    with tifffile.TiffFile(file) as parsed:
        page: Any = parsed.pages[0]
        form, offsets = parsed.tiff, page.subifds or ()
    for offset in offsets:
        file.seek(offset)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(count * form.tagsize, 1)
        file.write(bytes(form.offsetsize))


def _tiles(strips: Iterator[Pixels], smaller: ScanlineBuffer | None) -> Iterator[Pixels]:
    """The tiles of strips in the order of the file; half the size of each strip goes into the buffer."""
    for strip in strips:
        if smaller is not None:
            smaller.append(_halved(strip))
        for left in range(0, strip.shape[1], _TILE):
            yield np.ascontiguousarray(strip[:, left : left + _TILE])


def _smaller_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Of the levels of a pyramid below the first."""
    shapes = []
    while max(shape[:2]) > _SMALLEST:
        shape = (-(-shape[0] // 2), -(-shape[1] // 2), *shape[2:])
        shapes.append(shape)
    return shapes


def _halved(strip: Pixels) -> Pixels:
    """Means of blocks of 2 x 2; an odd last row or column is repeated."""
    height, width = strip.shape[:2]
    even = np.pad(strip, [(0, height % 2), (0, width % 2), *[(0, 0)] * (strip.ndim - 2)], mode="edge").astype(
        np.float32
    )
    mean = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    return (mean + 0.5 if strip.dtype.kind == "u" else mean).astype(strip.dtype)
