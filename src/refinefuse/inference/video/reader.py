"""Read two videos as pairs of frames: decoded in separate threads, matched by time, ready for fusion."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.image.color import Color, to_tensor
from refinefuse.inference.inspection import Preview
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.provenance import describe_range
from refinefuse.inference.threads import BoundedQueue, StageTimer
from refinefuse.inference.video.color_range import (
    LumaRange,
    converted,
    fit_range,
    luma_plane,
    luma_range_of,
    neutral_chroma,
    with_luma,
)
from refinefuse.inference.video.containers import Container, Encoding, pixel_format
from refinefuse.inference.video.frames import CorruptFrame, Frame, import_av, reason_of
from refinefuse.inference.video.match import TimestampMatcher
from refinefuse.inference.video.options import VideoOptions, VideoResult
from refinefuse.inference.video.sources import Source

if TYPE_CHECKING:
    from av import VideoFrame

_WAITING = 4  # decoded frames of each source
_CHECKED = (0, 10, 20, 30, 40, 50, 100, 200, 350, 500)  # frame pairs that are checked

Frames = BoundedQueue[Frame | CorruptFrame]


@dataclass(frozen=True)
class FrameOrigin:
    """Origin of a fused frame: the frame of `b`, whose luma is replaced, and its luma range."""

    frame: Frame
    luma_range: LumaRange


class VideoReader:
    """Reads two sources; each frame of `b` is paired with the frame of `a` that is nearest in time.

    Args:
        a: the first source.
        b: the second source, whose timestamps are kept.
        options: options for videos.
        encoding: encoding of the result; frames of `b` are converted to its pixel format.
        container: container of the result.
        color: `gray` removes the color.
        result: collects damaged and unused frames.
        timers: timers for decoding `a` and `b`.
    """

    def __init__(
        self,
        a: Source,
        b: Source,
        options: VideoOptions,
        encoding: Encoding,
        container: Container,
        color: Color,
        result: VideoResult,
        timers: tuple[StageTimer, StageTimer],
    ) -> None:
        self.a, self.b, self.options, self.color = a, b, options, color
        self.encoding, self.container = encoding, container
        self.result, self.timers = result, timers
        counts = [round(source.count / source.rate * b.rate / options.frame_stride) for source in (a, b)]
        self.total: int | None = min(filter(None, counts), default=None)
        self._range_a: LumaRange | None = None
        self._settings: dict[str, str] = {}  # processing of the values, for the provenance record
        self._color_a: torch.Tensor | None = None  # the first frame of `a`, if only its luma is kept
        self._stopped_by: InputError | None = None

    def __iter__(self) -> Generator[Pair, None, None]:
        """Yield pairs of frames until one source ends, or at a damaged frame if requested."""
        queues = [Frames(_WAITING, drop=source.is_camera) for source in (self.a, self.b)]
        work = zip((self.a, self.b), queues, self.timers, (self._prepared_a, self._prepared_b), strict=True)
        threads = [Thread(target=_decode, args=args, daemon=True) for args in work]
        for thread in threads:
            thread.start()
        try:
            intact_a, intact_b = (self._intact(queue) for queue in queues)
            taken = _each_nth(intact_b, self.options.frame_stride)
            matched = TimestampMatcher(intact_a, taken, period=float(1 / self.a.rate))
            for number, (a, b) in enumerate(matched):
                yield self._pair(number, a, b)
            if self._stopped_by is not None:
                raise self._stopped_by
            self.result.note, self.result.cut = matched.note, matched.cut
        finally:
            for queue in queues:
                queue.close()
            for thread in threads:
                thread.join()

    def _prepared_a(self, image: VideoFrame) -> VideoFrame:
        """Convert a frame of `a` so that its first plane is luma; the first frame determines black and white points."""
        prepared = with_luma(image)
        if self._range_a is None:
            self._range_a = self._fit_range(image, prepared)
            if prepared is not image:
                self._color_a = _in_color(image)
        return prepared

    def _fit_range(self, image: VideoFrame, prepared: VideoFrame) -> LumaRange:
        """Black and white points of `a`, from the user's rule, its counts or its format."""
        thermal, found = self.options.thermal, luma_range_of(prepared)
        counts = image.format.name.startswith("gray") and image.format.components[0].bits > 8
        if counts or thermal.range is not None:
            fixed = fit_range(self.a.sample() or [luma_plane(prepared)], thermal.range)
            found = LumaRange(fixed.low, fixed.high)
            self._settings["range"] = describe_range(fixed)
        if thermal.polarity == "black-hot":
            self._settings["polarity"] = thermal.polarity
            return found.inverted()
        return found

    def _prepared_b(self, image: VideoFrame) -> VideoFrame:
        """A modifiable frame of `b`, in the format for encoding."""
        form = pixel_format(self.encoding, image.format, self.b.size)
        prepared = converted(image, form, narrow=self.container.steady)
        prepared.make_writable()
        if self.color == "gray":
            for plane in prepared.planes[1:3]:
                neutral_chroma(plane, prepared.format.components[0].bits)
        return prepared

    def _intact(self, frames: Frames) -> Iterator[Frame]:
        """Filter damaged frames, which are recorded, or end both sources."""
        for frame in frames:
            if isinstance(frame, Frame):
                yield frame
                continue
            message = f"{frame.name}: {frame.reason}"
            if self.options.on_error == "stop":
                self._stopped_by = InputError(f"{message}\nStopped there. Use `on_error=skip` to skip such frames.")
                return  # fuse the frames before it first
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
        pair = Pair(b.name, images, FrameOrigin(b, range_b), (a.name, b.name), settings=dict(self._settings))
        if number in _CHECKED:
            pair.preview = self._preview(number, a, b, images)
        return pair

    def _preview(self, number: int, a: Frame, b: Frame, lumas: tuple[torch.Tensor, ...]) -> Preview:
        """The images to check; after the first pair only for alignment, if only the luma of `a` is kept."""
        if self._color_a is not None and number > 0:
            return Preview(lumas, kinds=("alignment",))
        shown = (self._color_a if self._color_a is not None else _in_color(a.image)), _in_color(b.image)
        color_a, color_b = (x if y is None else y for x, y in zip(lumas, shown, strict=True))
        return Preview((color_a, color_b))


def _each_nth(frames: Iterator[Frame], stride: int) -> Iterator[Frame]:
    """Keep the first of every `stride` frames, with the duration of all of them."""
    for frame in frames:
        end = frame.moment + frame.duration
        for left_out in islice(frames, stride - 1):
            end = left_out.moment + left_out.duration
        yield replace(frame, duration=end - frame.moment)


def _decode(source: Source, queue: Frames, timer: StageTimer, prepared: Callable[[VideoFrame], Any]) -> None:
    """Body of a decoding thread."""
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
    except (import_av().error.FFmpegError, ValueError, MemoryError) as error:
        queue.finish(InputError(f"Cannot decode '{source.name}' any further: {reason_of(error)}."))
    except Exception as error:  # raised again by the consumer
        queue.finish(error)


def _in_color(frame: VideoFrame) -> torch.Tensor | None:
    """Convert a frame to RGB (1, 3, h, w) in [0, 1]; None if it is gray."""
    if frame.format.name.startswith("gray"):
        return None
    pixels: np.ndarray[Any, Any] = frame.to_ndarray(format="rgb24")
    return to_tensor(pixels)
