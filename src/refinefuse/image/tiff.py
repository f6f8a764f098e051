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
from refinefuse.image.metadata import Metadata
from refinefuse.image.metadata_embed import append_directories, tiff_options
from refinefuse.image.pixels import Pixels, check_pixel_count
from refinefuse.image.structure import cmyk, several_images, truncated
from refinefuse.image.tiff_segments import check_lengths, decode_strips, unpack_lzw

_SIZES = {256, 257, 258, 259, 262, 273, 277, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339}
_ORIENTATION, _NODATA = 274, 42113
_MOST_PAGES = 100  # thumbnails, levels and masks of one image; a chain beyond that is not followed
_MASK = 4  # bit of NewSubfileType: the page says where another one holds data
_COLORS = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR)


def decode_tiff(data: bytes) -> Pixels:
    """Decode a TIFF with one image.

    Args:
        data: a whole file. Thumbnails (pages of reduced resolution) and masks are passed over; the orientation tag is
            ignored.

    Returns:
        (h, w) gray, (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA of the stored type; 1 bit becomes 0 and 255
        (uint8), a palette its colors. Bands that are neither colors nor alpha are left out.

    Raises:
        InputError: truncated, damaged, too large, several pages, CMYK or another color space, premultiplied alpha, or a
            coding that neither tifffile nor OpenCV reads.
    """
    with open_page(data) as page:
        return _decode_page(page, data)


def decode_valid(data: bytes) -> tuple[Pixels, Pixels]:
    """Decode like `decode_tiff`, with a mask of valid pixels, from GDAL's NoData or a mask in the file."""
    with open_page(data) as page:
        pixels = _decode_page(page, data)
        valid = np.ones(pixels.shape[:2], bool)
        if _NODATA in page.tags:
            stored = float(str(page.tags[_NODATA].value).strip(" \0") or "nan")
            nodata = stored if page.photometric != PHOTOMETRIC.MINISWHITE else _inverted(np.array(stored, pixels.dtype))
            flat = pixels if pixels.ndim == 2 else pixels[..., 0]
            valid &= ~(np.isnan(flat) if np.isnan(nodata) else flat == nodata)
        for mask in _pages(page.parent, masks=True):
            if mask.shape == valid.shape:
                valid &= mask.asarray().astype(bool)
        return pixels, valid


@contextmanager
def open_page(data: bytes) -> Iterator[Any]:
    """The page of a whole file that `decode_tiff` decodes, checked.

    Raises:
        InputError: as `decode_tiff`.
    """
    with damage_reported(len(data)), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _only_page(file)
        check_pixel_count(page.imagelength, page.imagewidth)
        yield checked_page(file, data)


@contextmanager
def damage_reported(size: int) -> Iterator[None]:
    """Convert any error while reading a TIFF of `size` bytes into an `InputError`, and silence tifffile's logging."""
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
            f"the TIFF file is damaged or truncated ({size} bytes).\n  got: {error}\nCopy or export it again."
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


