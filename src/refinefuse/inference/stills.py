"""Readers and writers for still images: one pair, or all pairs of two or more folders."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, groupby, starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refinefuse.errors import InputError, RefineFuseError
from refinefuse.image.color import Color, merge_color_sources, restore_color, to_array
from refinefuse.image.files import write_images
from refinefuse.image.metadata import Metadata, orientation_warnings, read_metadata
from refinefuse.image.metadata_embed import unsupported_metadata
from refinefuse.image.pixels import Pixels
from refinefuse.image.scanlines import ScanlineBuffer
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inputs import LoadedImage, load_input, restore_format
from refinefuse.inference.inspection import PairWarning, Preview
from refinefuse.inference.montage import side_by_side
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.provenance import Provenance, add_text, describe_range
from refinefuse.inference.results import FolderResult
from refinefuse.inference.streaming import (
    Readers,
    StripFormat,
    buffered_strips,
    format_of,
    iter_pairs,
    open_readers,
    read_whole,
    render_strip,
    write_strips,
)
from refinefuse.inference.thermal import RangeReader, ThermalImage, ThermalOptions
from refinefuse.inference.threads import Workers

logger = logging.getLogger(__name__)


@dataclass
class StillJob:
    """One pair of files to fuse.

    Attributes:
        name: name of the pair.
        files: its sources.
        thermal: options for reading each source but the last.
        outputs: output paths: files, or the folders of a folder run.
        in_folders: whether the outputs are folders.
        in_strips: whether large images may be read strip by strip.
        cancelled: whether the writer has given up on it.
    """

    name: str
    files: tuple[Path, ...]
    thermal: tuple[ThermalOptions, ...]
    outputs: OutputPaths
    in_folders: bool = False
    in_strips: bool = True
    cancelled: bool = False

    def settings(self, ranges: Sequence[IntensityRange | None]) -> dict[str, str]:
        """Processing of the source values, for the provenance record."""
        polarity = self.thermal[0].polarity
        described = [describe_range(fixed) for fixed in ranges]
        return {
            "range": ", ".join(filter(None, described)),
            "polarity": polarity if polarity == "black-hot" else "",
            "palette": self.thermal[0].palette or "",
        }

    def paths(self, suffix: str) -> OutputPaths:
        """The output files; in a folder run, `suffix` is that of the fused image."""
        return self.outputs.inside(self.name, suffix) if self.in_folders else self.outputs


@dataclass(frozen=True)
class StillOrigin:
    """Origin of a still: its job, and the sources that determine its format."""

    job: StillJob
    sources: tuple[LoadedImage, ...]


@dataclass(frozen=True)
class StripOrigin:
    """Origin of a strip: its job, and the format of the whole result."""

    job: StillJob
    format: StripFormat


class Written(NamedTuple):
    """Outcome of a job: its warnings, and the error if it failed."""

    job: StillJob
    warnings: tuple[PairWarning, ...]
    error: Exception | None = None


@dataclass(frozen=True)
class _Opened:
    """A job that is read in strips: its readers, and the stack that closes them."""

    readers: Readers
    files: ExitStack
    side: int


class StillReader:
    """Reads pairs of files; large ones are read strip by strip if possible.

    Args:
        jobs: jobs to read.
        fuser: determines which images are large.
        workers: threads that decode several pairs at once; None decodes sequentially.
    """

    def __init__(self, jobs: Sequence[StillJob], fuser: Fuser, workers: Workers | None = None) -> None:
        self.jobs = jobs
        self.fuser = fuser
        self.workers = workers
        self.total: int | None = len(jobs)

    def __iter__(self) -> Generator[Pair, None, None]:
        """Yield one pair, or several strips, per job; unreadable ones carry their error."""
        read = map(self._read, self.jobs) if self.workers is None else self.workers.map(self._read, self.jobs)
        for job, found in zip(self.jobs, read, strict=True):
            if isinstance(found, Pair):
                yield found
                continue
            try:
                with found.files:
                    yield from self._in_strips(job, found)
            except Exception as error:  # the other pairs are still wanted
                yield _without_result(job, error)

    def _read(self, job: StillJob) -> Pair | _Opened:
        """Read the pair of a job, with its error if that fails; large ones are opened for reading in strips."""
        try:
            if not (job.in_strips and len(job.files) == 2):
                return self._whole(job)
            with ExitStack() as files:
                readers = files.enter_context(open_readers(job.files))
                side = self.fuser.tile_side(*readers[0].shape[:2])
                if side is not None:
                    return _Opened(readers, files.pop_all(), side)
                if job.thermal[0].range is None:
                    pixels = zip(job.files, map(read_whole, readers), strict=True)
                    a, b = (LoadedImage.from_file(*one) for one in pixels)
                    return self._whole(job, [ThermalImage(a, [], None)], b)
            return self._whole(job)
        except Exception as error:  # the other pairs are still wanted
            return _without_result(job, error)

    def _in_strips(self, job: StillJob, found: _Opened) -> Generator[Pair, None, None]:
        fixed = job.thermal[0].range
        a, b = found.readers
        readers = (a if fixed is None else RangeReader(a, fixed), b)
        form = format_of(readers, self.fuser.color)
        yield from self._strips(job, form, iter_pairs(self.fuser, readers, job.files, found.side))

    @staticmethod
    def _whole(job: StillJob, others: Sequence[ThermalImage] = (), last: LoadedImage | None = None) -> Pair:
        others = others or [thermal.read(file) for thermal, file in zip(job.thermal, job.files, strict=False)]
        last = load_input(job.files[-1], "b") if last is None else last
        sources = (*(other.source for other in others), last)
        images = tuple(source.image for source in sources)
        counts = tuple(np.asarray(other.source.given) if other.range is None else None for other in others)
        paths, metadata = tuple(map(str, job.files)), tuple(map(read_metadata, job.files))
        pair = Pair(job.name, images, StillOrigin(job, sources), paths, metadata, Preview(images, counts))
        pair.warnings = [warning for other in others for warning in other.warnings]
        pair.settings = job.settings([other.range for other in others])
        return pair

    @staticmethod
    def _strips(job: StillJob, form: StripFormat, strips: Iterator[Pair]) -> Generator[Pair, None, None]:
        if job.outputs.montage is not None:
            raise InputError(
                "`montage` needs images that are fused as a whole, but these are fused strip by strip.\n"
                f"  got: {form.shape[0]} x {form.shape[1]} pixels\n"
                "Remove `montage`, or use `tile=off` if there is enough memory."
            )
        for pair in strips:
            if job.cancelled:
                return
            pair.name, pair.origin = job.name, StripOrigin(job, form)
            if pair.preview is not None:
                pair.warnings = job.thermal[0].default_warnings()
                pair.settings = job.settings([job.thermal[0].range])
            yield pair


def _without_result(job: StillJob, error: Exception) -> Pair:
    return Pair(job.name, (), StillOrigin(job, ()), error=error)


class StillWriter:
    """Writes images: all results of a pair, or none.

    Args:
        color: source of the color.
        result: collects the outcome of each pair.
        overwrite: replace existing files.
        keep_going: continue with the next pair after an error.
        provenance: provenance record for the results; None writes none.
        workers: threads that encode several results at once; None encodes sequentially.
    """

    def __init__(
        self,
        color: Color,
        result: FolderResult,
        *,
        overwrite: bool,
        keep_going: bool,
        provenance: Provenance | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.color: Color = color
        self.result = result
        self.overwrite = overwrite
        self.keep_going = keep_going
        self.provenance = provenance
        self.workers = workers

    def write(self, pairs: Iterator[Pair]) -> None:
        """Write the results of all pairs."""
        for job, warnings, error in self._written(pairs):
            if error is None:
                self.result.fused.append(job.name)
                if warnings:
                    self.result.warnings[job.name] = warnings
            elif not self.keep_going:
                raise error
            else:
                logger.debug("'%s' failed", job.name, exc_info=error)
                ours = isinstance(error, RefineFuseError)
                self.result.failed[job.name] = str(error) if ours else f"{type(error).__name__}: {error}"

    def _written(self, pairs: Iterator[Pair]) -> Iterator[Written]:
        """Yield the outcome of each job in order: workers write whole images, this thread writes strips."""
        by_job = groupby(pairs, lambda pair: id(pair.origin.job))
        firsts = ((next(strips), strips) for _, strips in by_job)
        for in_strips, group in groupby(firsts, lambda both: isinstance(both[0].origin, StripOrigin)):
            if in_strips or self.workers is None:
                yield from starmap(self._write_job, group)
            else:
                yield from self.workers.map(self._write_job, (first for first, _ in group))

    def _write_job(self, first: Pair, rest: Iterable[Pair] = ()) -> Written:
        """Write the results of one pair, or of all its strips."""
        job: StillJob = first.origin.job
        try:
            return Written(job, self._write_results(job, first, rest))
        except Exception as error:
            job.cancelled = True
            return Written(job, (), error)

    def _write_results(self, job: StillJob, first: Pair, rest: Iterable[Pair]) -> tuple[PairWarning, ...]:
        if first.error is not None:
            raise first.error
        metadata = first.metadata[-1]
        if isinstance(first.origin, StripOrigin):
            output = job.paths(first.origin.format.suffix).output
            self._write_strips(job, first.origin.format, chain([first], rest), metadata)
        else:
            results = self._render(first, as_tiff=bool(metadata.upright().geotiff) or metadata.is_cog)
            output = next(iter(results))
            missing = {path: image for path, image in results.items() if not job.in_folders or not self._keep(path)}
            given = dict.fromkeys(results, Metadata()) | {output: metadata}
            given = {path: self._with_provenance(one, first) for path, one in given.items()}
            write_images(missing, metadata=given, overwrite=self.overwrite, png_level=job.outputs.png_level)
        warnings = [*first.warnings, *_metadata_warnings(first.metadata, output.suffix.lower())]
        return tuple(dict.fromkeys(warnings))

    def _with_provenance(self, metadata: Metadata, pair: Pair) -> Metadata:
        if self.provenance is None:
            return metadata
        *others, last = pair.origin.job.files
        names = [str(file) for file in (*sorted(others, key=lambda file: (file.name, file)), last)]
        record = self.provenance.with_sources(names, pair.settings)
        return replace(metadata, xmp=add_text(metadata.xmp, record.to_text()))

    def _keep(self, path: Path) -> bool:
        return path.exists() and not self.overwrite

    def _render(self, pair: Pair, *, as_tiff: bool) -> dict[Path, Pixels]:
        """Render the images to write, by path; in a folder run as TIFF if PNG cannot store them."""
        output = pair.require_output()
        *others, last = pair.color_sources(self.color)
        image = restore_color(output.fused, merge_color_sources(others), last, self.color)
        fused = np.asarray(restore_format(image, *pair.origin.sources))
        paths = pair.origin.job.paths(".tif" if as_tiff or fused.dtype == np.float32 else ".png")
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
        """Write strips as they arrive; no file remains if one of them fails."""
        paths = job.paths(form.suffix)
        first = next(strips)
        strips = chain([first], strips)
        metadata, of_map = (self._with_provenance(one, first) for one in (metadata, Metadata()))
        with ScanlineBuffer(form.shape[:2], np.dtype(np.uint8)) as weight_maps, ExitStack() as files:
            fused = self._fused_strips(form, strips, weight_maps)
            write_strips(files, paths.output, form, fused, metadata, keep=self._keep(paths.output))
            if paths.weight_map is not None:
                gray = form.as_gray(np.dtype(np.uint8))
                strips_of_map = buffered_strips(weight_maps)
                write_strips(files, paths.weight_map, gray, strips_of_map, of_map, keep=self._keep(paths.weight_map))

    def _fused_strips(self, form: StripFormat, strips: Iterator[Pair], weight_maps: ScanlineBuffer) -> Iterator[Pixels]:
        for pair in strips:
            fused, weight_map = render_strip(pair, form, self.color)
            weight_maps.append(weight_map)
            yield fused


def _metadata_warnings(metadata: Sequence[Metadata], suffix: str) -> list[PairWarning]:
    """Warn about metadata that the result cannot store, and about sources with different orientations."""
    *others, last = metadata
    found = [message for other in others for message in orientation_warnings(other, last)]
    if lost := unsupported_metadata(last, suffix):
        found.append(f"{suffix} cannot store this metadata of `b`: {', '.join(lost)}")
    if last.extra_bands:
        found.append(f"`b` has {last.extra_bands} bands besides color and alpha, which were left out")
    return [PairWarning("metadata", message, 1.0) for message in found]
