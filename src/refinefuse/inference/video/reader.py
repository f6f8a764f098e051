"""Two videos as pairs of frames: decoded in threads of their own, matched by time, ready to be fused."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.image.color import Color, to_tensor
from refinefuse.inference.inspection import Preview
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.queues import BoundedQueue, StageTimer
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.video.color_range import (
    LumaRange,
    converted,
    estimate_luma_range,
    luma_plane,
    luma_range_of,
    neutral_chroma,
    with_luma,
)
from refinefuse.inference.video.encoder import Encoding, pixel_format
from refinefuse.inference.video.match import TimestampMatcher
from refinefuse.inference.video.options import VideoOptions, VideoResult
from refinefuse.inference.video.sources import CorruptFrame, Frame, Source

if TYPE_CHECKING:
    from av import VideoFrame

_WAITING = 4  # decoded frames of each source
_CHECKED = (0, 50, 500)  # numbers of the pairs of frames that are checked

Frames = BoundedQueue[Frame | CorruptFrame]


@dataclass(frozen=True)
class FrameOrigin:
    """What a frame becomes: the frame of `b`, whose luma is replaced, and what the numbers of that luma mean."""

    image: VideoFrame
    luma_range: LumaRange


class VideoReader:
    """Reads two sources; each frame of `b` comes with the frame of `a` that is nearest in time.

    Args:
        a: the first source.
        b: the second source, whose timestamps are kept.
        options: of videos.
        encoding: of the result; frames of `b` come in its pixel format.
        color: `gray` takes the color out.
        result: damaged frames and what is left over are entered here.
        timers: of decoding `a` and of decoding `b`.
    """

    def __init__(
        self,
        a: Source,
        b: Source,
        options: VideoOptions,
        encoding: Encoding,
        color: Color,
        result: VideoResult,
        timers: tuple[StageTimer, StageTimer],
    ) -> None:
        self.a, self.b, self.options, self.encoding, self.color = a, b, options, encoding, color
        self.result, self.timers = result, timers
        counts = [int(source.count / source.rate * b.rate / options.frame_stride) for source in (a, b)]
        self.total: int | None = min(filter(None, counts), default=None)
        self._range_a: LumaRange | None = None
        self._color_a: torch.Tensor | None = None  # the first frame of `a`, where only its luma is kept
        self._stopped_by: InputError | None = None

    def __iter__(self) -> Generator[Pair, None, None]:
        """The pairs of frames until one source ends, or at a damaged frame if that is to stop it."""
        queues = [Frames(_WAITING, drop=source.is_camera) for source in (self.a, self.b)]
        work = zip((self.a, self.b), queues, self.timers, (self._prepared_a, self._prepared_b), strict=True)
        threads = [Thread(target=_decode, args=args, daemon=True) for args in work]
        for thread in threads:
            thread.start()
        try:
            intact_a, intact_b = (self._intact(queue) for queue in queues)
            period, stride = float(1 / self.a.rate), self.options.frame_stride
            matched = TimestampMatcher(intact_a, intact_b, period=period, frame_stride=stride)
            for number, (a, b) in enumerate(matched):
                yield self._pair(number, a, b)
            if self._stopped_by is not None:
                raise self._stopped_by
            self.result.note = matched.note
        finally:
            for queue in queues:
                queue.close()
            for thread in threads:
                thread.join()

    def _prepared_a(self, image: VideoFrame) -> VideoFrame:
        """A frame of `a` whose first plane is its luma; the first one settles the black and the white point."""
        prepared = with_luma(image)
        if self._range_a is None:
            self._range_a = _range_of_source(self.a, image, prepared, self.options.thermal)
            if prepared is not image:
                self._color_a = _in_color(image)
        return prepared

    def _prepared_b(self, image: VideoFrame) -> VideoFrame:
        """A frame of `b` in the form in which it is encoded, free to be changed."""
        prepared = converted(image, pixel_format(self.encoding, image.format, self.b.size))
        prepared.make_writable()
        if self.color == "gray":
            for plane in prepared.planes[1:3]:
                neutral_chroma(plane, prepared.format.components[0].bits)
        return prepared

    def _intact(self, frames: Frames) -> Iterator[Frame]:
        """Frames without those that are damaged, which are noted, or end both sources."""
        for frame in frames:
            if isinstance(frame, Frame):
                yield frame
                continue
            message = f"{frame.name}: {frame.reason}"
            if self.options.on_error == "stop":
                self._stopped_by = InputError(f"{message}\nStopped there; --on-error skip leaves such frames out.")
                return  # the frames before it are fused first
            self.result.damaged.append(message)

    def _pair(self, number: int, a: Frame, b: Frame) -> Pair:
        plane_a, plane_b = luma_plane(a.image), luma_plane(b.image)
        if plane_a.shape != self.a.size or plane_b.shape != self.b.size:
            raise InputError(
                f"The size changes within the video.\n  expected: {self.b.size[0]} x {self.b.size[1]}\n"
                f"  {a.name}: {plane_a.shape[0]} x {plane_a.shape[1]}\n"
                f"  {b.name}: {plane_b.shape[0]} x {plane_b.shape[1]}\nCut the video there."
            )
        range_a, range_b = self._range_a or luma_range_of(a.image), luma_range_of(b.image)
        images = range_a.normalize(plane_a), range_b.normalize(plane_b)
        pair = Pair(b.name, images, FrameOrigin(b.image, range_b), (a.name, b.name))
        if number in (_CHECKED if self._color_a is None else _CHECKED[:1]):
            shown = (self._color_a if self._color_a is not None else _in_color(a.image)), _in_color(b.image)
            color_a, color_b = (x if y is None else y for x, y in zip(images, shown, strict=True))
            pair.preview = Preview((color_a, color_b))
        return pair


def _decode(source: Source, queue: Frames, timer: StageTimer, prepared: Callable[[VideoFrame], Any]) -> None:
    """The work of a decoding thread."""
    frames = iter(source)
    try:
        while True:
            with timer.working():
                frame = next(frames, None)
                if isinstance(frame, Frame):
                    frame = replace(frame, image=prepared(frame.image))
            if frame is None or not queue.put(frame):
                break
        queue.finish()
    except Exception as error:  # raised again where the frames are taken
        queue.finish(error)


def _range_of_source(source: Source, image: VideoFrame, prepared: VideoFrame, thermal: ThermalOptions) -> LumaRange:
    counts = image.format.name.startswith("gray") and image.format.components[0].bits > 8
    found = luma_range_of(prepared)
    if counts or thermal.range is not None:
        found = estimate_luma_range(source.sample() or [luma_plane(prepared)], thermal.range)
    return found.inverted() if thermal.polarity == "black-hot" else found


def _in_color(frame: VideoFrame) -> torch.Tensor | None:
    """A frame as RGB (1, 3, h, w) in [0, 1]; None if it is gray."""
    if frame.format.name.startswith("gray"):
        return None
    pixels: np.ndarray[Any, Any] = frame.to_ndarray(format="rgb24")
    return to_tensor(pixels)
