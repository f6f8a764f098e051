"""Warp `a` to the grid of `b` for fusion, filled from `b` where it has no data, so the fused image equals `b` there."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.alignment.edges import luma
from refinefuse.alignment.transform import Transform
from refinefuse.image.pixels import Pixels
from refinefuse.image.thermal import looks_raw, robust_limits

_SOFT = 24  # width of the transition in pixels


def warp_and_fill(a: Pixels, b: Pixels, transform: Transform) -> tuple[Pixels, UInt8[np.ndarray, "h w"]]:
    """Warp `a` to the grid of `b`, and fill the uncovered area with the luma of `b`.

    Args:
        a: (h, w) or (h, w, c), uint8, uint16 or float32 in [0, 1].
        b: the image that defines the grid.
        transform: maps pixels of `b` to positions in `a`.

    Returns:
        `a` on the grid of `b`, with its own depth and channels (opaque where it is filled; raw counts are filled within
        their own range), and a mask that is 255 where `a` has data and 0 elsewhere.

    Raises:
        InputError: an image is not of the size that the transform was made for.
    """
    transform.check_size("b", b.shape[:2])
    moved, inside = transform.warp(a)
    covered = (inside * 255).astype(np.uint8)
    if inside.all():
        return moved, covered
    top = np.iinfo(a.dtype).max if a.dtype.kind == "u" else 1
    low, high = robust_limits(a) if looks_raw(a) else (0, top)
    weight = np.clip(cv2.distanceTransform(covered, cv2.DIST_L2, 3) / _SOFT, 0, 1)
    channels = 1 if moved.ndim == 2 else moved.shape[2]
    fill = np.repeat((low + luma(b) * np.float32(high - low))[..., None], channels, 2)
    if channels in (2, 4):
        fill[..., -1] = top
    values = moved.reshape(*inside.shape, channels) * weight[..., None] + fill * (1 - weight[..., None])
    if a.dtype.kind == "u":
        values = np.floor(values + 0.5)
    return np.ascontiguousarray(values.clip(0, top).astype(a.dtype).reshape(moved.shape)), covered
