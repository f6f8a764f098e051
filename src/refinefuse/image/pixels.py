"""What an array has to be to count as a image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError

#: A image: (h, w), (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16, or float32 in [0, 1].
Pixels = NDArray[Any]

DTYPES = ("uint8", "uint16", "float32")


def check_pixels(pixels: Pixels) -> None:
    """Refuse an array that is no image.

    Args:
        pixels: (h, w), (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16, or float32 in [0, 1].

    Raises:
        InputError: another shape, no pixels at all, another dtype, or float values that are not finite or leave [0, 1].
    """
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (2, 3, 4))):
        raise InputError(
            "this is not the shape of a image.\n"
            "  expected: (h, w) gray, (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA\n"
            f"  found: {pixels.shape}\n"
            "Keep one image and the channels last; for gray drop the last axis (pixels[..., 0])."
        )
    if pixels.size == 0:
        raise InputError(
            "the image holds no pixels.\n  expected: at least 1 x 1\n"
            f"  found: {pixels.shape[0]} x {pixels.shape[1]}\n"
            "Check the crop or the export that made it."
        )
    if pixels.dtype.name not in DTYPES:
        raise InputError(
            f"pixels must be of the type {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.\n  found: {pixels.dtype.name}\n"
            "Convert the image: counts to uint16, anything else to float32 scaled to [0, 1]."
        )
    if pixels.dtype == np.float32:
        _check_float(pixels)


def _check_float(pixels: Pixels) -> None:
    bad = int(pixels.size - np.isfinite(pixels).sum())
    if bad:
        raise InputError(
            f"float pixels must be finite numbers.\n  found: {bad} of {pixels.size} values are NaN or infinite\n"
            "Replace them first, for example with numpy.nan_to_num."
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise InputError(
            f"float pixels must lie in [0, 1].\n  found: {low:g} to {high:g}\n"
            "Scale them first with limits of your choice: (pixels - low) / (high - low), clipped to [0, 1]."
        )
