"""A fused frame on its way to the outputs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from refinefuse.inference.video.color_range import converted, luma_range_of
from refinefuse.inference.video.frames import import_av

if TYPE_CHECKING:
    from av import VideoFrame

_CLOCK = Fraction(1, 1000)


@dataclass(frozen=True)
class FusedFrame:
    """A fused frame, 8-bit planar YUV.

    Attributes:
        time: arrival time of its newer source, in seconds of `time.monotonic`.
        image: the frame; not modified any more.
    """

    time: float
    image: VideoFrame


def canvas_of(image: VideoFrame) -> VideoFrame:
    """Return a copy of a frame in 8-bit planar YUV with a writable luma plane; odd sizes use 4:4:4."""
    form = "yuv444p" if image.height % 2 or image.width % 2 else "yuv420p"
    planar = converted(image, form)
    copy: VideoFrame = import_av().VideoFrame.from_ndarray(planar.to_ndarray(), format=form)
    copy.color_range, copy.colorspace = planar.color_range, planar.colorspace
    return copy


def write_text(plane: np.ndarray[Any, Any], text: str) -> None:
    """Write a line of text at the top left of a luma plane, white with a dark outline."""
    size = max(0.4, plane.shape[0] / 1000)
    corner = (round(12 * size), round(30 * size))
    shown = np.ascontiguousarray(plane[: round(45 * size)])
    for level, width in ((0, 4), (255, 1)):
        cv2.putText(
            shown, text, corner, cv2.FONT_HERSHEY_SIMPLEX, size, level, max(1, round(width * size)), cv2.LINE_AA
        )
    plane[: len(shown)] = shown


class JpegEncoder:
    """Encode frames as JPEG."""

    def __init__(self) -> None:
        self._codec: Any = None
        self._count = 0

    def encode(self, image: VideoFrame) -> bytes:
        """Encode one frame as a JPEG file."""
        black = luma_range_of(image).black
        ready = image.reformat(
            format=image.format.name.replace("yuv", "yuvj"), src_color_range=1 if black else 2, dst_color_range=2
        )
        if self._codec is None or (self._codec.width, self._codec.height) != (image.width, image.height):
            self._codec = import_av().CodecContext.create("mjpeg", "w")
            self._codec.width, self._codec.height, self._codec.pix_fmt = image.width, image.height, ready.format.name
            self._codec.time_base = _CLOCK
            self._codec.thread_count = 1
            self._codec.options = {"qmin": "3", "qmax": "3"}
        ready.pts, ready.time_base = self._count, _CLOCK
        self._count += 1
        return b"".join(bytes(packet) for packet in self._codec.encode(ready))
