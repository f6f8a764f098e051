"""Encode the fused video: codecs, pixel formats, audio, and a file that can be played whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse.atomic import check_writable, temporary_name
from refinefuse.errors import InputError
from refinefuse.inference.resources import usable_cores
from refinefuse.inference.video.color_range import has_luma
from refinefuse.inference.video.sources import Source, import_av

if TYPE_CHECKING:
    from av import VideoFormat, VideoFrame


@dataclass(frozen=True)
class Encoding:
    """How frames are compressed.

    Attributes:
        encoder: FFmpeg's name.
        options: for the encoder. A key frame every two seconds or so keeps seeking and what survives a crash fine.
        lossless: whether frames come back as they are.
    """

    encoder: str
    options: dict[str, str] = field(default_factory=dict)
    lossless: bool = False


CODECS = {
    "h264": Encoding("libx264", {"preset": "superfast", "crf": "18", "g": "60"}),
    "hevc": Encoding("libx265", {"preset": "ultrafast", "crf": "20", "g": "60", "x265-params": "log-level=none"}),
    "ffv1": Encoding("ffv1", {"level": "3", "slices": "4", "slicecrc": "1"}, lossless=True),
}
CONTAINERS = {
    ".mp4": ("h264", "hevc"),
    ".m4v": ("h264", "hevc"),
    ".mov": ("h264", "hevc"),
    ".mkv": ("h264", "hevc", "ffv1"),
    ".avi": ("ffv1",),
}
"""What each file format is written with, the default first."""
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
_FRAGMENTED = {"movflags": "hybrid_fragmented+negative_cts_offsets"}
"""Readable at any moment, an ordinary file once it is complete; the first frame keeps its timestamp."""


def check_video_target(path: Path, codec: str, *, overwrite: bool) -> Encoding:
    """The codec for a file, refused where the video could not be written.

    Args:
        path: of the fused video.
        codec: a key of `CODECS`, or auto.
        overwrite: a file that is there may be replaced.

    Raises:
        InputError: the extension is unknown, does not go with the codec, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise InputError(
            f"Cannot write a video '{path}': the extension gives the format.\n"
            f"  expected: {', '.join(CONTAINERS)}\n  found: {path.suffix or 'none'}\nRename the file accordingly."
        )
    name = CONTAINERS[suffix][0] if codec == "auto" else codec
    if name not in CODECS:
        raise InputError(f"`codec` must be auto, {', '.join(CODECS)}.\n  got: {codec!r}")
    if name not in CONTAINERS[suffix]:
        holding = [suffix for suffix, names in CONTAINERS.items() if name in names]
        raise InputError(
            f"A {suffix} file cannot hold this codec.\n  expected: {' or '.join(CONTAINERS[suffix])}\n  got: {name}\n"
            f"Name the file {' or '.join('*' + suffix for suffix in holding)}, or choose another codec."
        )
    check_writable(path, overwrite=overwrite)
    return CODECS[name]


def pixel_format(codec: Encoding, source: VideoFormat, size: tuple[int, int]) -> str:
    """The format in which frames are fused and encoded: that of the source where the codec and players know it.

    Args:
        codec: of the file.
        source: format of the frames of `b`.
        size: (h, w) in pixels.
    """
    known = _formats(codec.encoder)
    deep = max(component.bits for component in source.components) > 8
    name = source.name
    if codec.lossless:
        if name in known:
            return name
        return "yuv444p16le" if deep else "yuv444p"
    if name not in known or name.startswith("gray"):  # few players show gray
        name = "yuv420p10le" if deep and not source.name.startswith("gray") else "yuv420p"
    odd = size[0] % 2 or size[1] % 2
    return name.replace("420", "444").replace("422", "444") if odd else name


@lru_cache
def _formats(encoder: str) -> frozenset[str]:
    """The planar formats that an encoder takes."""
    formats = import_av().codec.Codec(encoder, "w").video_formats
    return frozenset(known.name for known in formats or () if has_luma(known.name) and known.name[:2] != "nv")


