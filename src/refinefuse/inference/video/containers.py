"""Video containers and codecs: what each supports, and the pixel formats for encoding."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse.atomic import check_writable
from refinefuse.errors import InputError
from refinefuse.inference.video.color_range import has_luma
from refinefuse.inference.video.frames import import_av

if TYPE_CHECKING:
    from av import VideoFormat


@dataclass(frozen=True)
class Encoding:
    """A video encoding.

    Attributes:
        encoder: FFmpeg's name.
        options: encoder options. A key frame about every two seconds keeps seeking fast and limits loss in a crash.
        lossless: whether the encoding is lossless.
    """

    encoder: str
    options: dict[str, str] = field(default_factory=dict)
    lossless: bool = False


@dataclass(frozen=True)
class Container:
    """A file format.

    Attributes:
        format: FFmpeg's name.
        codecs: keys of `CODECS`, the default first.
        sound: codecs for audio that it does not support: lossless and lossy.
        text: codec for text subtitles that it does not support; empty drops them.
        longest: maximum duration of a frame in ticks; 0 means unlimited.
        options: muxer options.
        steady: it supports only a constant frame rate, and no color tags, rotation or track start: audio starts with
            the first frame.
    """

    format: str
    codecs: tuple[str, ...]
    sound: tuple[str, str]
    text: str = ""
    longest: int = 0
    options: dict[str, str] = field(default_factory=dict)
    steady: bool = False


CODECS = {
    "h264": Encoding("libx264", {"preset": "superfast", "crf": "18", "g": "60"}),
    "hevc": Encoding("libx265", {"preset": "ultrafast", "crf": "20", "g": "60", "x265-params": "log-level=none"}),
    "ffv1": Encoding("ffv1", {"level": "3", "slices": "4", "slicecrc": "1"}, lossless=True),
}
_FRAGMENTED = {"movflags": "hybrid_fragmented+negative_cts_offsets", "use_editlist": "1"}
"""Playable while being written, an ordinary file once complete; tracks keep their start times."""
_REPEATABLE = {"fflags": "+bitexact"}
"""Reproducible output: identifiers are sequential instead of random."""
_31_BITS = 2**29  # muxers add up to three durations
_MP4 = Container("mp4", ("h264", "hevc"), ("alac", "aac"), "mov_text", _31_BITS, _FRAGMENTED)
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container("mov", ("h264", "hevc"), ("alac", "aac"), "mov_text", _31_BITS, _FRAGMENTED),
    ".mkv": Container("matroska", ("h264", "hevc", "ffv1"), ("flac", "aac"), "subrip", options=_REPEATABLE),
    ".avi": Container("avi", ("ffv1",), ("pcm_s16le", "pcm_s16le"), longest=65000, steady=True),
}


def check_video_target(path: Path, codec: str, *, overwrite: bool) -> Encoding:
    """Choose the codec for a file, and check that the video can be written.

    Args:
        path: path of the fused video.
        codec: a key of `CODECS`, or auto.
        overwrite: allow replacing an existing file.

    Raises:
        InputError: the extension is unknown or does not support the codec, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise InputError(
            f"Cannot write a video '{path}': unknown file extension.\n"
            f"  expected: {', '.join(CONTAINERS)}\n  got: {path.suffix or 'none'}\nUse one of these extensions."
        )
    name = CONTAINERS[suffix].codecs[0] if codec == "auto" else codec
    if name not in CODECS:
        raise InputError(f"`codec` must be auto, {', '.join(CODECS)}.\n  got: {codec!r}")
    if name not in CONTAINERS[suffix].codecs:
        holding = [f"*{suffix}" for suffix, container in CONTAINERS.items() if name in container.codecs]
        raise InputError(
            f"A {suffix} file cannot contain this codec.\n  expected: {' or '.join(CONTAINERS[suffix].codecs)}\n"
            f"  got: {name}\nName the file {' or '.join(holding)}, or choose another codec."
        )
    check_writable(path, overwrite=overwrite)
    return CODECS[name]


def container_of(path: Path) -> Container:
    """The container for a file extension."""
    return CONTAINERS[path.suffix.lower()]


def holds(container: Container, add_stream: Callable[[Any], Any]) -> bool:
    """Whether a container supports a stream, tested by muxing a file header in memory.

    For telemetry this is not enough, because muxers accept some tracks that cannot be read back, so one is written and
    read.

    Args:
        container: the format.
        add_stream: adds the stream to an open output and returns it.
    """
    av, file = import_av(), io.BytesIO()
    output = av.open(file, "w", format=container.format)
    try:
        stream = add_stream(output)
        output.start_encoding()
        if stream.type == "data":
            output.mux(_sample_packet(stream))
            output.close()
            file.seek(0)
            with av.open(file, format=container.format) as found:
                return len(found.streams) == 1
    except (av.error.FFmpegError, ValueError, LookupError):
        return False
    finally:
        with suppress(av.error.FFmpegError):
            output.close()
    return True


def _sample_packet(stream: Any) -> Any:
    packet = import_av().Packet(bytes(16))
    packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 1000), 0, 0
    return packet


def pixel_format(codec: Encoding, source: VideoFormat, size: tuple[int, int]) -> str:
    """The pixel format for fusion and encoding: that of the source if codec and players support it.

    Args:
        codec: codec of the file.
        source: pixel format of `b`.
        size: (h, w) in pixels.
    """
    known = _formats(codec.encoder)
    deep = max(component.bits for component in source.components) > 8
    name = source.name.replace("yuvj", "yuv").replace("nv12", "yuv420p")
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
    """The planar formats that an encoder supports."""
    formats = import_av().codec.Codec(encoder, "w").video_formats
    return frozenset(known.name for known in formats or () if has_luma(known.name) and known.name[:2] != "nv")
