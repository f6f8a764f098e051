"""The common pipeline for all kinds of sources: read, check, register, fuse, write.

Stills, large images in strips, videos and volumes differ only in their readers and writers. A reader yields pairs, the
stages process each pair in turn, and a writer consumes them in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Thread
from typing import Any, Protocol

from torch import Tensor

from refinefuse.image.color import Color, YCbCrImage
from refinefuse.image.metadata import Metadata
from refinefuse.inference.inspection import PairWarning, Preview
from refinefuse.inference.threads import BoundedQueue, Workers
from refinefuse.inference.tiling import Tile
from refinefuse.network.head import FusionOutput
from refinefuse.progress import manual_bar

_GRAY = 1 / 255  # chroma below which an image is gray
_DEPTH = 2  # queue size between two threads

#: Called after each pair with the steps done and the total (None: unknown); raises KeyboardInterrupt to stop the run.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Strip:
    """What is needed from the whole image to fuse some of its rows.

    Attributes:
        statistics: grid statistics of both whole sources.
        tiles: tiles of the result, in coordinates of the rows.
    """

    statistics: tuple[Tensor, Tensor]
    tiles: tuple[Tile, ...]


@dataclass
class Pair:
    """Two or more sources of one scene in the pipeline: stills, frames, slices, or strips of large images.

    Attributes:
        name: name for messages.
        images: the sources, (1, c, h, w) float32 in [0, 1]; the color of the last one is kept.
        origin: data from the reader that the writer needs to build the result: files, depth, timestamps.
        paths: paths of the images, for messages.
        metadata: metadata of the files, for image files.
        preview: images to check; None if another pair is checked instead.
        strip: context for rows of larger images.
        steps: number of progress steps.
        warnings: warnings about the pair.
        settings: processing of the sources, for the provenance record.
        planes: YCbCr planes of the sources, once fused.
        output: fused luma and weight map, once fused.
        error: why there is no result.
    """

    name: str
    images: tuple[Tensor, ...]
    origin: Any
    paths: tuple[str, ...] = ()
    metadata: tuple[Metadata, ...] = ()
    preview: Preview | None = None
    strip: Strip | None = None
    steps: int = 1
    warnings: list[PairWarning] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    planes: tuple[YCbCrImage, ...] = ()
    output: FusionOutput | None = None
    error: Exception | None = None

    def require_output(self) -> FusionOutput:
        """Return the output, or raise the error of the pair."""
        if self.output is None:
            raise self.error or RuntimeError(f"The pair '{self.name}' was not fused.")
        return self.output

    def color_sources(self, color: Color) -> tuple[YCbCrImage, ...]:
        """Return the planes to use as sources of color.

        If the color of `b` is requested but `b` is gray, the color of `a` is used, unless it is false color.
        """
        *others, last = self.planes
        if color != "b":
            return self.planes
        if any(warning.kind == "palette" for warning in self.warnings):
            return (*(replace(other, chroma=None) for other in others), last)
        if last.chroma is not None and any(other.chroma is not None for other in others):
            is_gray = float(last.chroma.abs().max()) < _GRAY
            last = replace(last, chroma=None) if is_gray else last
        return (*others, last)


class Reader(Protocol):
    """Yields pairs in order. A failure of one pair is yielded as a pair with an error; exceptions end the run.

    Attributes:
        total: number of steps; None if unknown.
    """

    total: int | None

    def __iter__(self) -> Generator[Pair, None, None]:
        """The pairs in order."""


class PairStage(Protocol):
    """Processes one pair. Exceptions become the error of the pair."""

    def __call__(self, pair: Pair) -> None:
        """Check, register or fuse the pair."""


class Writer(Protocol):
    """Consumes all pairs in order, including those with errors; exceptions end the run."""

    def write(self, pairs: Iterator[Pair]) -> None:
        """Write results until the pairs end. If the iterator raises, no incomplete file may remain."""


def run(
    reader: Reader,
    stages: Sequence[PairStage],
    writer: Writer,
    *,
    progress: bool | Progress = False,
    workers: Workers | None = None,
) -> None:
    """Read in one thread, check, register and fuse in this one, and write in a third, with few pairs in memory.

    Args:
        reader: yields the pairs.
        stages: stages for each pair.
        writer: writes the results.
        progress: show a progress bar on standard error, or a function to call instead.
        workers: threads that run all stages but the last, or all stages, for several pairs at once; None uses this
            thread.

    Raises:
        Exception: the first error of the reader or the writer; pairs read before it are still written.
        KeyboardInterrupt: if the user stops the run; the writer finishes the pairs it has.
    """
    found: BoundedQueue[Pair] = BoundedQueue(_DEPTH, is_large=_is_strip)
    fused: BoundedQueue[Pair] = BoundedQueue(_DEPTH, is_large=_is_strip)
    errors: list[Exception] = []
    threads = [
        Thread(target=_read, args=(reader, found), daemon=True),
        Thread(target=_write, args=(writer, fused, errors)),
    ]
    for thread in threads:
        thread.start()
    try:
        with manual_bar("fusing", reader.total, show=progress is True) as bar:
            done = 0
            for pair in _prepared(found, stages, workers):
                if pair.output is None:
                    _work(stages[-1:], pair)
                if not fused.put(pair):
                    break
                bar.update(pair.steps)
                done += pair.steps
                if callable(progress):
                    progress(done, reader.total)
        fused.finish()
    except BaseException as error:
        fused.finish(error)
        raise
    finally:
        found.close()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _is_strip(pair: Pair) -> bool:
    return pair.strip is not None


def _read(reader: Reader, found: BoundedQueue[Pair]) -> None:
    try:
        with closing(iter(reader)) as pairs:
            for pair in pairs:
                if not found.put(pair):
                    return
        found.finish()
    except Exception as error:  # raised again by the consumer
        found.finish(error)


def _prepared(pairs: Iterable[Pair], stages: Sequence[PairStage], workers: Workers | None) -> Iterable[Pair]:
    """Pairs after all stages but the last; whole images also after the last one if the workers fuse."""
    if workers is None:
        return map(partial(_work, stages[:-1]), pairs)
    return workers.map(lambda pair: _work(stages if workers.fuse and not _is_strip(pair) else stages[:-1], pair), pairs)


def _work(stages: Sequence[PairStage], pair: Pair) -> Pair:
    try:
        if pair.error is None:
            for stage in stages:
                stage(pair)
    except Exception as error:  # the writer decides whether to continue
        pair.error = error
    return pair


def _write(writer: Writer, fused: BoundedQueue[Pair], errors: list[Exception]) -> None:
    try:
        writer.write(iter(fused))
    except Exception as error:  # raised again by `run`
        errors.append(error)
    except (KeyboardInterrupt, SystemExit):  # passed on with the pairs and raised by `run`
        pass
    finally:
        fused.close()
