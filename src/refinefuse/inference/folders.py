"""Files in, files out: one pair, or all pairs of two folders; with more sources likewise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError, PairingError, RefineFuseError, format_names
from refinefuse.image.color import to_array
from refinefuse.image.files import check_target, write_images
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.alignment_options import AS_ALIGNED, AlignmentOptions
from refinefuse.inference.fuser import Fuser, FusionResult
from refinefuse.inference.inputs import LoadedImage, load_input
from refinefuse.inference.montage import share_map, side_by_side
from refinefuse.inference.streaming import StreamedPair, open_streamed
from refinefuse.inference.thermal import STORED_VALUES, ThermalOptions, warnings_of


@dataclass(frozen=True)
class OutputPaths:
    """Where results go: files for one pair, folders for many.

    Attributes:
        output: the fused image.
        weight_map: the map of the weight_map of `a`; None: not wanted.
        montage: sources and result side by side; None: not wanted.
    """

    output: Path
    weight_map: Path | None = None
    montage: Path | None = None

    def wanted(self) -> list[Path]:
        """The paths that are not None, the fused image first."""
        return [path for path in (self.output, self.weight_map, self.montage) if path is not None]

    def inside(self, name: str, suffix: str) -> OutputPaths:
        """The files of one pair of a folder run; `suffix` is that of the fused image, the others are PNG."""
        return OutputPaths(
            self.output / f"{name}{suffix}",
            self.weight_map and self.weight_map / f"{name}.png",
            self.montage and self.montage / f"{name}.png",
        )


@dataclass
class FolderResult:
    """What became of a folder run.

    Attributes:
        fused: names of the pairs that were fused now.
        skipped: names of the pairs whose files were all there.
        failed: what went wrong, by the name of the pair.
        unpaired: names of the files without a partner.
        warnings: what looks wrong, and the names of the pairs in which it does.
        ranges: the fixed ranges of the sources but the last, if ranges were fitted.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    ranges: list[IntensityRange] = field(default_factory=list)


