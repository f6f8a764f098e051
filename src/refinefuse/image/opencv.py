"""OpenCV's coders, silent and in RGB order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import cv2
import numpy as np

from refinefuse.image.pixels import Pixels

_LEVEL = Lock()  # the level of OpenCV's messages belongs to the whole process
_REORDER = {3: [2, 1, 0], 4: [2, 1, 0, 3]}  # BGR(A) to RGB(A), and back


def decode(data: bytes) -> Pixels | None:
    """Decode one image exactly as stored; None if OpenCV cannot.

    Args:
        data: a whole file.

    Returns:
        (h, w), (h, w, 3) RGB or (h, w, 4) RGBA. Orientation tags are ignored, except by the TIFF decoder.
    """
    try:
        with _silence():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if pixels is None else _reorder(pixels)


def encode(pixels: Pixels, extension: str, options: tuple[int, ...]) -> bytes:
    """Encode (h, w), (h, w, 3) RGB or (h, w, 4) RGBA in the format of `extension`; `options` are OpenCV's."""
    with _silence():
        _, data = cv2.imencode(extension, _reorder(pixels), options)
    return data.tobytes()


def _reorder(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., _REORDER[pixels.shape[2]]])


@contextmanager
def _silence() -> Iterator[None]:
    """Keep OpenCV's own messages off stderr: what matters of them is said by our errors."""
    control = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4 and 5
    with _LEVEL:
        level = control.getLogLevel()
        control.setLogLevel(0)
        try:
            yield
        finally:
            control.setLogLevel(level)
