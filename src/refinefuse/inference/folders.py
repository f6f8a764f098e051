"""Fuse files: one pair, or all pairs of two folders, or of more sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from refinefuse.data.pairs import check_distinct, pair_folders
from refinefuse.errors import PairingError, format_names
from refinefuse.image.files import check_target
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inspection import PooledCheck
from refinefuse.inference.outputs import OutputFormat, OutputPaths, check_apart, make_folder, suffix_of
from refinefuse.inference.pipeline import Progress, run
from refinefuse.inference.provenance import Provenance
from refinefuse.inference.record import FolderRecord
from refinefuse.inference.results import FolderResult
from refinefuse.inference.stages import stages_of
from refinefuse.inference.stills import StillJob, StillReader, StillWriter
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.threads import Workers

Files = tuple[Path, ...]


def fuse_folder(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fuser: Fuser | None = None,
    thermal: ThermalOptions | None = None,
    alignment: AlignmentOptions | None = None,
    pair_by: str | None = None,
    recursive: bool = False,
    overwrite: bool = False,
    provenance: bool = True,
    output_format: OutputFormat = "auto",
    png_level: int = 1,
    progress: bool | Progress = False,
) -> FolderResult:
    """Fuse all pairs of two folders; if one fails, the others are still fused.

    Results are PNG, or TIFF if the sources are float, if `b` is a GeoTIFF, or if the sources are TIFF files large
    enough to be read strip by strip. Existing results are skipped if they were made with the same options and weights,
    and refused otherwise.

    Args:
        a: the folder of the sources whose color is not used. The images of a pair have the same name without extension,
            apart from words for a sensor ("01_ir" and "01_vis").
        b: the folder of the sources whose color is kept.
        output: the folder for the results; created if it does not exist.
        fuser: the network; None: `Fuser()`.
        thermal: how the images of `a` are read; None means as stored, except that raw 16-bit counts get their own
            range. A range is fitted once for the folder.
        alignment: how the images of `a` are aligned to those of `b`; None means that they already are.
        pair_by: a regular expression for what the names of a pair have in common (its first group, or the whole match),
            or `time:SECONDS` to pair the nearest timestamps in the names, up to that difference.
        recursive: include subfolders; the results are written to the same subfolders.
        overwrite: replace existing results.
        provenance: record in each result how it was made (see `refinefuse info`).
        output_format: `png`, `tiff`, `webp` (lossless), `jpeg`, or `auto`, as described above.
        png_level: PNG compression: 0 (none), 1 (fast), 2 (smaller, best for camera images), or 3 to 9 (increasingly
            slow, best for drawings and slices).
        progress: show a progress bar on standard error; or a function that is called with the number of steps done and
            the total.

    Raises:
        PairingError: if the folders hold no pair.
        InputError: if the folder for results holds sources, is a file, cannot be made, or holds results that were made
            with other options or weights.
    """
    return fuse_folders(
        lambda: fuser or Fuser(),
        [Path(a), Path(b)],
        OutputPaths(Path(output), suffix=suffix_of(output_format), png_level=png_level),
        thermal or ThermalOptions(),
        alignment or AlignmentOptions(),
        pair_by=pair_by,
        recursive=recursive,
        overwrite=overwrite,
        provenance=provenance,
        progress=progress,
    )


def fuse_files(
    load: Callable[[], Fuser],
    sources: Sequence[Path],
    outputs: OutputPaths,
    thermal: ThermalOptions,
    alignment: AlignmentOptions,
    *,
    overwrite: bool = False,
    provenance: bool = True,
    progress: bool | Progress = False,
) -> FolderResult:
    """Fuse one pair of files, or more sources, and write all results or none of them.

    Args:
        load: creates the fuser; called once the outputs are known to be writable.
        sources: two or more files; the color of the last one is kept.
        outputs: files for the results.
        thermal: options for reading all sources but the last.
        alignment: options for aligning them to the last.
        overwrite: replace existing files.
        provenance: record in each result how it was made.
        progress: show a progress bar on standard error, or a function called with the steps done and the total.

    Raises:
        InputError: a file cannot be used or written.
        PairingError: a file is given twice.
        AlignmentError: the images cannot be aligned, or have warnings in strict mode.
    """
    check_distinct(*sources)
    check_apart(outputs.wanted(), sources)
    for path in outputs.wanted():
        check_target(path, overwrite=overwrite)
    by_source = tuple(thermal if thermal.range else thermal.fitted([source]) for source in sources[:-1])
    in_strips = thermal.reads_strips and not alignment.moves
    job = StillJob(sources[-1].stem, tuple(sources), by_source, outputs, in_strips=in_strips)
    result, fuser = FolderResult(), load()
    record = Provenance.of(fuser) if provenance else None
    writer = StillWriter(fuser.color, result, overwrite=overwrite, keep_going=False, provenance=record)
    run(StillReader([job], fuser), stages_of(fuser, thermal, alignment), writer, progress=progress)
    return result


def fuse_folders(
    load: Callable[[], Fuser],
    sources: Sequence[Path],
    outputs: OutputPaths,
    thermal: ThermalOptions,
    alignment: AlignmentOptions,
    *,
    pair_by: str | None = None,
    recursive: bool = False,
    overwrite: bool = False,
    provenance: bool = True,
    progress: bool | Progress = False,
) -> FolderResult:
    """Fuse all pairs of two or more folders: `fuse_folder` with weight maps and montages.

    Args:
        load: creates the fuser; called once the folders are known to contain pairs.
        sources: two or more folders; the color of the images in the last one is kept.
        outputs: folders for the results.
        thermal: options for reading the images of all folders but the last.
        alignment: options for aligning them to the last.
        pair_by: how to pair the names, as in `fuse_folder`.
        recursive: include subfolders.
        overwrite: replace existing results.
        provenance: record in each result how it was made.
        progress: show a progress bar on standard error, or a function called with the steps done and the total.

    Raises:
        PairingError: if the folders contain no pair, or one is given twice.
        InputError: as in `fuse_folder`, or if an output folder is given twice.
    """
    check_distinct(*sources)
    groups, unpaired = _match(sources, pair_by, recursive)
    check_apart(outputs.wanted(), sources, inside=recursive)
    fuser = load()
    record = FolderRecord(outputs.output, fuser, thermal, alignment)
    existing = {name: _existing(outputs, name) for name in groups}
    if not overwrite:
        record.check([path for paths in existing.values() for path in paths])
    skipped = [name for name, paths in existing.items() if not overwrite and len(paths) == len(outputs.wanted())]
    result = FolderResult(unpaired=unpaired, skipped=skipped)
    todo = {name: files for name, files in groups.items() if name not in set(skipped)}
    for folder in outputs.wanted():
        make_folder(folder)
    by_source = _fitted(thermal, list(groups.values()), record) if todo else ()
    if not thermal.per_image:
        result.ranges = [one.range for one in by_source if one.range is not None]
    record.write(result.ranges)
    in_strips = thermal.reads_strips and not alignment.moves
    jobs = [StillJob(name, files, by_source, outputs, True, in_strips) for name, files in todo.items()]
    made_by = Provenance.of(fuser) if provenance else None
    pool = PooledCheck()
    with _workers(fuser, len(jobs)) as workers:
        writer = StillWriter(
            fuser.color, result, overwrite=overwrite, keep_going=True, provenance=made_by, workers=workers
        )
        stages = stages_of(fuser, thermal, alignment, pool=pool)
        run(StillReader(jobs, fuser, workers), stages, writer, progress=progress, workers=workers)
    result.pooled_warnings = tuple(pool.warnings)
    return result


def _workers(fuser: Fuser, jobs: int) -> Workers:
    """Create worker threads; each fuses its own pair (faster than sharing one) if results stay bit-identical."""
    count, threads = min(jobs, Workers.affordable()), torch.get_num_threads()
    fuse = fuser.model.is_thread_invariant and count >= threads
    return Workers(min(count, threads + 1) if fuse else count, fuse=fuse)


def _fitted(thermal: ThermalOptions, groups: Sequence[Files], record: FolderRecord) -> tuple[ThermalOptions, ...]:
    """Thermal options of all sources but the last, with ranges of an earlier run into the folder or newly fitted."""
    count = len(groups[0]) - 1
    if len(record.ranges) == count and not thermal.per_image:
        return tuple(thermal.with_range(one) for one in record.ranges)
    return tuple(thermal.fitted([files[index] for files in groups]) for index in range(count))


def _match(folders: Sequence[Path], pair_by: str | None, recursive: bool) -> tuple[dict[str, Files], list[str]]:
    """The files of all folders by their common name, and those without a counterpart."""
    *others, last = folders
    pairings = [pair_folders(other, last, pair_by=pair_by, recursive=recursive) for other in others]
    counterparts = [{pair.name: pair.a for pair in pairing.pairs} for pairing in pairings]
    groups = {
        pair.name: (*(files[pair.name] for files in counterparts), pair.b)
        for pair in pairings[0].pairs
        if all(pair.name in files for files in counterparts)
    }
    if not groups:
        named = format_names([str(folder) for folder in folders])
        raise PairingError(f"The folders share no file name, so nothing can be fused:\n{named}")
    used = {file for files in groups.values() for file in files}
    found = [(pair.a, pair.b) for pairing in pairings for pair in pairing.pairs]
    unpaired = [str(file) for files in found for file in files if file not in used]
    for folder, pairing in zip(others, pairings, strict=True):
        unpaired += [*(str(folder / name) for name in pairing.only_a), *(str(last / name) for name in pairing.only_b)]
    return groups, list(dict.fromkeys(unpaired))


def _existing(outputs: OutputPaths, name: str) -> list[Path]:
    """The existing results of a pair."""
    paths = {path: None for suffix in (".png", ".tif") for path in outputs.inside(name, suffix).wanted()}
    return [path for path in paths if path.exists()]
