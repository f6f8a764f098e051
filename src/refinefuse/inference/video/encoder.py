"""Encode the fused video into a file that remains playable after any interruption."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse.atomic import publish, temporary_file
from refinefuse.errors import InputError
from refinefuse.inference.resources import usable_cores
from refinefuse.inference.video.containers import Encoding, container_of
from refinefuse.inference.video.frames import Frame, import_av, reason_of
from refinefuse.inference.video.sources import Source
from refinefuse.inference.video.tags import copy_color_tags, hdr_options, of_track, portable
from refinefuse.inference.video.tracks import Tracks

if TYPE_CHECKING:
    from av import VideoFrame

_DURATIONS = 1 << 3  # AV_CODEC_FLAG_FRAME_DURATION: packets keep their frame durations
_FINEST = 10**6  # ticks per second


class VideoEncoder:
    """Writes frames, and the other tracks of the sources, under a temporary name until `close`.

    Args:
        path: path of the fused video.
        codec: the encoding.
        first: the first frame, in its final format, which sets the format of the others.
        source: source of `first`, for frame rate, pixel aspect ratio, rotation and metadata.
        tracks: other tracks, each with the time on its clock, in seconds, that corresponds to 0 on that of `source`.
        frame_stride: only every n-th frame of `source` is written.
        metadata: further metadata of the file.

    Attributes:
        path: final path of the video.
        frames: number of frames written.

    Raises:
        InputError: if the installed PyAV lacks the codec, or the codec does not support such frames.
    """

    def __init__(
        self,
        path: Path,
        codec: Encoding,
        first: VideoFrame,
        source: Source,
        tracks: Sequence[tuple[Tracks, Fraction]] = (),
        *,
        frame_stride: int = 1,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.frames = 0
        self._name = source.name
        self._errors = import_av().error
        self._form = container_of(path)
        self._tracks = [one for one, _ in tracks]
        starts = [one.start - offset for one, offset in tracks if one.start is not None]
        self._zero = min([source.start, *([] if self._form.steady else starts)])
        self._rate = source.rate / frame_stride
        self._time_base = self._choose_time_base(first)
        self._last = -1
        self._end = Fraction(0)
        options = dict(self._form.options)
        if self._form.format in ("mp4", "mov"):
            options["video_track_timescale"] = str(self._time_base.denominator)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._files = ExitStack()
        try:
            self._temporary = self._files.enter_context(temporary_file(path))
            self._container = import_av().open(
                str(self._temporary), "w", format=self._form.format, container_options=options
            )
            self._container.metadata.update(portable(source.metadata) | dict(metadata or {}))
            self._stream = self._video_stream(codec, first, source)
            for one, offset in tracks:
                one.open(self._container, self._zero + offset)
                if one.timecode:
                    self._container.metadata.setdefault("timecode", one.timecode)
            self._container.start_encoding()
        except (self._errors.FFmpegError, ValueError, OSError) as error:
            self._files.close()
            raise InputError(
                f"Cannot encode the video '{path}': {reason_of(error)}.\n"
                f"  codec: {codec.encoder}, {first.format.name}, {first.height} x {first.width}\n"
                "Choose another `codec` or another folder."
            ) from None

    def _choose_time_base(self, first: VideoFrame) -> Fraction:
        """Choose a time base of which all source timestamps are multiples, or of at most a millisecond."""
        if self._form.steady:
            return 1 / self._rate
        ticks = (first.time_base or 1 / self._rate).denominator
        ticks *= math.ceil(1000 / ticks)
        return Fraction(1, ticks if ticks <= _FINEST else 90000)

    def _video_stream(self, codec: Encoding, first: VideoFrame, source: Source) -> Any:
        options = _joined(codec.options, hdr_options(codec.encoder, source.tags))
        stream: Any = self._container.add_stream(codec.encoder, rate=self._rate, options=options)
        stream.height, stream.width, stream.pix_fmt = first.height, first.width, first.format.name
        stream.metadata.update(of_track(source.track_metadata, self._form))
        stream.disposition = source.disposition
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_count = usable_cores()
        context.flags |= _DURATIONS
        if codec.encoder == "libx265" and self._form.format != "matroska":
            context.codec_tag = "hvc1"  # required by Apple players
        if source.aspect:
            context.sample_aspect_ratio = source.aspect
        stream.set_display_matrix(source.tags.matrix)
        copy_color_tags(first, context)
        context.open()
        return stream

    def write(self, frame: Frame) -> None:
        """Encode a frame.

        Raises:
            InputError: if the file cannot be written; the frames written so far can be played.
        """
        time = frame.moment - self._zero
        stamp = max(round(time / self._time_base), self._last + 1)
        self._check_gap(stamp, frame)
        self._last, self._end = stamp, time + frame.duration
        image = frame.image
        image.pts, image.time_base = stamp, self._time_base
        image.duration = max(1, round(frame.duration / self._time_base))
        image.pict_type = 0  # let the encoder choose key frames
        with self._writing():
            self._mux(self._stream.encode(image))
            for tracks in self._tracks:
                self._container.mux(list(tracks.until(time)))

    def _check_gap(self, stamp: int, frame: Frame) -> None:
        shown = Fraction(0) if self._form.steady else frame.duration / self._time_base
        longest = max(Fraction(stamp - self._last), shown)
        if 0 < self._form.longest < longest:
            raise InputError(
                f"Next to {frame.name} is a gap that is too long for a .{self._form.format} file: "
                f"{float(longest * self._time_base / 3600):.1f} hours.\nWrite a .mkv file, or cut the video there."
            )

    def close(self, *, complete: bool, cut: bool = False) -> None:
        """Finish the file and rename it to its final name; without frames, no file is written.

        Args:
            complete: whether all frames were written. If not, an existing file is kept and the partial video gets
                another name.
            cut: whether `source` continues after the last frame; all tracks are then cut there.

        Raises:
            InputError: if the file cannot be written; the frames written so far can be played.
        """
        finished = False
        try:
            with self._writing():
                if self._last < 0:
                    self._fill()
                else:
                    self._mux(self._stream.encode(None))
                for tracks in self._tracks:
                    self._container.mux(
                        list(tracks.rest(None if complete and not cut and tracks.name == self._name else self._end))
                    )
                self._container.close()
            finished = complete
        finally:
            with suppress(self._errors.FFmpegError, OSError):
                self._container.close()
            self._publish(complete=finished)

    def _fill(self) -> None:
        """Encode a blank frame into a discarded file, because FFmpeg crashes when finishing an MP4 without frames."""
        context = self._stream.codec_context
        blank = import_av().VideoFrame(context.width, context.height, context.pix_fmt)
        blank.pts, blank.time_base = 0, self._time_base
        for packet in (*self._stream.encode(blank), *self._stream.encode(None)):
            self._container.mux(packet)

    def _publish(self, *, complete: bool) -> None:
        if not complete and self.path.exists():
            self.path = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
        try:
            if self.frames:
                publish(self._temporary, self.path)
        except OSError as error:
            self.frames = 0
            raise InputError(
                f"Cannot write '{self.path}': {reason_of(error)}.\nCheck the permissions of the folder."
            ) from None
        finally:
            self._files.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)
            self.frames += 1

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (self._errors.FFmpegError, OSError, ValueError, MemoryError) as error:
            kept = f"The part that was written can be played: up to {self.frames} frames." if self.frames else ""
            raise InputError(f"Cannot write '{self.path}' any further: {reason_of(error)}.\n{kept}") from None


def _joined(options: Mapping[str, str], further: Mapping[str, str]) -> dict[str, str]:
    """Merge encoder options, joining parameter lists."""
    return {**options, **{key: ":".join(filter(None, (options.get(key), text))) for key, text in further.items()}}
