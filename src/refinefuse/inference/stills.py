"""Images: one pair or all pairs of two folders, with more sources likewise."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path

import numpy as np

from refinefuse.errors import InputError, RefineFuseError
from refinefuse.image.color import Color, merge_color_sources, restore_color, to_array
from refinefuse.image.files import write_images
from refinefuse.image.metadata import Metadata, orientation_warnings, read_metadata
from refinefuse.image.metadata_embed import lost_metadata
from refinefuse.image.pixels import Pixels
from refinefuse.image.scanlines import ScanlineBuffer
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inputs import LoadedImage, load_input, restore_format
from refinefuse.inference.inspection import PairWarning, Preview
from refinefuse.inference.montage import side_by_side
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.streaming import (
    StripFormat,
    buffered_strips,
    format_of,
    iter_pairs,
    open_readers,
    read_whole,
    render_strip,
    write_strips,
)
from refinefuse.inference.thermal import ThermalOptions


@dataclass
class FolderResult:
    """What became of a run.

    Attributes:
        fused: names of the pairs that were fused now.
        skipped: names of the pairs whose results exist.
        failed: what went wrong, by the name of the pair.
        unpaired: the files without a counterpart.
        warnings: what looks wrong, by the name of the pair.
        ranges: the fixed ranges of the sources but the last, if ranges were fitted.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    warnings: dict[str, tuple[PairWarning, ...]] = field(default_factory=dict)
    ranges: list[IntensityRange] = field(default_factory=list)


@dataclass
class StillJob:
    """One pair of files on its way.

    Attributes:
        name: of the pair.
        files: its sources.
        thermal: how each source but the last is read.
        outputs: where results go: files, or the folders of a folder run.
        in_folders: whether these are folders.
        as_stored: whether nothing is done to the values and positions of pixels before they are fused.
        cancelled: whether the writer has given up on it.
    """

    name: str
    files: tuple[Path, ...]
    thermal: tuple[ThermalOptions, ...]
    outputs: OutputPaths
    in_folders: bool = False
    as_stored: bool = True
    cancelled: bool = False

    def paths(self, suffix: str) -> OutputPaths:
        """The files of its results; in a folder run, `suffix` is that of the fused image."""
        return self.outputs.inside(self.name, suffix) if self.in_folders else self.outputs


@dataclass(frozen=True)
class StillOrigin:
    """What a still becomes: its job, and the sources whose form it gets."""

    job: StillJob
    sources: tuple[LoadedImage, ...]


@dataclass(frozen=True)
class StripOrigin:
    """What a strip becomes: its job, and the form of the whole result."""

    job: StillJob
    format: StripFormat


class StillReader:
    """Reads pairs of files; large ones that can be read strip by strip come as strips.

    Args:
        jobs: what to read.
        fuser: decides how large is large.
    """

    unit = "pair"

    def __init__(self, jobs: Sequence[StillJob], fuser: Fuser) -> None:
        self.jobs = jobs
        self.fuser = fuser
        self.total: int | None = len(jobs)

    def __iter__(self) -> Generator[Pair, None, None]:
        """One pair or more strips for each job; what cannot be read comes with its error."""
        for job in self.jobs:
            try:
                yield from self._read(job)
            except Exception as error:  # the other pairs are still wanted
                yield Pair(job.name, (), StillOrigin(job, ()), error=error)

    def _read(self, job: StillJob) -> Generator[Pair, None, None]:
        if not (job.as_stored and len(job.files) == 2):
            others = zip(job.thermal, job.files[:-1], strict=True)
            yield self._whole(job, [thermal.read(file) for thermal, file in others])
            return
        with open_readers(job.files) as readers:
            side = self.fuser.tile_side(*readers[0].shape[:2])
            if side is not None:
                form = format_of(readers, self.fuser.color)
                yield from self._strips(job, form, iter_pairs(self.fuser, readers, job.files, side))
                return
            a, b = (LoadedImage.from_file(file, read_whole(one)) for one, file in zip(readers, job.files, strict=True))
        yield self._whole(job, [(a, [])], b)

    @staticmethod
    def _whole(
        job: StillJob, read: Sequence[tuple[LoadedImage, list[PairWarning]]], last: LoadedImage | None = None
    ) -> Pair:
        last = load_input(job.files[-1], "b") if last is None else last
        sources = (*(source for source, _ in read), last)
        images = tuple(source.image for source in sources)
        unread = zip(sources[:-1], job.thermal, strict=True)
        counts = tuple(np.asarray(source.given) if thermal.range is None else None for source, thermal in unread)
        warnings = [warning for _, found in read for warning in found]
        paths = tuple(map(str, job.files))
        return Pair(job.name, images, StillOrigin(job, sources), paths, Preview(images, counts), warnings=warnings)

    @staticmethod
    def _strips(job: StillJob, form: StripFormat, strips: Iterator[Pair]) -> Generator[Pair, None, None]:
        if job.outputs.montage is not None:
            raise InputError(
                "--montage is for images that are fused as a whole, and these are fused strip by strip.\n"
                f"  got: {form.shape[0]} x {form.shape[1]} pixels\n"
                "Remove --montage, or add --tile off if the memory suffices."
            )
        for pair in strips:
            if job.cancelled:
                return
            pair.name, pair.origin = job.name, StripOrigin(job, form)
            yield pair


