"""TIFF: one page, its colors and its compression, read exactly or refused."""

from __future__ import annotations

import io
import logging
import mmap
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from refinefuse.errors import InputError
from refinefuse.image import opencv
from refinefuse.image.pixels import Pixels
from refinefuse.image.structure import cmyk, several_images, truncated

_SIZES = {256, 257, 258, 259, 262, 273, 277, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339}
_ORIENTATION = 274
_COLORS = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR)


def decode_tiff(data: bytes) -> Pixels:
    """Decode a TIFF of one page.

    Args:
        data: a whole file. Thumbnails (pages of reduced resolution) are passed over; the orientation tag is ignored.

    Returns:
        (h, w) gray, (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA of the stored type; 1 bit becomes 0 and 255
        (uint8), a palette its colors.

    Raises:
        InputError: truncated, damaged, several pages, CMYK or another color space, premultiplied alpha, or a coding
            that neither tifffile nor OpenCV reads.
    """
    with damage_reported(len(data)), tifffile.TiffFile(io.BytesIO(data)) as file:
        return _decode_page(checked_page(file, data), data)


@contextmanager
def damage_reported(size: int) -> Iterator[None]:
    """Turn whatever reading a TIFF of `size` bytes raises into an `InputError`, and keep tifffile from logging it."""
    thread = threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread  # what tifffile reports of this file is raised here

    logger = logging.getLogger("tifffile")
    logger.addFilter(elsewhere)
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # a damaged directory can raise anything in the parser
        raise InputError(
            f"the TIFF file is damaged or truncated ({size} bytes).\n  found: {error}\nCopy or export it again."
        ) from None
    finally:
        logger.removeFilter(elsewhere)


def checked_page(file: tifffile.TiffFile, data: bytes | mmap.mmap) -> Any:
    """The only page of a file that is not a thumbnail, refused where it is truncated or not gray or RGB.

    Raises:
        InputError: with what is wrong.
    """
    page = _only_page(file)
    _check_whole(file, page, data)
    _check_kind(page)
    return page


def encode_tiff(pixels: Pixels) -> bytes:
    """A TIFF of one page, deflated without loss, with nothing in it that differs from run to run."""
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    color = pixels.ndim == 3 and pixels.shape[2] >= 3
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb" if color else "minisblack",
        planarconfig="contig" if pixels.ndim == 3 else None,
        extrasamples=["unassalpha"] if alpha else None,
        compression="zlib",
        metadata=None,
        software=False,
    )
    return file.getvalue()


def _only_page(file: tifffile.TiffFile) -> Any:
    every: list[Any] = list(file.pages)
    pages = [page for page in every if not page.is_reduced] or every
    if not pages:
        raise InputError("the TIFF file holds no page: it is truncated or damaged.\nCopy or export it again.")
    if len(pages) > 1:
        raise several_images(f"{len(pages)} pages")
    return pages[0]


def _check_whole(file: tifffile.TiffFile, page: Any, data: bytes | mmap.mmap) -> None:
    """Refuse a page whose tags or pixels lie behind the end of the file."""
    form = file.tiff
    (count,) = struct.unpack_from(form.tagnoformat, data, page.offset)
    first = page.offset + form.tagnosize
    codes = {struct.unpack_from(f"{form.byteorder}H", data, first + i * form.tagsize)[0] for i in range(count)}
    if lost := {code for code in codes & _SIZES if code not in page.tags}:
        raise InputError(
            f"the TIFF file is damaged or truncated: unreadable tags {sorted(lost)}.\nCopy or export it again."
        )
    ends = [offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if max(ends, default=0) > len(data):
        raise truncated(max(ends), len(data))
    if page.compression == COMPRESSION.NONE and sum(page.databytecounts) < page.size * page.bitspersample // 8:
        raise truncated(page.size * page.bitspersample // 8, sum(page.databytecounts))


def _check_kind(page: Any) -> None:
    if page.photometric == PHOTOMETRIC.SEPARATED:
        raise cmyk()
    if page.photometric not in _COLORS:
        found = getattr(page.photometric, "name", page.photometric)
        raise InputError(
            f"the colors must be gray or RGB.\n  found: {found}\nConvert the image to RGB and export it again."
        )
    if page.bitspersample not in (1, 8, 16, 32, 64):
        raise InputError(
            f"a TIFF must have 8 or 16 bits a sample.\n  found: {page.bitspersample}\n"
            "Export it again with 8 or 16 bits (10, 12 and 14 bits fit into 16)."
        )
    if EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
        raise InputError(
            "the alpha channel must be straight (unassociated).\n  found: colors premultiplied by alpha\n"
            "Export it again with straight alpha, or as PNG."
        )


def _decode_page(page: Any, data: bytes) -> Pixels:
    if page.photometric == PHOTOMETRIC.YCBCR:
        return _by_opencv(page, data)
    try:
        pixels = page.asarray()
    except ValueError:  # a compression that tifffile leaves to a library of its own (LZW, JPEG, fax)
        return _by_opencv(page, data)
    return as_image(page, np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels)


def as_image(page: Any, pixels: Pixels) -> Pixels:
    """Stored samples (h, w) or (h, w, c) of a page as a image: colors for a palette, 0 and 255 for bits."""
    if page.photometric == PHOTOMETRIC.PALETTE:
        colors: Pixels = _colors(page.colormap)[pixels]
        return colors
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if page.photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def _colors(colormap: Pixels) -> Pixels:
    """A TIFF's palette (3, n) as (n, 3): 8 bit if nothing is lost by that, as it is (16 bit) otherwise."""
    colors = np.ascontiguousarray(colormap.T)
    high = colors >> 8
    eight_bit = ((colors == high * 257) | (colors == high * 256)).all()
    return high.astype(np.uint8) if eight_bit else colors


def _by_opencv(page: Any, data: bytes) -> Pixels:
    """Decode with OpenCV, and take the result only if nothing was dropped or reduced."""
    if tag := page.tags.get(_ORIENTATION):  # OpenCV would turn the image, and a pair would no longer be registered
        form = page.parent.tiff
        data = data[: tag.valueoffset] + struct.pack(f"{form.byteorder}H", 1) + data[tag.valueoffset + 2 :]
    pixels = opencv.decode(data)
    palette = page.photometric == PHOTOMETRIC.PALETTE
    shape = page.shape[1:] + page.shape[:1] if page.axes == "SYX" else page.shape
    expected = (*shape, 3) if palette else shape
    dtype = np.uint8 if palette or page.dtype == np.bool_ else page.dtype
    if pixels is None or pixels.shape != expected or pixels.dtype != dtype:
        coding = getattr(page.compression, "name", page.compression)
        raise InputError(
            f"this kind of TIFF cannot be read ({coding} compression).\n"
            "Save it uncompressed or with ZIP (deflate) compression."
        )
    return pixels
