"""Two videos in, one video out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from refinefuse.errors import InputError, RefineFuseError
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.outputs import check_apart
from refinefuse.inference.pipeline import Pair, Progress, run
from refinefuse.inference.queues import StageTimer
from refinefuse.inference.stages import stages_of
from refinefuse.inference.video.color_range import luma_plane
from refinefuse.inference.video.encoder import Encoding, VideoEncoder, check_video_target
from refinefuse.inference.video.options import VideoOptions, VideoResult
from refinefuse.inference.video.reader import VideoReader
from refinefuse.inference.video.sources import Source, VideoSource, listening, open_sources


class VideoWriter:
    """Writes fused frames as a video; whatever ends it, what was written can be played.

    Args:
        path: of the video.
        encoding: of the video.
        sources: `a` and `b`; the video gets the audio and the frame rate of `b`.
        frame_stride: only each n-th frame of `b` comes.
        result: what was written is entered here.
        timer: of encoding.
    """

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        sources: tuple[Source, Source],
        frame_stride: int,
        result: VideoResult,
        timer: StageTimer,
    ) -> None:
        self.path, self.encoding, self.frame_stride = path, encoding, frame_stride
        self.sources, self.result, self.timer = sources, result, timer
        self._start = time.perf_counter()
        self._encoder: VideoEncoder | None = None

    def write(self, pairs: Iterator[Pair]) -> None:
        """Encode all pairs; the first error ends the video."""
        try:
            for pair in pairs:
                with self.timer.working():
                    self._write_frame(pair)
                self.result.warnings += pair.warnings
                self.result.written.append(time.perf_counter() - self._start)
        except BaseException:
            with suppress(InputError):  # the first error decides
                self._close()
            raise
        self._close()

    def _write_frame(self, pair: Pair) -> None:
        frame = pair.origin.image
        pair.origin.luma_range.put(pair.require_output().fused, luma_plane(frame))
        if self._encoder is None:
            _, b = self.sources
            self._encoder = VideoEncoder(
                self.path, self.encoding, frame, b, self._audio(), frame_stride=self.frame_stride
            )
        self._encoder.write(frame)

    def _audio(self) -> str | None:
        """The file whose audio goes into the result: `b`, else `a`."""
        files = [one for one in reversed(self.sources) if isinstance(one, VideoSource) and one.has_audio]
        return files[0].name if files else None

    def _close(self) -> None:
        if self._encoder is not None:
            try:
                with self.timer.working():
                    self._encoder.close()
            finally:
                self.result.frames = self._encoder.frames


def fuse_video(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fuser: Fuser | None = None,
    options: VideoOptions = VideoOptions(),  # noqa: B008  # frozen
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> VideoResult:
    """Fuse two videos; frame rate, timestamps, color and audio are those of `b`.

    Luma is fused, the chroma planes of `b` are kept as they are. The frame of `a` that is nearest in time goes with
    each frame of `b`. Interrupted, or with a full disk, what was written is a file that can be played.

    Args:
        a: video file, folder of images, camera or URL of the first source.
        b: of the second source.
        output: the fused video; its extension gives the format.
        fuser: the network; None: `Fuser()`.
        options: of videos.
        overwrite: replace a file that exists.
        progress: show a progress bar on standard error, or a function that is called with the steps done and in all.

    Raises:
        InputError: if a source cannot be used, the sizes differ, or the result cannot be written.
        MissingDependencyError: if PyAV is not installed.
        KeyboardInterrupt: if the user stops it.
    """
    result = fuse_videos(
        lambda: fuser or Fuser(),
        os.fspath(a),
        os.fspath(b),
        Path(output),
        options,
        overwrite=overwrite,
        progress=progress,
    )
    if result.interrupted is not None:
        raise result.interrupted
    return result


def fuse_videos(
    load: Callable[[], Fuser],
    a: str,
    b: str,
    output: Path,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> VideoResult:
    """`fuse_video` with a fuser that is made when both sources are known to be usable, and a result if interrupted."""
    check_apart([output], [Path(a), Path(b)])
    encoding = check_video_target(output, options.codec, overwrite=overwrite)
    transform = options.alignment.transform
    with listening(), ExitStack() as stack:
        sources = open_sources(a, b, options.fps, same_size=transform is None)
        for source in sources:
            stack.callback(source.close)
        if transform is not None:
            transform.check_size("a", sources[0].size)
            transform.check_size("b", sources[1].size)
        fuser = load()
        if fuser.color not in ("b", "gray"):
            raise InputError(f"`color` must be b or gray for videos.\n  got: {fuser.color}")
        return _fuse(fuser, sources, output, options, encoding, progress)


def _fuse(
    fuser: Fuser,
    sources: tuple[Source, Source],
    output: Path,
    options: VideoOptions,
    encoding: Encoding,
    progress: bool | Progress,
) -> VideoResult:
    decode_a, decode_b, fuse, encode = timers = tuple(map(StageTimer, ("decode a", "decode b", "fuse", "encode")))
    result = VideoResult(stages=timers)
    reader = VideoReader(*sources, options, encoding, fuser.color, result, (decode_a, decode_b))
    writer = VideoWriter(output, encoding, sources, options.frame_stride, result, encode)
    stages = stages_of(fuser, options.thermal, options.alignment, fuse)
    start = time.perf_counter()
    try:
        run(reader, stages, writer, progress=progress)
    except KeyboardInterrupt as error:
        result.interrupted = error
    except RefineFuseError as error:
        if not result.frames:
            raise
        result.failure = str(error)
    finally:
        result.seconds = time.perf_counter() - start
    return result