class StillWriter:
    """Writes images: all results of a pair, or none of them.

    Args:
        color: whose color they get.
        result: what became of each pair is entered here.
        overwrite: replace files that exist.
        keep_going: whether an error costs one pair only.
    """

    def __init__(self, color: Color, result: FolderResult, *, overwrite: bool, keep_going: bool) -> None:
        self.color: Color = color
        self.result = result
        self.overwrite = overwrite
        self.keep_going = keep_going

    def write(self, pairs: Iterator[Pair]) -> None:
        """Write the results of all pairs."""
        for _, strips in groupby(pairs, lambda pair: id(pair.origin.job)):
            first = next(strips)
            job: StillJob = first.origin.job
            try:
                self._write_job(job, first, strips)  # noqa: B031  # the rest of the group, used once
            except Exception as error:
                job.cancelled = True
                if not self.keep_going:
                    raise
                ours = isinstance(error, RefineFuseError)
                self.result.failed[job.name] = str(error) if ours else f"{type(error).__name__}: {error}"

    def _write_job(self, job: StillJob, first: Pair, rest: Iterator[Pair]) -> None:
        if first.error is not None:
            raise first.error
        metadata = read_metadata(job.files[-1])
        if isinstance(first.origin, StripOrigin):
            output = job.paths(first.origin.format.suffix).output
            self._write_strips(job, first.origin.format, chain([first], rest), metadata)
        else:
            results = self._render(first)
            output = next(iter(results))
            missing = {path: image for path, image in results.items() if not job.in_folders or not self._keep(path)}
            write_images(missing, metadata={output: metadata}, overwrite=self.overwrite)
        self.result.fused.append(job.name)
        warnings = [*first.warnings, *_metadata_warnings(job, metadata, output.suffix.lower())]
        if warnings:
            self.result.warnings[job.name] = tuple(dict.fromkeys(warnings))

    def _keep(self, path: Path) -> bool:
        return path.exists() and not self.overwrite

    def _render(self, pair: Pair) -> dict[Path, Pixels]:
        """What is to be written, by path."""
        output = pair.require_output()
        *others, last = pair.planes
        image = restore_color(output.fused, merge_color_sources(others), last, self.color)
        fused = np.asarray(restore_format(image, *pair.origin.sources))
        paths = pair.origin.job.paths(".tif" if fused.dtype == np.float32 else ".png")
        results = {paths.output: fused}
        if paths.weight_map is not None:
            results[paths.weight_map] = to_array(output.weight_map, np.uint8)
        if paths.montage is not None:
            count = len(pair.images)
            names = ["a", "b"] if count == 2 else [f"source {index + 1}" for index in range(count)]
            shown = {name: to_array(image, np.uint8) for name, image in zip(names, pair.images, strict=True)}
            results[paths.montage] = side_by_side({**shown, "fused": fused})
        return results

    def _write_strips(self, job: StillJob, form: StripFormat, strips: Iterator[Pair], metadata: Metadata) -> None:
        """Write strips as they come; nothing is left if one of them fails."""
        paths = job.paths(form.suffix)
        with ScanlineBuffer(form.shape[:2], np.dtype(np.uint8)) as weight_maps, ExitStack() as files:
            fused = self._fused_strips(form, strips, weight_maps)
            write_strips(files, paths.output, form, fused, metadata, keep=self._keep(paths.output))
            if paths.weight_map is not None:
                gray = form.as_gray(np.dtype(np.uint8))
                strips_of_map = buffered_strips(weight_maps)
                write_strips(
                    files, paths.weight_map, gray, strips_of_map, Metadata(), keep=self._keep(paths.weight_map)
                )

    def _fused_strips(self, form: StripFormat, strips: Iterator[Pair], weight_maps: ScanlineBuffer) -> Iterator[Pixels]:
        for pair in strips:
            fused, weight_map = render_strip(pair, form, self.color)
            weight_maps.append(weight_map)
            yield fused


def _metadata_warnings(job: StillJob, last: Metadata, suffix: str) -> list[PairWarning]:
    """What the last file says that the result cannot, and where the files disagree about what is up."""
    found = [message for file in job.files[:-1] for message in orientation_warnings(read_metadata(file), last)]
    if lost := lost_metadata(last, suffix):
        found.append(f"{suffix} does not hold what `b` says beside its pixels: {', '.join(lost)}")
    if last.extra_bands:
        found.append(f"`b` has {last.extra_bands} more bands than colors and alpha, which were left out")
    return [PairWarning("metadata", message, 1.0) for message in found]
