"""OpenCV's codecs, silenced and in RGB order."""

from __future__ import annotations

from threading import Lock

import cv2
import numpy as np

from refinefuse.image.pixels import Pixels

_REORDER = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # and back


class _Silence:
    """The level of OpenCV's messages, which belongs to the whole process, while some of its threads code."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside, self._level = 0, 0
        self._control = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4 and 5

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._level = self._control.getLogLevel()
                self._control.setLogLevel(0)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._control.setLogLevel(self._level)


_SILENCE = _Silence()
"""Keeps OpenCV's messages off stderr; our errors report what matters."""


def decode(data: bytes) -> Pixels | None:
    """Decode one image exactly as stored; None if OpenCV cannot.

    Args:
        data: a whole file.

    Returns:
        (h, w), (h, w, 3) RGB or (h, w, 4) RGBA. Orientation tags are ignored, except by the TIFF decoder.
    """
    try:
        with _SILENCE:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if pixels is None else _reorder(pixels)


def encode(pixels: Pixels, extension: str, options: tuple[int, ...]) -> bytes:
    """Encode (h, w), (h, w, 3) RGB or (h, w, 4) RGBA in the format of `extension`; `options` are OpenCV's."""
    with _SILENCE:
        _, data = cv2.imencode(extension, _reorder(pixels), options)
    return data.tobytes()


def _reorder(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, _REORDER[pixels.shape[2]])
