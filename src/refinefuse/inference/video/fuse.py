"""Fuse two videos into one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from refinefuse.errors import InputError, RefineFuseError
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inspection import PairWarning, PooledCheck
from refinefuse.inference.outputs import check_apart
from refinefuse.inference.pipeline import Pair, Progress, run
from refinefuse.inference.provenance import Provenance
from refinefuse.inference.stages import stages_of
from refinefuse.inference.threads import StageTimer
from refinefuse.inference.video.containers import Encoding, check_video_target, container_of
from refinefuse.inference.video.frames import listening
from refinefuse.inference.video.options import VideoOptions, VideoResult
from refinefuse.inference.video.reader import VideoReader
from refinefuse.inference.video.sources import Source, open_sources
from refinefuse.inference.video.writer import VideoWriter


def fuse_video(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fuser: Fuser | None = None,
    options: VideoOptions = VideoOptions(),  # noqa: B008  # frozen
    overwrite: bool = False,
    progress: bool | Progress = False,
    provenance: bool = True,
) -> VideoResult:
    """Fuse two videos; frame rate, timestamps, color and audio are those of `b`.

    The luma is fused, and the chroma planes of `b` are copied. Each frame of `b` is fused with the frame of `a` that is
    nearest in time. If the run is interrupted or the disk is full, the file written so far can be played.

    Args:
        a: video file, folder of images, camera or URL of the first source.
        b: the second source, likewise.
        output: the fused video; its extension gives the format.
        fuser: the network; None: `Fuser()`.
        options: options for videos.
        overwrite: replace an existing file.
        progress: show a progress bar on standard error; or a function that is called with the number of steps done and
            the total.
        provenance: record in the video how it was made (see `refinefuse info`).

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
        provenance=provenance,
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
    provenance: bool = True,
) -> VideoResult:
    """`fuse_video` with a fuser created once both sources are usable; returns a result even if interrupted."""
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
        record = Provenance.of(fuser) if provenance else None
        return _fuse(fuser, sources, output, options, encoding, progress, record)


def _fuse(
    fuser: Fuser,
    sources: tuple[Source, Source],
    output: Path,
    options: VideoOptions,
    encoding: Encoding,
    progress: bool | Progress,
    provenance: Provenance | None,
) -> VideoResult:
    decode_a, decode_b, fuse, encode = timers = tuple(map(StageTimer, ("decode a", "decode b", "fuse", "encode")))
    result = VideoResult(stages=timers)
    reader = VideoReader(*sources, options, encoding, container_of(output), fuser.color, result, (decode_a, decode_b))
    record = partial(_metadata, provenance, sources)
    writer = VideoWriter(output, encoding, sources, options.frame_stride, result, encode, record)
    pool = PooledCheck()
    stages = stages_of(fuser, options.thermal, options.alignment, fuse, pool)
    start = time.perf_counter()
    try:
        run(reader, stages, writer, progress=progress)
    except KeyboardInterrupt as error:
        result.interrupted = error
    except RefineFuseError as error:
        if result.path is None:
            raise
        result.failure = str(error)
    finally:
        result.seconds = time.perf_counter() - start
        pooled = pool.warnings  # more reliable than single frames
        known = {one.kind for one in pooled}
        result.warnings = [one for one in result.warnings if one.kind not in known] + pooled
        said = [text for source in sources for text in source.remarks]
        result.warnings += [PairWarning("metadata", text, 1.0) for text in said]
    return result


def _metadata(provenance: Provenance | None, sources: tuple[Source, Source], pair: Pair) -> dict[str, str]:
    """The provenance record, added to the comment of `b`, which every container supports and every program copies."""
    if provenance is None:
        return {}
    record = provenance.with_sources([source.name for source in sources], pair.settings).to_text()
    comment = next((text for key, text in sources[-1].metadata.items() if key.lower() == "comment"), "")
    return {"comment": f"{comment}\n{record}" if comment else record}
