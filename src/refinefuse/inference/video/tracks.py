"""Other tracks of a source in the result: audio, subtitles, telemetry, attachments, and chapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from refinefuse.inference.video.containers import Container, holds
from refinefuse.inference.video.file_source import VideoSource, open_input
from refinefuse.inference.video.frames import import_av
from refinefuse.inference.video.tags import of_track
from refinefuse.inference.video.transcode import SoundEncoder, SubtitleEncoder, TrackCopy, TrackWork

_NAMES = {
    "audio": "audio track", "subtitle": "subtitle track", "data": "telemetry track", "attachment": "attachment",
    "video": "second video",
}  # fmt: skip
_LATE = 10  # seconds by which packets may be late in the file


@dataclass(frozen=True)
class TrackChoice:
    """How to handle a track.

    Attributes:
        stream: stream of the source.
        codec: codec for re-encoding; None copies the track.
    """

    stream: Any
    codec: str | None


class Tracks:
    """Copies all tracks of a file except its video to another container, packet by packet.

    Args:
        source: the file.
        container: the target container.
        kinds: kinds of tracks, by FFmpeg's names.

    Attributes:
        name: name of the file.
        warnings: warnings about dropped or re-encoded tracks.
        start: earliest start of a track in seconds, on the clock of the file; None without tracks.
        timecode: timecode of a track that the muxer creates itself.
        has_sound: whether there is audio.

    Raises:
        InputError: if the file cannot be opened.
    """

    def __init__(self, source: VideoSource, container: Container, kinds: tuple[str, ...] = tuple(_NAMES)) -> None:
        self.name = source.name
        self.warnings: list[str] = []
        self.timecode = ""
        self._container = container
        self._input = open_input(source.name)
        try:
            self._look(kinds, source.index)
        except BaseException:
            self._input.close()
            raise
        self._work: dict[int, TrackWork] = {}
        self._waiting: Any = None
        self._shift = Fraction(0)
        self._packets: Iterator[Any] = iter(())

    def _look(self, kinds: tuple[str, ...], video: int) -> None:
        """Find the tracks and decide how to handle them."""
        others = [one for one in self._input.streams if one.type in kinds and one.index != video]
        self.has_sound = any(one.type == "audio" for one in others)
        self._choices = [choice for stream in others if (choice := self._choose(stream)) is not None]
        starts = [
            choice.stream.start_time * choice.stream.time_base for choice in self._choices if choice.stream.start_time
        ]
        unset = any(choice.stream.start_time == 0 for choice in self._choices)
        self.start: Fraction | None = min([*starts, *[Fraction(0)] * unset], default=None)

    def _choose(self, stream: Any) -> TrackChoice | None:
        """Decide how to handle a track; None if it is dropped or created by the muxer."""
        if stream.type == "data" and "timecode" in stream.metadata:
            self.timecode = stream.metadata["timecode"]
            return None
        name = f"{_NAMES[stream.type]} of '{self._input.name}' ({_codec_of(stream)})"
        copied = not (self._container.steady and stream.type == "audio")  # a copy would start with the video
        if copied and stream.type != "video" and holds(self._container, lambda out: _add_copy(out, stream)):
            return TrackChoice(stream, None)
        codec = self._codec_for(stream)
        if codec is None:
            self.warnings.append(f"the {name} is lost: the {self._container.format} format cannot store it")
            return None
        if _codec_of(stream) != codec:
            self.warnings.append(f"the {name} was encoded as {codec}: the {self._container.format} format requires it")
        return TrackChoice(stream, codec)

    def _codec_for(self, stream: Any) -> str | None:
        context = stream.codec_context
        if context is None:
            return None
        if stream.type == "audio":
            return self._container.sound[not (context.codec.lossless and not context.codec.lossy)]
        as_text = stream.type == "subtitle" and context.codec.text_sub
        return self._container.text or None if as_text else None

    def open(self, output: Any, zero: Fraction) -> None:
        """Add the tracks to an output.

        Args:
            output: PyAV output, not yet started.
            zero: time on the clock of the file, in seconds, that becomes 0 in the result.
        """
        self._shift = zero
        kept = [choice.stream for choice in self._choices]
        for choice in self._choices:
            if choice.codec is None:
                work: TrackWork = TrackCopy(_add_copy(output, choice.stream))
            elif choice.stream.type == "audio":
                work = SoundEncoder(choice.stream, output, choice.codec, zero, fill=self._container.steady)
            else:
                work = SubtitleEncoder(choice.stream, output, choice.codec)
            if choice.stream.type != "attachment":
                work.target.metadata.update(of_track(choice.stream.metadata, self._container))
                work.target.disposition = choice.stream.disposition
            self._work[choice.stream.index] = work
        read = [stream for stream in kept if stream.type != "attachment"]
        self._packets = self._input.demux(read) if read else iter(())
        self._add_chapters(output)

    @property
    def languages(self) -> list[str]:
        """Languages of all tracks that are kept."""
        found = [choice.stream.language for choice in self._choices]
        return [one for one in found if one not in (None, "und")]

    def _add_chapters(self, output: Any) -> None:
        chapters = []
        for chapter in self._input.chapters():
            shift = round(self._shift / chapter["time_base"])
            start, end = (max(0, chapter[side] - shift) for side in ("start", "end"))
            if end > start:
                chapters.append({**chapter, "start": start, "end": end})
        if chapters and not self._container.steady:
            output.set_chapters(chapters)

    def until(self, time: Fraction) -> Iterator[Any]:
        """Yield the remaining packets up to the first one that starts at or after a time in seconds."""
        while (packet := self._take()) is not None:
            if self._begin(packet) >= time:
                self._waiting = packet
                return
            yield from self._work[packet.stream.index].packets(packet, self._shift)

    def rest(self, end: Fraction | None) -> Iterator[Any]:
        """Yield all remaining packets that start before a time in seconds; None yields all."""
        passed: set[int] = set()
        while (packet := self._take()) is not None:
            begin = self._begin(packet)
            if end is None or begin < end:
                yield from self._work[packet.stream.index].packets(packet, self._shift)
            else:
                passed.add(packet.stream.index)
                if passed == self._work.keys() or begin > end + _LATE:
                    break
        for work in self._work.values():
            yield from work.packets(None, self._shift)

    def _begin(self, packet: Any) -> Fraction:
        return Fraction(packet.pts * packet.time_base - self._shift)

    def _take(self) -> Any:
        """The next packet with a timestamp; None at the end or at damage in the file."""
        packet, self._waiting = self._waiting, None
        if packet is None:
            with suppress(import_av().error.FFmpegError):
                packet = next((one for one in self._packets if one.size and one.pts is not None), None)
        return packet

    def close(self) -> None:
        """Close the file."""
        self._work.clear()
        self._input.close()


def _add_copy(output: Any, stream: Any) -> Any:
    return output.add_stream_from_template(stream)


def _codec_of(stream: Any) -> str:
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else getattr(stream, "name", None) or "unknown"
