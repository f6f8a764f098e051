"""Valid image types and shapes, and the limit on the pixels that a file may declare."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError

#: An image: (h, w), (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16, or float32 in [0, 1].
Pixels = NDArray[Any]

DTYPES = ("uint8", "uint16", "float32")

#: Pixels of the largest image that is read as a whole, unless the environment variable `LIMIT_VARIABLE` says otherwise.
MAX_PIXELS = 200_000_000
#: The environment variable that raises (or lowers) the limit, for this process and those that it starts.
LIMIT_VARIABLE = "REFINEFUSE_MAX_PIXELS"


def check_pixels(pixels: Pixels) -> None:
    """Check that an array is an image.

    Args:
        pixels: (h, w), (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16, or float32 in [0, 1].

    Raises:
        InputError: no array, another shape, no pixels at all, another dtype, or float values that are not finite or
            leave [0, 1].
    """
    if not isinstance(pixels, np.ndarray):  # a caller without a type checker
        raise InputError(
            f"this is not an array of pixels.\n  expected: a NumPy array\n  got: {type(pixels).__name__}\n"
            "Read files with read_image first; convert lists and PIL images with numpy.asarray."
        )
    if isinstance(pixels, np.ma.MaskedArray) and np.ma.getmaskarray(pixels).any():
        raise InputError(
            "a masked array cannot be fused: its masked pixels have no value.\n"
            f"  got: {int(np.ma.getmaskarray(pixels).sum())} masked pixels\n"
            "Fill them first (numpy.ma.filled), for example with the values of the other image."
        )
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (2, 3, 4))):
        raise InputError(
            "an image cannot have this shape.\n"
            "  expected: (h, w) gray, (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA\n"
            f"  got: {pixels.shape}\n"
            "Pass one image with the channels last; for gray, drop the last axis (pixels[..., 0])."
        )
    if pixels.size == 0:
        raise InputError(
            "the image has no pixels.\n  expected: at least 1 x 1\n"
            f"  got: {pixels.shape[0]} x {pixels.shape[1]}\n"
            "Check the crop or export that produced it."
        )
    if pixels.dtype.name not in DTYPES:
        raise InputError(
            f"pixels must be of the type {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.\n  got: {pixels.dtype.name}\n"
            "If these are raw counts, set a `range` such as percentile:1,99; otherwise convert the image to "
            "uint16 or to "
            "float32 scaled to [0, 1]."
        )
    if pixels.dtype == np.float32:
        _check_float(pixels)


def _check_float(pixels: Pixels) -> None:
    bad = int(pixels.size - np.isfinite(pixels).sum())
    if bad:
        raise InputError(
            f"float pixels must be finite numbers.\n  got: {bad} of {pixels.size} values are NaN or infinite\n"
            "Replace them first, for example with numpy.nan_to_num."
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise InputError(
            f"float pixels must lie in [0, 1].\n  got: {low:g} to {high:g}\n"
            "If these are raw counts, set a `range` such as percentile:1,99; otherwise scale them: "
            "(pixels - low) / (high - low), clipped to [0, 1]."
        )


def max_pixels() -> int:
    """The current limit.

    Raises:
        InputError: the environment variable is not a positive integer.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(MAX_PIXELS))
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InputError(f"{LIMIT_VARIABLE} must be a whole number above 0.\n  got: {text!r}\nCorrect or unset it.")
    return int(text)


def check_pixel_count(height: int, width: int) -> None:
    """Refuse invalid image sizes, and those above the limit.

    Raises:
        InputError: with the declared size, the limit and how to raise it.
    """
    if height < 1 or width < 1:
        raise InputError(
            f"the image has no pixels.\n  expected: at least 1 x 1\n  got: {height} x {width}\nExport it again."
        )
    limit = max_pixels()
    if height * width > limit:
        raise InputError(
            f"the file declares more pixels than the limit allows.\n  expected: at most {limit}\n"
            f"  got: {height * width} ({height} x {width})\n"
            f"If the file is valid, raise the limit: `{LIMIT_VARIABLE}` in the environment."
        )