class VideoEncoder:
    """Writes frames, and the audio of a source, under a temporary name until `close`.

    Args:
        path: of the fused video.
        codec: how frames are compressed.
        first: the first frame, already in its final format: the others follow its form.
        source: what `first` came from, for frame rate, shape of pixels and audio.
        audio: the file whose audio is copied; None: none.
        frame_stride: only each n-th frame of `source` comes.

    Raises:
        InputError: if the codec is not part of the installed PyAV, or refuses such frames.
    """

    def __init__(
        self,
        path: Path,
        codec: Encoding,
        first: VideoFrame,
        source: Source,
        audio: str | None,
        *,
        frame_stride: int = 1,
    ) -> None:
        self.path = path
        self.frames = 0
        self._errors = import_av().error
        path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = temporary_name(path)
        suffix = path.suffix.lower()
        try:
            self._container = import_av().open(
                str(self._temporary), "w", format=_FORMATS[suffix], container_options=_options(suffix)
            )
            self._stream = self._video_stream(codec, first, source, frame_stride)
        except (self._errors.FFmpegError, ValueError, OSError) as error:
            self._discard()
            raise InputError(
                f"Cannot encode the video '{path}': {_reason(error)}.\n"
                f"  codec: {codec.encoder}, {first.format.name}, {first.height} x {first.width}\n"
                "Choose another codec (--codec) or another folder."
            ) from None
        self._audio = _Audio(audio, self._container) if audio else None
        self._last: int | None = None

    def _video_stream(self, codec: Encoding, first: VideoFrame, source: Source, frame_stride: int) -> Any:
        options = dict(codec.options)
        stream: Any = self._container.add_stream(codec.encoder, rate=source.rate / frame_stride, options=options)
        stream.height, stream.width, stream.pix_fmt = first.height, first.width, first.format.name
        context = stream.codec_context
        context.time_base = first.time_base
        context.thread_count = usable_cores()
        if codec.encoder == "libx265" and self.path.suffix.lower() != ".mkv":
            context.codec_tag = "hvc1"  # what Apple's players ask for
        if source.aspect:
            context.sample_aspect_ratio = source.aspect
        for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
            if hasattr(first, name):  # the last two came late to PyAV
                setattr(context, name, getattr(first, name))
        context.open()
        return stream

    def write(self, frame: VideoFrame) -> None:
        """Encode a frame; one whose timestamp does not rise is left out.

        Raises:
            InputError: if the file cannot be written; what was written before can be played.
        """
        pts: Any = frame.pts
        if self._last is not None and pts <= self._last:
            return
        self._last = pts
        frame.pict_type = 0  # the encoder decides which frames are key frames
        with self._writing():
            self._mux(self._stream.encode(frame))
            if self._audio:
                self._container.mux(list(self._audio.until(float(pts * frame.time_base))))

    def close(self) -> None:
        """Finish the file and give it its name; without a frame there is no file.

        Raises:
            InputError: if the file cannot be written; what was written before can be played.
        """
        try:
            with self._writing():
                self._mux(self._stream.encode(None))
                self._container.close()
        finally:
            if self._audio:
                self._audio.close()
            with suppress(self._errors.FFmpegError, OSError):
                self._container.close()
            if self.frames:
                self._temporary.replace(self.path)
            self._discard()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)
            self.frames += 1

    def _discard(self) -> None:
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (self._errors.FFmpegError, OSError) as error:
            kept = f"What was written can be played: up to {self.frames} frames." if self.frames else ""
            raise InputError(f"Cannot write '{self.path}' any further: {_reason(error)}.\n{kept}") from None


class _Audio:
    """The audio of a file, copied packet by packet into another container."""

    def __init__(self, name: str, container: Any) -> None:
        self._input = import_av().open(name)
        errors = import_av().error
        self._streams: dict[int, Any] = {}
        for stream in self._input.streams.audio:
            with suppress(errors.FFmpegError, ValueError):  # a codec that this kind of file cannot hold
                self._streams[stream.index] = container.add_stream_from_template(stream)
        chosen = [stream for stream in self._input.streams.audio if stream.index in self._streams]
        self._packets = self._input.demux(chosen) if chosen else iter(())
        self._waiting: Any = None

    def until(self, time: float) -> Iterator[Any]:
        """The packets up to a time in seconds that did not come before."""
        while True:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
            packet = self._waiting
            if packet is None or (packet.pts is not None and packet.pts * packet.time_base > time):
                return
            self._waiting = None
            if packet.dts is not None:
                packet.stream = self._streams[packet.stream.index]
                yield packet

    def close(self) -> None:
        """Close the file."""
        self._input.close()


def _options(suffix: str) -> dict[str, str]:
    return _FRAGMENTED if _FORMATS[suffix] in ("mp4", "mov") else {}


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
