"""Encode images, or refuse what a format cannot hold."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from refinefuse.errors import InputError
from refinefuse.image import opencv, structure
from refinefuse.image.metadata import Metadata
from refinefuse.image.metadata_embed import embed_metadata, png_chunk
from refinefuse.image.pixels import Pixels
from refinefuse.image.tiff import encode_tiff
from refinefuse.image.tiff_strips import encode_cog

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 101)  # above 100: without loss
_OPTIONS: dict[str, tuple[int, ...]] = {".bmp": (), ".jpg": _JPEG, ".jpeg": _JPEG, ".webp": _WEBP}
PNG_LEVELS = range(10)
_LONGEST_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels, by libjpeg and by WebP


def encode_image(pixels: Pixels, extension: str, metadata: Metadata, png_level: int = 1) -> bytes:
    """The bytes of a file with the image and, as far as the format holds it, the metadata.

    Args:
        pixels: of the image.
        extension: that names the format, in lower case.
        metadata: what to write beside the pixels.
        png_level: of `PNG_LEVELS`, as `write_images` takes it.

    Raises:
        InputError: the format cannot hold these values, channels or this size.
    """
    _check_fits(pixels, extension)
    pixels = np.ascontiguousarray(pixels)
    if extension in (".tif", ".tiff"):
        return encode_cog(pixels, metadata) if metadata.is_cog else encode_tiff(pixels, metadata)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    options = _png_options(png_level) if extension == ".png" else _OPTIONS[extension]
    data = _gray_alpha_png(pixels) if channels == 2 else opencv.encode(pixels, extension, options)
    return embed_metadata(data, extension, metadata, channels)


def _png_options(level: int) -> tuple[int, ...]:
    """OpenCV's options for a level.

    Measured on street scenes, 640 x 480 in color: 1.4 ms and 924 kB at level 0, 7.7 ms and 316 kB at level 1, 9.7 ms
    and 263 kB at level 2. Higher levels take longer and are no smaller: 22 ms and 312 kB at level 3.
    """
    if level == 1:  # runs, and differences from the left
        return ()
    if level == 2:  # runs, and differences from what lies around
        runs = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
        return (cv2.IMWRITE_PNG_COMPRESSION, 1, *runs, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH)
    every = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS if level else cv2.IMWRITE_PNG_FILTER_NONE)
    strategy = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)
    return (cv2.IMWRITE_PNG_COMPRESSION, level, *strategy, *every)


def _check_fits(pixels: Pixels, extension: str) -> None:
    """Refuse what the format cannot hold, naming one that can."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    depth = {"uint8": "8 bit", "uint16": "16 bit", "float32": "float"}
    allowed = {".tif": tuple(depth), ".tiff": tuple(depth), ".png": ("uint8", "uint16")}.get(extension, ("uint8",))
    if pixels.dtype.name not in allowed:
        raise InputError(
            f"{extension} cannot hold these values.\n  expected: {' or '.join(depth[name] for name in allowed)}\n"
            f"  got: {depth[pixels.dtype.name]}\n"
            f"Write {'.tif' if pixels.dtype == np.float32 else '.png or .tif'} instead."
        )
    without_alpha = extension in (".jpg", ".jpeg", ".bmp")
    if (channels in (2, 4) and without_alpha) or (channels == 2 and extension == ".webp"):
        found = "gray + alpha" if channels == 2 else "RGBA"
        raise InputError(
            f"{extension} cannot hold this image's channels.\n  got: {found}\n"
            "Write .png or .tif instead, or drop the alpha channel."
        )
    longest, side = _LONGEST_SIDE.get(extension), max(pixels.shape[:2])
    if longest is not None and side > longest:
        raise InputError(
            f"{extension} cannot hold an image of this size.\n  expected: at most {longest} pixels per side\n"
            f"  got: {side}\nWrite .png or .tif."
        )


def _gray_alpha_png(pixels: Pixels) -> bytes:
    """A PNG of two channels, which OpenCV cannot write. Source: ISO/IEC 15948:2004 (PNG), clauses 5 and 11.2."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, pixels.itemsize * 8, 4, 0, 0, 0)
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    unfiltered = np.pad(rows, ((0, 0), (1, 0)))  # every row starts with its filter: none
    return (
        structure.PNG_SIGNATURE
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(unfiltered.tobytes()))
        + png_chunk(b"IEND", b"")
    )