def fuse_files(
    fuser: Fuser,
    sources: Sequence[Path],
    targets: OutputPaths,
    thermal: ThermalOptions = STORED_VALUES,
    alignment: AlignmentOptions = AS_ALIGNED,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Fuse files and write what is wanted: all of it, or nothing if anything cannot be used or written.

    Args:
        fuser: the network.
        sources: two or more; the last is the one whose color is kept.
        targets: files for the results.
        thermal: how all but the last are read.
        alignment: how they are brought onto the grid of the last.
        overwrite: replace files that are there.

    Returns:
        What looks wrong, as warnings.

    Raises:
        InputError: saying which file, and why.
        AlignmentError: the images cannot be aligned, or look wrong where that is refused.
    """
    check_apart(targets, sources)
    for path in targets.wanted():
        check_target(path, overwrite=overwrite)
    if not alignment.moves:
        with open_streamed(fuser, sources, thermal) as large:
            if large is not None:
                return _fuse_large(large, targets, alignment, overwrite)
    results, warnings = _fuse(fuser, sources, targets, [thermal] * (len(sources) - 1), alignment)
    write_images(results, overwrite=overwrite)
    return warnings


def fuse_folders(
    load: Callable[[], Fuser],
    sources: Sequence[Path],
    targets: OutputPaths,
    thermal: ThermalOptions = STORED_VALUES,
    alignment: AlignmentOptions = AS_ALIGNED,
    *,
    each: bool = False,
    overwrite: bool = False,
) -> FolderResult:
    """Fuse all pairs of two folders, go on where one fails, and show progress on standard error.

    Results are PNG, but TIFF where the sources are float, or TIFF and so large that they are read by rows.

    Args:
        load: makes the fuser; called when the folders are known to hold pairs.
        sources: two or more folders; images that belong together weight_map their name without extension.
        targets: folders for the results, which are made if need be.
        thermal: how the images of all folders but the last are read. A range is fitted once to each folder.
        alignment: how they are brought onto the grid of the last.
        each: fit the range to each image by itself.
        overwrite: replace files that are there; otherwise only files that are missing are written.

    Raises:
        PairingError: if the folders hold no pair.
        InputError: if a folder for results holds sources, is named twice, is a file, or cannot be made.
    """
    groups, alone = _match(sources)
    check_apart(targets, sources)
    fuser = load()
    for folder in targets.wanted():
        _make_folder(folder)
    outcome = FolderResult(
        unpaired=alone, skipped=[name for name in groups if not overwrite and _is_done(targets, name)]
    )
    todo = {name: files for name, files in groups.items() if name not in set(outcome.skipped)}
    readings = [thermal] * (len(sources) - 1)
    if todo and thermal.range is not None and not each:
        readings = [thermal.fitted([files[i] for files in groups.values()]) for i in range(len(readings))]
        outcome.ranges = [one.range for one in readings if one.range is not None]
    with tqdm(todo.items(), "fusing", unit="pair", file=sys.stderr) as bar:
        for name, files in bar:
            _fuse_group(fuser, name, files, targets, readings, alignment, overwrite, outcome)
    return outcome


def _match(folders: Sequence[Path]) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """The files of all folders by their common name, and those that lack a partner somewhere."""
    *others, last = folders
    pairings = [pair_folders(other, last) for other in others]
    partners = [{pair.name: pair.a for pair in pairing.pairs} for pairing in pairings]
    groups = {
        pair.name: (*(files[pair.name] for files in partners), pair.b)
        for pair in pairings[0].pairs
        if all(pair.name in files for files in partners)
    }
    if not groups:
        named = format_names([str(folder) for folder in folders])
        raise PairingError(f"The folders weight_map no file name, so nothing can be fused:\n{named}")
    used = {file for files in groups.values() for file in files}
    found = [(pair.a, pair.b) for pairing in pairings for pair in pairing.pairs]
    alone = [str(file) for files in found for file in files if file not in used]
    for folder, pairing in zip(others, pairings, strict=True):
        alone += [*(str(folder / name) for name in pairing.only_a), *(str(last / name) for name in pairing.only_b)]
    return groups, list(dict.fromkeys(alone))


def _is_done(targets: OutputPaths, name: str) -> bool:
    return any(all(path.exists() for path in targets.inside(name, suffix).wanted()) for suffix in (".png", ".tif"))


def _fuse_group(
    fuser: Fuser,
    name: str,
    files: Sequence[Path],
    targets: OutputPaths,
    readings: Sequence[ThermalOptions],
    alignment: AlignmentOptions,
    overwrite: bool,
    outcome: FolderResult,
) -> None:
    """Fuse one group of a folder run, and enter into the outcome what became of it."""
    try:
        warnings = None
        if not alignment.moves:
            with open_streamed(fuser, files, readings[0]) as large:
                if large is not None:
                    warnings = _fuse_large(large, targets.inside(name, large.suffix), alignment, overwrite)
        if warnings is None:
            results, warnings = _fuse(fuser, files, targets, readings, alignment, name)
            missing = {path: pixels for path, pixels in results.items() if overwrite or not path.exists()}
            write_images(missing, overwrite=overwrite)
    except RefineFuseError as error:
        outcome.failed[name] = str(error)
    except Exception as error:  # whatever befalls one pair, the others are still wanted
        outcome.failed[name] = f"{type(error).__name__}: {error}"
    else:
        outcome.fused.append(name)
        for warning in warnings:
            outcome.warnings.setdefault(warning, []).append(name)


def _fuse_large(large: StreamedPair, targets: OutputPaths, alignment: AlignmentOptions, overwrite: bool) -> list[str]:
    """Fuse by bands and write what is wanted; warnings."""
    if targets.montage is not None:
        raise InputError(
            f"A montage is for images that are painted in one piece.\n  got: {large.height} x {large.width} pixels\n"
            "Leave --montage out, or add --tile off if the memory suffices."
        )
    return large.write(targets.output, targets.weight_map, alignment, overwrite=overwrite)


def _fuse(
    fuser: Fuser,
    files: Sequence[Path],
    targets: OutputPaths,
    readings: Sequence[ThermalOptions],
    alignment: AlignmentOptions,
    name: str | None = None,
) -> tuple[dict[Path, np.ndarray], list[str]]:
    """Results by path, and warnings; with a name, the targets are folders."""
    read = [rule.read(file) for rule, file in zip(readings, files[:-1], strict=True)]
    last = load_input(files[-1], "b")
    aligned = [alignment.place(source, last) for source, _ in read]
    sources = [*(source for source, _ in aligned), last]
    warnings = [warning for _, found in (*read, *aligned) for warning in found]
    for source, rule in zip(sources[:-1], readings, strict=True):
        warnings += warnings_of(source, last, rule)
    alignment.check(warnings)
    result = fuser.fuse_with_weight_map(*sources)
    if name is not None:
        targets = targets.inside(name, ".tif" if np.asarray(result.fused).dtype == np.float32 else ".png")
    return _render(result, sources, targets), list(dict.fromkeys(warnings))


def _render(result: FusionResult, sources: Sequence[LoadedImage], targets: OutputPaths) -> dict[Path, np.ndarray]:
    """What is to be written, by path."""
    fused = np.asarray(result.fused)
    results = {targets.output: fused}
    if targets.weight_map is not None:
        results[targets.weight_map] = share_map(result.weight_map)
    if targets.montage is not None:
        names = ["a", "b"] if len(sources) == 2 else [f"source {index + 1}" for index in range(len(sources))]
        shown = {name: to_array(source.image, np.uint8) for name, source in zip(names, sources, strict=True)}
        results[targets.montage] = side_by_side({**shown, "fused": fused})
    return results


def check_apart(targets: OutputPaths, sources: Sequence[Path]) -> None:
    """Refuse a result that is a source or another result: nothing that is wanted may be lost.

    Raises:
        InputError: naming the path.
    """
    seen = {source.resolve() for source in sources}
    for path in targets.wanted():
        if path.resolve() in seen:
            raise InputError(
                f"'{path}' is named twice, as a source or as another result.\nGive each result a place of its own."
            )
        seen.add(path.resolve())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be made: {error.strerror}.\nGive another folder.") from None
