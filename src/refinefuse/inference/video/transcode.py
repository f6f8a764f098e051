"""Transfer one track to another file: copied or re-encoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, Protocol

from refinefuse.inference.video.frames import import_av

_SUBTITLES = Fraction(1, 1000)  # seconds in the time base of encoded subtitles


class TrackWork(Protocol):
    """Converts packets of the source to packets of the result.

    Attributes:
        target: the stream of the result.
    """

    target: Any

    def packets(self, packet: Any, shift: Fraction) -> Iterator[Any]:
        """Yield output packets; None flushes the last ones.

        Args:
            packet: packet of the source.
            shift: seconds on the clock of the source that are 0 in the result.
        """


class TrackCopy:
    """Copies a track, shifting only its timestamps.

    Args:
        target: the stream of the result.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def packets(self, packet: Any, shift: Fraction) -> Iterator[Any]:
        """The packet itself."""
        if packet is None:
            return
        ticks = round(shift / packet.time_base)
        packet.pts, packet.dts = packet.pts - ticks, (packet.pts if packet.dts is None else packet.dts) - ticks
        packet.stream = self.target
        yield packet


class SoundEncoder:
    """Decodes and re-encodes audio.

    Args:
        stream: of the source.
        output: PyAV's, not started.
        codec: of the result.
        zero: seconds on the clock of the source that are 0 in the result.
        fill: pad with silence if the audio starts later, and cut what is before 0.
    """

    def __init__(self, stream: Any, output: Any, codec: str, zero: Fraction, *, fill: bool) -> None:
        context = stream.codec_context
        self.target = output.add_stream(codec, rate=context.sample_rate)
        self.target.layout = context.layout.name
        self._ticks = round(zero / stream.time_base)
        self._graph = import_av().filter.Graph()
        steps = [
            self._graph.add_abuffer(template=stream),
            self._graph.add("aresample", "async=1" + (":first_pts=0" if fill else "")),
            self._graph.add("aformat", f"sample_fmts={self.target.format.name}:channel_layouts={context.layout.name}"),
            self._graph.add("abuffersink"),
        ]
        self._graph.link_nodes(*steps)
        self._graph.configure()

    def packets(self, packet: Any, shift: Fraction) -> Iterator[Any]:
        """Yield the encoded packets; audio that cannot be decoded becomes silence."""
        av = import_av()
        frames: list[Any] = []
        with suppress(av.error.FFmpegError):
            frames = [None] if packet is None else packet.decode()
        for frame in frames:
            if frame is not None and frame.pts is not None:
                frame.pts -= self._ticks
            self._graph.push(frame)
            with suppress(av.error.BlockingIOError, av.error.EOFError):
                while True:
                    yield from self.target.encode(self._graph.pull())
        if packet is None:
            yield from self.target.encode(None)


class SubtitleEncoder:
    """Decodes and re-encodes text subtitles.

    Args:
        stream: of the source.
        output: PyAV's, not started.
        codec: of the result.
    """

    def __init__(self, stream: Any, output: Any, codec: str) -> None:
        self._decoder = stream.codec_context
        self.target = output.add_stream(codec)
        context = self.target.codec_context
        self._decoder.open(strict=False)
        context.subtitle_header = self._decoder.subtitle_header
        context.time_base = _SUBTITLES

    def packets(self, packet: Any, shift: Fraction) -> Iterator[Any]:
        """Yield the same text in the other format, without empty packets."""
        if packet is None:
            return
        subtitles = None
        with suppress(import_av().error.FFmpegError):
            subtitles = self._decoder.decode2(packet)
        if subtitles is None or not len(subtitles):
            return
        encoded = self.target.codec_context.encode_subtitle(subtitles)
        encoded.stream, encoded.time_base = self.target, _SUBTITLES
        encoded.pts = encoded.dts = round((packet.pts * packet.time_base - shift) / _SUBTITLES)
        encoded.duration = round((packet.duration or 0) * packet.time_base / _SUBTITLES)
        yield encoded
