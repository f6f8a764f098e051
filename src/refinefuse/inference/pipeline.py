"""The way of every kind of source: read, check, register, fuse, write.

Stills, large images by strips, videos and volumes differ only in their readers and writers. A reader yields pairs, the
stages work on each of them in turn, a writer takes them in the same order.
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
_DEPTH = 2  # pairs that wait between two threads

#: Called after each pair with the steps done and in all (None: not known); raises KeyboardInterrupt to stop the run.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Strip:
    """What fusing some rows of an image needs to know of the rest.

    Attributes:
        statistics: the grid statistics of both sources as a whole.
        tiles: those that make up the result, in the coordinates of the rows.
    """

    statistics: tuple[Tensor, Tensor]
    tiles: tuple[Tile, ...]


@dataclass
class Pair:
    """Two or more sources of one scene on their way: stills, frames, slices, or strips of large images.

    Attributes:
        name: for messages.
        images: the sources, (1, c, h, w) float32 in [0, 1]; the last is the one whose color is kept.
        origin: what the reader hands to the writer, to make a result of the fused luma: files, depth, timestamps.
        paths: where the images come from, for messages.
        metadata: of the files, where the sources are image files.
        preview: what is checked; None: nothing, because another pair stands for this one.
        strip: where these are rows of larger images.
        steps: of progress.
        warnings: what looks wrong.
        settings: what was done to the sources, for the record of provenance.
        planes: the sources taken apart, once they are fused.
        output: the fused luma and the weight map, once they are fused.
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
        """The output; raises the error of the pair if there is none."""
        if self.output is None:
            raise self.error or RuntimeError(f"The pair '{self.name}' was not fused.")
        return self.output

    def color_sources(self, color: Color) -> tuple[YCbCrImage, ...]:
        """The planes as sources of color.

        Where the color of `b` is wanted and it is gray, stored in three channels or in one, that of `a` is taken,
        unless it is false color.
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
    """Yields pairs in order. What costs one pair only comes as a pair with an error; whatever it raises ends the run.

    Attributes:
        total: how many steps there are; None if that is not known.
    """

    total: int | None

    def __iter__(self) -> Generator[Pair, None, None]:
        """The pairs in order."""


class PairStage(Protocol):
    """Works on one pair. What it raises becomes the error of the pair."""

    def __call__(self, pair: Pair) -> None:
        """Check it, register it, or fuse it."""


class Writer(Protocol):
    """Takes all pairs in order, those with an error too; raises what ends the run."""

    def write(self, pairs: Iterator[Pair]) -> None:
        """Write results until the pairs end. If the iterator raises, nothing incomplete may be left."""


def run(
    reader: Reader,
    stages: Sequence[PairStage],
    writer: Writer,
    *,
    progress: bool | Progress = False,
    workers: Workers | None = None,
) -> None:
    """Read in one thread, check, register and fuse in this one, write in a third; few pairs are in memory at a time.

    Args:
        reader: of pairs.
        stages: what is done to each.
        writer: of results.
        progress: show a progress bar on standard error, or a function that is called instead.
        workers: do all stages but the last for several pairs at a time, or that one too; None: this thread does.

    Raises:
        Exception: the first error of the reader or of the writer; nothing more is read then, and what was read before
            is written.
        KeyboardInterrupt: if the user stops it; the writer has finished what it had.
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
    except Exception as error:  # raised again where the pairs are taken
        found.finish(error)


def _prepared(pairs: Iterable[Pair], stages: Sequence[PairStage], workers: Workers | None) -> Iterable[Pair]:
    """The pairs after all stages but the last; whole images after that one too, where workers fuse."""
    if workers is None:
        return map(partial(_work, stages[:-1]), pairs)
    return workers.map(lambda pair: _work(stages if workers.fuse and not _is_strip(pair) else stages[:-1], pair), pairs)


def _work(stages: Sequence[PairStage], pair: Pair) -> Pair:
    try:
        if pair.error is None:
            for stage in stages:
                stage(pair)
    except Exception as error:  # the writer knows whether it costs this pair or all
        pair.error = error
    return pair


def _write(writer: Writer, fused: BoundedQueue[Pair], errors: list[Exception]) -> None:
    try:
        writer.write(iter(fused))
    except Exception as error:  # raised again by `run`
        errors.append(error)
    except (KeyboardInterrupt, SystemExit):  # came with the pairs, and is raised by `run`
        pass
    finally:
        fused.close()
