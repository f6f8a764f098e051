"""Encode images, or refuse what a format cannot hold."""

from __future__ import annotations

import cv2
import numpy as np

from refinefuse.errors import InputError
from refinefuse.image import opencv
from refinefuse.image.metadata import Metadata
from refinefuse.image.metadata_embed import embed_metadata
from refinefuse.image.pixels import Pixels
from refinefuse.image.png import encode_png
from refinefuse.image.tiff import encode_tiff
from refinefuse.image.tiff_strips import encode_cog

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 101)  # above 100: without loss
_OPTIONS: dict[str, tuple[int, ...]] = {".bmp": (), ".jpg": _JPEG, ".jpeg": _JPEG, ".webp": _WEBP}
_LONGEST_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels, by libjpeg and by WebP


def encode_image(pixels: Pixels, extension: str, metadata: Metadata, png_level: int = 1) -> bytes:
    """The bytes of a file with the image and, as far as the format holds it, the metadata.

    Args:
        pixels: of the image.
        extension: that names the format, in lower case.
        metadata: what to write beside the pixels.
        png_level: of `png.LEVELS`, as `write_images` takes it.

    Raises:
        InputError: the format cannot hold these values, channels or this size.
    """
    _check_fits(pixels, extension)
    pixels = np.ascontiguousarray(pixels)
    if extension in (".tif", ".tiff"):
        return encode_cog(pixels, metadata) if metadata.is_cog else encode_tiff(pixels, metadata)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if extension == ".png":
        data = encode_png(pixels, png_level)
    else:
        data = opencv.encode(pixels, extension, _OPTIONS[extension])
    return embed_metadata(data, extension, metadata, channels)


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
