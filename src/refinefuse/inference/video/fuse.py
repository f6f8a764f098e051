"""Two videos in, one video out: decode, fuse and encode in threads of their own."""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

import torch
from tqdm import tqdm

from refinefuse.alignment.transform import Transform
from refinefuse.alignment.warp import warp_and_fill
from refinefuse.errors import InputError, RefineFuseError
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.thermal import STORED_VALUES, ThermalOptions
from refinefuse.inference.video.color_range import (
    LumaRange,
    converted,
    estimate_luma_range,
    luma_plane,
    luma_range_of,
    neutral_chroma,
    with_luma,
)
from refinefuse.inference.video.frame_queue import FrameQueue, StageTimer
from refinefuse.inference.video.match import TimestampMatcher
from refinefuse.inference.video.sources import CorruptFrame, Frame, Source, VideoSource, listening, open_sources
from refinefuse.inference.video.writer import Codec, VideoWriter, check_video_target, pixel_format

if TYPE_CHECKING:
    from av import VideoFrame

OnError = Literal["skip", "stop"]
_WAITING = 4  # frames between two stages


@dataclass
class VideoResult:
    """What became of a video.

    Attributes:
        frames: how many were written.
        seconds: how long it took.
        damaged: the frames that could not be decoded, each with the reason.
        note: what was left over of the longer source, in words.
        failure: why it ended before its time, empty if it did not; the frames before can be played.
        interrupted: whether the user stopped it.
        stages: how long each stage worked.
        written: when each frame had been encoded, in seconds from the start.
    """

    frames: int = 0
    seconds: float = 0.0
    damaged: list[str] = field(default_factory=list)
    note: str = ""
    failure: str = ""
    interrupted: bool = False
    stages: tuple[StageTimer, ...] = ()
    written: list[float] = field(default_factory=list)

    def lowest_rate(self, window: float) -> float | None:
        """Frames a second in that stretch of `window` seconds, between the first frame and the last, that had fewest.

        None if the frames do not fill one such stretch.
        """
        last = self.written[-1] if self.written else 0.0
        starts = [start for start in self.written if start + window <= last]
        counts = [bisect_right(self.written, start + window) - bisect_right(self.written, start) for start in starts]
        return min(counts) / window if counts else None

    def slowest(self) -> StageTimer:
        """The stage that worked longest: the others wait for it."""
        return max(self.stages, key=lambda stage: stage.busy)


def fuse_videos(
    load: Callable[[], Fuser],
    a: str,
    b: str,
    output: Path,
    thermal: ThermalOptions = STORED_VALUES,
    transform: Transform | None = None,
    *,
    codec: str = "auto",
    fps: float | None = None,
    frame_stride: int = 1,
    on_error: OnError = "skip",
    overwrite: bool = False,
) -> VideoResult:
    """Fuse two videos; the pace, the timestamps, the color and the sound are those of `b`.

    Luma is fused, the chroma planes of `b` are kept as they are. The frame of `a` that is nearest in time goes with
    each frame of `b`. Interrupted, or with a disk that is full, what was written is a file that can be played.

    Args:
        load: makes the fuser; called when both sources are known to be usable.
        a: video file, folder of images, camera or URL of the first source.
        b: of the second source.
        output: the fused video; its ending gives the format.
        thermal: range and polarity of `a`. Without a range, gray of more than 8 bits is scaled from its own lowest and
            highest counts, fixed over the sequence.
        transform: where in `a` each pixel of `b` lies; None: at the same place.
        codec: h264, hevc, ffv1, or auto (by the ending).
        fps: frames a second of folders; None: that of the video beside it, or 25.
        frame_stride: fuse only each n-th frame of `b`.
        on_error: what to do about a damaged frame: leave it out, or end there.
        overwrite: replace a file that is there.

    Raises:
        InputError: if a source cannot be used, the sizes differ, or the result cannot be written.
        MissingDependencyError: if PyAV is not installed.
    """
    if frame_stride < 1:
        raise InputError(f"`frame_stride` must be 1 or more.\n  got: {frame_stride}")
    for name in (a, b):
        if Path(name).resolve() == output.resolve():
            raise InputError(f"'{output}' is named twice, as a source and as the result.\nGive it a place of its own.")
    chosen = check_video_target(output, codec, overwrite=overwrite)
    with listening(), ExitStack() as stack:
        sources = open_sources(a, b, fps, same_size=transform is None)
        for source in sources:
            stack.callback(source.close)
        if transform is not None:
            transform.check_size("a", sources[0].size)
            transform.check_size("b", sources[1].size)
        return _Run(load(), sources, thermal, transform, output, chosen, frame_stride, on_error).run()