def encode_tiff(pixels: Pixels, metadata: Metadata) -> bytes:
    """Encode a TIFF of one page, deflated, reproducible from run to run."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        metadata=None,
        software=False,
        **tiff_options(metadata, channels),
    )
    append_directories(file, metadata)
    return file.getvalue()


def _pages(file: tifffile.TiffFile, *, masks: bool = False) -> list[Any]:
    """The pages of a file that are masks, or those that are not."""
    pages: list[Any] = []
    for index in range(_MOST_PAGES + 1):
        try:
            page: Any = file.pages[index]
        except IndexError:
            return pages
        if bool(page.subfiletype & _MASK) == masks:
            pages.append(page)
    raise several_images(f"more than {_MOST_PAGES} pages")


def _only_page(file: tifffile.TiffFile) -> Any:
    every = _pages(file)
    pages = [page for page in every if not page.is_reduced] or every
    if not pages:
        raise InputError("the TIFF file contains no page: it is truncated or damaged.\nCopy or export it again.")
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
    check_lengths(page)
    if page.compression == COMPRESSION.NONE and sum(page.databytecounts) < page.size * page.bitspersample // 8:
        raise truncated(page.size * page.bitspersample // 8, sum(page.databytecounts))


def _check_kind(page: Any) -> None:
    if page.photometric == PHOTOMETRIC.SEPARATED:
        raise cmyk()
    if page.photometric not in _COLORS:
        found = getattr(page.photometric, "name", page.photometric)
        raise InputError(
            f"the colors must be gray or RGB.\n  got: {found}\nConvert the image to RGB and export it again."
        )
    if page.bitspersample not in (1, 8, 16, 32, 64):
        raise InputError(
            f"a TIFF must have 8 or 16 bits per sample.\n  got: {page.bitspersample}\n"
            "Export it again with 8 or 16 bits (10, 12 and 14 bits fit into 16)."
        )
    if page.photometric == PHOTOMETRIC.MINISBLACK and len(page.extrasamples) > 1:
        raise InputError(
            f"the image must be gray or RGB.\n  got: {1 + len(page.extrasamples)} bands that are not colors\n"
            "Export the bands that you want as gray or RGB."
        )
    if EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
        raise InputError(
            "the alpha channel must be straight (unassociated).\n  got: colors premultiplied by alpha\n"
            "Export it again with straight alpha, or as PNG."
        )


def _decode_page(page: Any, data: bytes) -> Pixels:
    if page.photometric == PHOTOMETRIC.YCBCR or not can_decode(page):
        return _by_opencv(page, data)
    return as_image(page, decode_strips(page, 0, page.imagelength))


def can_decode(page: Any) -> bool:
    """Whether the strips or tiles of a page are decoded one by one in this installation (imagecodecs adds to them)."""
    ours = page.compression in (COMPRESSION.NONE, COMPRESSION.LZW)
    return (ours or page.compression in tifffile.TIFF.DECOMPRESSORS) and (
        page.predictor == 1 or page.predictor in tifffile.TIFF.UNPREDICTORS
    )


def as_image(page: Any, samples: Pixels) -> Pixels:
    """Stored samples (planes, rows, width, samples) of a page as an image.

    Palettes become their colors, bits 0 and 255, and white-is-zero is inverted. Bands beyond gray or RGB are left out,
    but for straight alpha.
    """
    bands = np.moveaxis(samples, 0, 2).reshape(*samples.shape[1:3], -1)
    if page.photometric == PHOTOMETRIC.PALETTE:
        colors: Pixels = _colors(page.colormap)[bands[..., 0]]
        return colors
    pixels = bands[..., image_bands(page)]
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        pixels = _inverted(pixels)
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def image_bands(page: Any) -> list[int]:
    """Which samples of a pixel make the image: gray or RGB, and straight alpha, also OpenCV's, which has no tag."""
    colors = 3 if page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) else 1
    is_untagged = colors == 3 and page.samplesperpixel == 4 and not page.extrasamples
    kinds = [EXTRASAMPLE.UNASSALPHA] if is_untagged else page.extrasamples
    extras = [colors + i for i, kind in enumerate(kinds) if kind == EXTRASAMPLE.UNASSALPHA]
    return [*range(colors), *extras[:1]]


def _inverted(values: Pixels) -> Pixels:
    """Values of white-is-zero as black-is-zero: the two ends of the type are exchanged, 0 and 1 for floats."""
    if values.dtype.kind == "f":
        return np.asarray(1 - values)
    return np.asarray(~values)  # the largest value less this one for unsigned numbers, -1 less this one for signed


def _colors(colormap: Pixels) -> Pixels:
    """A TIFF's palette (3, n) as (n, 3): 8 bit if nothing is lost by that, as it is (16 bit) otherwise."""
    colors = np.ascontiguousarray(colormap.T)
    high = colors >> 8
    eight_bit = ((colors == high * 257) | (colors == high * 256)).all()
    return high.astype(np.uint8) if eight_bit else colors


def _by_opencv(page: Any, data: bytes) -> Pixels:
    """Decode with OpenCV, and take the result only if nothing was dropped, reduced, or missing from the start."""
    if page.compression == COMPRESSION.LZW:
        for number in range(int(np.prod(page.chunked))):
            unpack_lzw(page, number)
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
