"""Montages of sources and results, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.image.color import to_rgb8

_CAPTION = 22  # pixels above each image
_GAP = 6
_SMALLEST = 192  # longer side of a slice in a montage, in pixels


def side_by_side(images: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    """Concatenate images of the same height in a row with captions, as 8-bit RGB; alpha is ignored.

    Args:
        images: images by caption, (h, w) or (h, w, c), uint8, uint16 or float32 in [0, 1].
    """
    row: list[np.ndarray] = []
    for caption, pixels in images.items():
        body = to_rgb8(pixels)
        head = np.full((_CAPTION, body.shape[1], 3), 255, np.uint8)
        cv2.putText(head, caption, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        row += [np.vstack([head, body]), np.full((_CAPTION + body.shape[0], _GAP, 3), 255, np.uint8)]
    return np.hstack(row[:-1])


def volume_montage(rows: Sequence[Sequence[np.ndarray]], aspect: float) -> UInt8[np.ndarray, "h w 3"]:
    """Stack rows of slices, each with the sources and the result, with the physical aspect ratio.

    Args:
        rows: rows of images of the same size, (h, w) or (h, w, 3), uint8 or float32 in [0, 1]; the result last.
        aspect: the height of a pixel divided by its width.
    """
    names = ["a", "b"] if len(rows[0]) == 3 else [f"source {index + 1}" for index in range(len(rows[0]) - 1)]
    height, width = rows[0][0].shape[:2]
    scale = max(1.0, _SMALLEST / max(height * aspect, width))
    size = (max(1, round(width * scale)), max(1, round(height * aspect * scale)))
    images = [[cv2.resize(to_rgb8(image), size, interpolation=cv2.INTER_LINEAR) for image in row] for row in rows]
    parts = [side_by_side(dict(zip((*names, "fused"), row, strict=True))) for row in images]
    return np.vstack(parts)