class _Run:
    """The threads of one video and what passes between them."""

    def __init__(
        self,
        fuser: Fuser,
        sources: tuple[Source, Source],
        thermal: ThermalOptions,
        transform: Transform | None,
        output: Path,
        codec: Codec,
        frame_stride: int,
        on_error: OnError,
    ) -> None:
        if fuser.color not in ("b", "gray"):
            raise InputError(f"`color` must be b or gray for videos.\n  got: {fuser.color}")
        self.fuser, self.output, self.codec, self.frame_stride, self.on_error = (
            fuser,
            output,
            codec,
            frame_stride,
            on_error,
        )
        (self.a, self.b), self.thermal, self.transform = sources, thermal, transform
        self.outcome = VideoResult(stages=tuple(map(StageTimer, ("decode a", "decode b", "fuse", "encode"))))
        self.frames_a, self.frames_b = (
            FrameQueue[Frame | CorruptFrame](_WAITING, drop=source.is_camera) for source in sources
        )
        self.fused: FrameQueue[VideoFrame] = FrameQueue(_WAITING)
        self.levels_a: LumaRange | None = None
        self.errors: list[Exception] = []
        self.start = 0.0

    def run(self) -> VideoResult:
        """Start the threads, fuse, and end them all, whatever happens."""
        self.start = time.perf_counter()
        decode_a, decode_b, *_ = self.outcome.stages
        readers = [
            Thread(target=self._read, args=(self.a, self.frames_a, decode_a, self._prepared_a), daemon=True),
            Thread(target=self._read, args=(self.b, self.frames_b, decode_b, self._prepared_b), daemon=True),
        ]
        encoder = Thread(target=self._encode)
        for thread in (*readers, encoder):
            thread.start()
        try:
            self._fuse()
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        except RefineFuseError as error:
            self.errors.append(error)
        finally:
            self.fused.finish()
            self.frames_a.close()
            self.frames_b.close()
            for thread in (*readers, encoder):
                thread.join()
        self.outcome.seconds = time.perf_counter() - self.start
        if self.errors and not self.outcome.frames:
            raise self.errors[0]
        self.outcome.failure = str(self.errors[0]) if self.errors else ""
        return self.outcome

    def _read(
        self,
        source: Source,
        queue: FrameQueue[Frame | CorruptFrame],
        stage: StageTimer,
        prepared: Callable[[VideoFrame], Any],
    ) -> None:
        """The work of a reading thread."""
        frames = iter(source)
        try:
            while True:
                with stage.working():
                    frame = next(frames, None)
                    if isinstance(frame, Frame):
                        frame = replace(frame, image=prepared(frame.image))
                if frame is None or not queue.put(frame):
                    break
            queue.finish()
        except Exception as error:  # raised again where the frames are read
            queue.finish(error)

    def _prepared_a(self, image: VideoFrame) -> VideoFrame:
        """A frame of `a` whose first plane is its luma; the first one settles what is black and white."""
        prepared = with_luma(image)
        if self.levels_a is None:
            counts = image.format.name.startswith("gray") and image.format.components[0].bits > 8
            levels = luma_range_of(prepared)
            if counts or self.thermal.range is not None:
                levels = estimate_luma_range(self.a.sample() or [luma_plane(prepared)], self.thermal.range)
            self.levels_a = levels.inverted() if self.thermal.polarity == "black-hot" else levels
        return prepared

    def _prepared_b(self, image: VideoFrame) -> VideoFrame:
        """A frame of `b` in the form in which it is encoded, free to be changed."""
        wanted = pixel_format(self.codec, image.format, self.b.size)
        prepared = converted(image, wanted)
        prepared.make_writable()
        if self.fuser.color == "gray":
            for plane in prepared.planes[1:3]:
                neutral_chroma(plane, prepared.format.components[0].bits)
        return prepared

    def _fuse(self) -> None:
        """The work of the calling thread."""
        stage = self.outcome.stages[2]
        pairs = TimestampMatcher(
            self._sound(self.frames_a),
            self._sound(self.frames_b),
            period=float(1 / self.a.rate),
            frame_stride=self.frame_stride,
        )
        counts = [int(source.count / source.rate * self.b.rate / self.frame_stride) for source in (self.a, self.b)]
        total = min(filter(None, counts), default=None)
        with tqdm(total=total, desc="fusing", unit="frame", file=sys.stderr) as bar:
            for a, b in pairs:
                with stage.working():
                    fused = self._fused(a, b)
                if not self.fused.put(fused):
                    return
                bar.set_postfix_str(f"slowest: {self.outcome.slowest().name}", refresh=False)
                bar.update()
        self.outcome.note = "" if self.errors else pairs.note

    def _sound(self, frames: FrameQueue[Frame | CorruptFrame]) -> Iterator[Frame]:
        """Frames without those that are damaged, which are noted, or end it all."""
        for frame in frames:
            if isinstance(frame, Frame):
                yield frame
                continue
            message = f"{frame.name}: {frame.reason}"
            if self.on_error == "stop":
                self.errors.append(InputError(f"{message}\nIt ended there; --on-error skip leaves such frames out."))
                return
            self.outcome.damaged.append(message)

    def _fused(self, a: Frame, b: Frame) -> VideoFrame:
        """The image of `b` with the fused luma."""
        plane_a, plane_b = luma_plane(a.image), luma_plane(b.image)
        if plane_a.shape != self.a.size or plane_b.shape != self.b.size:
            raise InputError(
                f"The size changes within the video.\n  expected: {self.b.size[0]} x {self.b.size[1]}\n"
                f"  {a.name}: {plane_a.shape[0]} x {plane_a.shape[1]}\n"
                f"  {b.name}: {plane_b.shape[0]} x {plane_b.shape[1]}\nCut the video there."
            )
        levels_a, levels_b = self.levels_a or luma_range_of(a.image), luma_range_of(b.image)
        unit_a, unit_b = levels_a.normalize(plane_a), levels_b.normalize(plane_b)
        if self.transform is not None:
            laid, _ = warp_and_fill(unit_a[0, 0].numpy(), unit_b[0, 0].numpy(), self.transform)
            unit_a = torch.from_numpy(laid)[None, None]
        luma = self.fuser.predict(unit_a, unit_b).fused
        levels_b.put(luma, plane_b)
        return b.image

    def _encode(self) -> None:
        """The work of the writing thread."""
        writer: VideoWriter | None = None
        stage = self.outcome.stages[3]
        try:
            for frame in self.fused:
                with stage.working():
                    if writer is None:
                        writer = VideoWriter(
                            self.output, self.codec, frame, self.b, self._sound_of(), frame_stride=self.frame_stride
                        )
                    writer.write(frame)
                self.outcome.written.append(time.perf_counter() - self.start)
        except Exception as error:  # raised again by the calling thread
            self.errors.append(error)
        self.fused.close()
        if writer is None:
            return
        with stage.working():
            try:
                writer.close()
            except InputError as error:
                self.errors.append(error)
        self.outcome.frames = writer.frames

    def _sound_of(self) -> str | None:
        """The file whose sound goes into the result: `b`, else `a`."""
        files = [source for source in (self.b, self.a) if isinstance(source, VideoSource) and source.has_sound]
        return files[0].name if files else None
