"""Draw boxes on images."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes

_KNOWN = {"person": (255, 176, 0), "car": (86, 220, 255), "bicycle": (90, 230, 120)}
_OTHERS = ((255, 120, 200), (190, 150, 255), (255, 255, 110), (255, 130, 90), (140, 255, 220))
LABEL = (255, 255, 255)


def draw_boxes(
    pixels: UInt8[np.ndarray, "h w 3"], boxes: Boxes, labels: Boxes | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw detections in the color of their class and labels in thin white on a copy of an RGB image."""
    canvas = np.ascontiguousarray(pixels).copy()
    thick = max(1, round(min(canvas.shape[:2]) / 300))
    for corners in [] if labels is None else labels.corners:
        left, top, right, bottom = (int(edge) for edge in corners)
        cv2.rectangle(canvas, (left, top), (right, bottom), LABEL, 1)
    for corners, name, score in zip(boxes.corners, boxes.classes, boxes.scores, strict=True):
        left, top, right, bottom = (int(edge) for edge in corners)
        color = _KNOWN.get(name) or _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)]
        cv2.rectangle(canvas, (left, top), (right, bottom), color, thick)
        _caption(canvas, f"{name} {score:.2f}", left, top, color, thick)
    return canvas


def _caption(canvas: np.ndarray, text: str, left: int, top: int, color: tuple[int, int, int], thick: int) -> None:
    size = 0.25 + 0.1 * thick
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    top = max(top, height + 4)
    left = max(0, min(left, canvas.shape[1] - width - 2))
    cv2.rectangle(canvas, (left, top - height - 4), (left + width + 2, top), color, -1)
    cv2.putText(canvas, text, (left + 1, top - 3), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
