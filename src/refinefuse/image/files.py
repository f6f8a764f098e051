"""Read and write images exactly as stored, with their metadata.

OpenCV decodes and encodes, and tifffile handles TIFF. What a format cannot store, or a decoder would change silently,
is refused with a reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.atomic import check_writable, write_atomic
from refinefuse.errors import InputError
from refinefuse.image import opencv, structure
from refinefuse.image.encode import PNG_LEVELS, encode_image
from refinefuse.image.metadata import Metadata, apply_orientation, parse_metadata
from refinefuse.image.pixels import Pixels, check_pixels
from refinefuse.image.thermal import Counts, check_counts
from refinefuse.image.tiff import decode_tiff, decode_valid
from refinefuse.paths import as_path

#: File extensions (lower case) of images, as read, and as supported by `write_image`.
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")

_CHECKS: dict[str, Callable[[bytes], None]] = {
    "png": structure.check_png,
    "jpeg": structure.check_jpeg,
    "webp": structure.check_webp,
    "bmp": structure.check_bmp,
    "pnm": structure.check_pnm,
    "gif": structure.check_gif,
    "jp2": structure.check_jp2,
}


def read_image(path: str | os.PathLike[str]) -> Pixels:
    """Read an image exactly as it is stored.

    The format is determined by content, not by name. Palettes are converted to colors, and 1-bit images to 0 and 255.
    The orientation in EXIF or in a TIFF tag is applied. TIFF bands that are neither color nor alpha are ignored.

    Args:
        path: a PNG, JPEG, TIFF, WebP, BMP, PGM, PPM, GIF (its first frame) or JPEG 2000 file.

    Returns:
        (h, w) gray, (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8 or uint16 as stored, float32 (TIFF
        only) in [0, 1].

    Raises:
        InputError: a missing file, a folder, no image, or one that is truncated, empty, CMYK, animated, of several
            pages, of another pixel type (signed, 32 bit, ...), or float outside [0, 1].
    """
    return _read(as_path(path), check_pixels, _decode)


def read_counts(path: str | os.PathLike[str]) -> Counts:
    """Read raw sensor counts: like `read_image`, but for any number type and any values, and only for gray images.

    Three equal channels are read as one.

    Args:
        path: a PNG, TIFF or other file that `read_image` supports; signed, 32-bit and float counts are in TIFF.

    Returns:
        (h, w), as stored; a masked array where the file says that pixels hold no data (GDAL's NoData, a TIFF mask).

    Raises:
        InputError: as `read_image`, or if the counts are colored, NaN or infinite, or all pixels hold no data.
    """

    def decode(data: bytes) -> Pixels:
        if structure.file_format(data) != "tiff":
            return _without_copies(_decode(data))
        pixels, mask = decode_valid(data)
        counts = _without_copies(pixels)
        return counts if mask.all() or counts.ndim != 2 else np.ma.MaskedArray(counts, ~mask)

    return _read(as_path(path), check_counts, decode)


def _without_copies(pixels: NDArray[Any]) -> NDArray[Any]:
    copied = pixels.ndim == 3 and pixels.shape[2] == 3 and (pixels == pixels[..., :1]).all()
    return np.ascontiguousarray(pixels[..., 0]) if copied else pixels


def _read(path: Path, check: Callable[[NDArray[Any]], None], decode: Callable[[bytes], NDArray[Any]]) -> NDArray[Any]:
    if path.is_dir():
        raise InputError(
            f"Cannot read '{path}': it is a folder.\n  expected: an image file\n"
            "Pass a file, or two folders to fuse all their images."
        )
    try:
        data = path.read_bytes()
        pixels = decode(data)
        check(pixels)
        return _upright(pixels, parse_metadata(data).orientation)
    except FileNotFoundError:
        raise InputError(f"Cannot read '{path}': there is no such file.\nCheck the path.") from None
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.\nCheck the path and its permissions.") from None
    except InputError as error:
        raise InputError(f"Cannot read '{path}': {error}") from None


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    if orientation == 1:
        return pixels
    upright = apply_orientation(pixels, orientation)
    return upright.copy() if isinstance(upright, np.ma.MaskedArray) else np.ascontiguousarray(upright)


def write_image(
    path: str | os.PathLike[str], pixels: Pixels, *, metadata: Metadata | None = None, overwrite: bool = False
) -> None:
    """Write an image atomically, in the format given by the extension of `path`.

    PNG, TIFF, BMP and WebP preserve every value (except that WebP does not keep colors under fully transparent pixels,
    and returns gray as RGB); JPEG is written with quality 95 and without chroma subsampling. The file only appears
    under its name when it is complete; its folder is created if necessary.

    Args:
        path: the file to write.
        pixels: (h, w) gray, (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16 (PNG, TIFF) or
            float32 in [0, 1] (TIFF).
        metadata: metadata to write, as far as the format supports it (`unsupported_metadata` lists the rest).
        overwrite: replace an existing file.

    Raises:
        InputError: the file exists, its folder cannot be written to, the extension is unknown, the array is no
            image, or the format cannot hold it. Nothing is written then.
    """
    metadata_of = {} if metadata is None else {Path(path): metadata}
    write_images({Path(path): pixels}, metadata=metadata_of, overwrite=overwrite)


def write_images(
    images: Mapping[Path, Pixels],
    *,
    metadata: Mapping[Path, Metadata] | None = None,
    overwrite: bool = False,
    png_level: int = 1,
) -> None:
    """Write several images like `write_image`, or none of them if one cannot be written.

    Args:
        images: images by path.
        metadata: metadata of some of them, by path.
        overwrite: replace existing files.
        png_level: PNG compression: 0 (none), 1 (fast), 2 (smaller, best for camera images), or 3 to 9 (increasingly
            slow, best for drawings and slices).

    Raises:
        InputError: as in `write_image`; only a full disk can leave some images written and others not.
    """
    given = metadata or {}
    if png_level not in PNG_LEVELS:
        raise InputError(f"The PNG level must be a whole number from 0 to 9.\n  got: {png_level}")
    encoded = {
        path: _checked(path, pixels, given.get(path, Metadata()), overwrite, png_level)
        for path, pixels in images.items()
    }
    for path, data in encoded.items():
        write_atomic(path, data)


def _checked(path: Path, pixels: Pixels, metadata: Metadata, overwrite: bool, png_level: int) -> bytes:
    check_target(path, overwrite=overwrite)
    try:
        check_pixels(pixels)
        return encode_image(pixels, path.suffix.lower(), metadata, png_level)
    except InputError as error:
        raise InputError(f"Cannot write '{path}': {error}") from None


def _decode(data: bytes) -> Pixels:
    if not data:
        raise InputError("the file is empty (0 bytes).\nCopy or export it again.")
    name = structure.file_format(data)
    if name is None:
        foreign = structure.foreign_format(data)
        raise InputError(
            f"{f'it is {foreign}, which is not supported' if foreign else 'it is not an image'}.\n"
            "  expected: PNG, JPEG, TIFF, WebP, BMP, PGM, PPM, GIF or JPEG 2000\n"
            "Convert it to one of these formats, preferably PNG or TIFF."
        )
    if name == "tiff":
        pixels = decode_tiff(data)
    else:
        _CHECKS[name](data)
        decoded = opencv.decode(data)
        if decoded is None:
            raise InputError(
                f"OpenCV cannot decode this {name.upper()} file: it is damaged, or uses a rare variant of the format.\n"
                "Export it again, preferably as PNG or TIFF."
            )
        gray_alpha = name == "png" and structure.png_is_gray_alpha(data)
        pixels = np.ascontiguousarray(decoded[..., 2:]) if gray_alpha else decoded
        if name == "gif":
            pixels = _plain(pixels)
    return pixels


def _plain(pixels: Pixels) -> Pixels:
    """Simplify the first frame of a GIF: drop an opaque alpha channel, and convert to gray if it has no color."""
    if pixels.ndim == 3 and pixels.shape[2] == 4 and (pixels[..., 3] == 255).all():
        pixels = np.ascontiguousarray(pixels[..., :3])
    return _without_copies(pixels)


def check_target(path: Path, *, overwrite: bool, suffixes: Sequence[str] = IMAGE_EXTENSIONS) -> None:
    """Check that a path can be written to, before any work is done.

    Raises:
        InputError: the extension is unknown, or the file exists and `overwrite` is not set.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"Cannot write '{path}': unknown file extension.\n"
            f"  expected: {', '.join(suffixes)}\n"
            f"  got: {path.suffix or 'none'}\nUse one of these extensions."
        )
    check_writable(path, overwrite=overwrite)
