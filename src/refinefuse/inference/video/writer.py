"""Write fused frames to a file, with the other tracks of the sources."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path

from refinefuse.inference.inspection import PairWarning
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.threads import StageTimer
from refinefuse.inference.video.color_range import luma_plane
from refinefuse.inference.video.containers import Encoding, container_of
from refinefuse.inference.video.encoder import VideoEncoder
from refinefuse.inference.video.file_source import VideoSource
from refinefuse.inference.video.options import VideoResult
from refinefuse.inference.video.sources import Source
from refinefuse.inference.video.tags import dropped_metadata, dropped_tags
from refinefuse.inference.video.tracks import Tracks


class VideoWriter:
    """Writes fused frames as a video that remains playable however the run ends.

    Tracks and tags that are lost or changed are reported as warnings in the result before the first frame.

    Args:
        path: path of the video.
        encoding: encoding of the video.
        sources: `a` and `b`; the video gets the frame rate and the tracks of `b`, and the audio of `a` if `b` has none.
        frame_stride: only every n-th frame of `b` is fused.
        result: collects what was written.
        timer: timer for encoding.
        record: creates the provenance metadata from the first pair.
    """

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        sources: tuple[Source, Source],
        frame_stride: int,
        result: VideoResult,
        timer: StageTimer,
        record: Callable[[Pair], dict[str, str]],
    ) -> None:
        self.path, self.encoding, self.frame_stride = path, encoding, frame_stride
        self.sources, self.result, self.timer, self.record = sources, result, timer, record
        self._start = time.perf_counter()
        self._encoder: VideoEncoder | None = None
        with ExitStack() as opened:
            self._tracks = self._find_tracks(opened)
            self._open = opened.pop_all()
        said = [text for tracks, _ in self._tracks for text in tracks.warnings]
        said += dropped_tags(container_of(path), encoding, sources[-1].tags, path.suffix.lower())
        result.warnings += [PairWarning("metadata", text, 1.0) for text in said]

    def _find_tracks(self, opened: ExitStack) -> list[tuple[Tracks, Fraction]]:
        """The other tracks, each with the time on its clock, in seconds, that corresponds to 0 on that of `b`."""
        a, b = self.sources
        container, found = container_of(self.path), []
        has_sound = False
        if isinstance(b, VideoSource) and not b.is_camera:
            found.append((opened.enter_context(closing(Tracks(b, container))), Fraction(0)))
            has_sound = found[0][0].has_sound
        if isinstance(a, VideoSource) and not a.is_camera and not has_sound:
            sound = opened.enter_context(closing(Tracks(a, container, ("audio",))))
            found.append((sound, a.start - b.start))
        return found

    def write(self, pairs: Iterator[Pair]) -> None:
        """Encode all pairs; the first error ends the video."""
        with self._open:
            try:
                for pair in pairs:
                    with self.timer.working():
                        self._write_frame(pair)
                    self.result.warnings += pair.warnings
                    self.result.written.append(time.perf_counter() - self._start)
            except KeyboardInterrupt:  # the normal end of a recording
                self._close(complete=any(source.is_camera for source in self.sources))
                raise
            except BaseException as error:
                try:
                    self._close(complete=False)
                except Exception as further:  # keep the first error
                    error.add_note(str(further))
                raise
            self._close(complete=True)

    def _write_frame(self, pair: Pair) -> None:
        frame = pair.origin.frame
        pair.origin.luma_range.put(pair.require_output().fused, luma_plane(frame.image))
        if self._encoder is None:
            self._encoder = VideoEncoder(
                self.path,
                self.encoding,
                frame.image,
                self.sources[-1],
                self._tracks,
                frame_stride=self.frame_stride,
                metadata=self.record(pair),
            )
        self._encoder.write(frame)

    def _close(self, *, complete: bool) -> None:
        if self._encoder is None:
            return
        try:
            with self.timer.working():
                self._encoder.close(complete=complete, cut=self.result.cut)
        finally:
            if self._encoder.frames:
                self.result.frames, self.result.path = self._encoder.frames, self._encoder.path
        if not self._encoder.frames:
            return
        languages = [one for tracks, _ in self._tracks for one in tracks.languages]
        lost = dropped_metadata(self.sources[-1].metadata, languages, self._encoder.path)
        self.result.warnings += [PairWarning("metadata", text, 1.0) for text in lost]
