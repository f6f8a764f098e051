"""Files in, files out: one pair, or all pairs of two folders; with more sources likewise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError, PairingError, RefineFuseError, listing
from refinefuse.image.color import to_array
from refinefuse.image.files import check_target, write_images
from refinefuse.image.thermal import Range
from refinefuse.inference.fuser import Explained, Fuser
from refinefuse.inference.large import LargePair, opened_large
from refinefuse.inference.pictures import Source, read_source
from refinefuse.inference.placing import AS_THEY_LIE, Placing
from refinefuse.inference.sheet import share_map, side_by_side
from refinefuse.inference.thermal import AS_STORED, Reading, doubts_of


@dataclass(frozen=True)
class Targets:
    """Where results go: files for one pair, folders for many.

    Attributes:
        output: the fused picture.
        explain: the map of the share of `a`; None: not wanted.
        sheet: sources and result side by side; None: not wanted.
    """

    output: Path
    explain: Path | None = None
    sheet: Path | None = None

    def wanted(self) -> list[Path]:
        """The paths that are not None, the fused picture first."""
        return [path for path in (self.output, self.explain, self.sheet) if path is not None]

    def inside(self, name: str, suffix: str) -> Targets:
        """The files of one pair of a folder run; `suffix` is that of the fused picture, the others are PNG."""
        return Targets(
            self.output / f"{name}{suffix}",
            self.explain and self.explain / f"{name}.png",
            self.sheet and self.sheet / f"{name}.png",
        )


@dataclass
class Outcome:
    """What became of a folder run.

    Attributes:
        fused: names of the pairs that were fused now.
        skipped: names of the pairs whose files were all there.
        failed: what went wrong, by the name of the pair.
        alone: names of the files without a partner.
        doubts: what looks wrong, and the names of the pairs in which it does.
        ranges: the fixed ranges of the sources but the last, if ranges were fitted.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    ranges: list[Range] = field(default_factory=list)


def fuse_files(
    fuser: Fuser,
    sources: Sequence[Path],
    targets: Targets,
    reading: Reading = AS_STORED,
    placing: Placing = AS_THEY_LIE,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Fuse files and write what is wanted: all of it, or nothing if anything cannot be used or written.

    Args:
        fuser: the network.
        sources: two or more; the last is the one whose colour is kept.
        targets: files for the results.
        reading: how all but the last are read.
        placing: how they are brought onto the grid of the last.
        overwrite: replace files that are there.

    Returns:
        What looks wrong, as warnings.

    Raises:
        InputError: saying which file, and why.
        AlignmentError: the pictures cannot be aligned, or look wrong where that is refused.
    """
    check_apart(targets, sources)
    for path in targets.wanted():
        check_target(path, overwrite=overwrite)
    if not placing.moves:
        with opened_large(fuser, sources, reading) as large:
            if large is not None:
                return _fuse_large(large, targets, placing, overwrite)
    results, doubts = _fuse(fuser, sources, targets, [reading] * (len(sources) - 1), placing)
    write_images(results, overwrite=overwrite)
    return doubts


def fuse_folders(
    load: Callable[[], Fuser],
    sources: Sequence[Path],
    targets: Targets,
    reading: Reading = AS_STORED,
    placing: Placing = AS_THEY_LIE,
    *,
    each: bool = False,
    overwrite: bool = False,
) -> Outcome:
    """Fuse all pairs of two folders, go on where one fails, and show progress on standard error.

    Results are PNG, but TIFF where the sources are float, or TIFF and so large that they are read by rows.

    Args:
        load: makes the fuser; called when the folders are known to hold pairs.
        sources: two or more folders; pictures that belong together share their name without extension.
        targets: folders for the results, which are made if need be.
        reading: how the pictures of all folders but the last are read. A range is fitted once to each folder.
        placing: how they are brought onto the grid of the last.
        each: fit the range to each picture by itself.
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
    outcome = Outcome(alone=alone, skipped=[name for name in groups if not overwrite and _is_done(targets, name)])
    todo = {name: files for name, files in groups.items() if name not in set(outcome.skipped)}
    readings = [reading] * (len(sources) - 1)
    if todo and reading.range is not None and not each:
        readings = [reading.fitted([files[i] for files in groups.values()]) for i in range(len(readings))]
        outcome.ranges = [one.range for one in readings if one.range is not None]
    with tqdm(todo.items(), "fusing", unit="pair", file=sys.stderr) as bar:
        for name, files in bar:
            _fuse_group(fuser, name, files, targets, readings, placing, overwrite, outcome)
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
        named = listing([str(folder) for folder in folders])
        raise PairingError(f"The folders share no file name, so nothing can be fused:\n{named}")
    used = {file for files in groups.values() for file in files}
    found = [(pair.a, pair.b) for pairing in pairings for pair in pairing.pairs]
    alone = [str(file) for files in found for file in files if file not in used]
    for folder, pairing in zip(others, pairings, strict=True):
        alone += [*(str(folder / name) for name in pairing.only_a), *(str(last / name) for name in pairing.only_b)]
    return groups, list(dict.fromkeys(alone))


def _is_done(targets: Targets, name: str) -> bool:
    return any(all(path.exists() for path in targets.inside(name, suffix).wanted()) for suffix in (".png", ".tif"))


def _fuse_group(
    fuser: Fuser,
    name: str,
    files: Sequence[Path],
    targets: Targets,
    readings: Sequence[Reading],
    placing: Placing,
    overwrite: bool,
    outcome: Outcome,
) -> None:
    """Fuse one group of a folder run, and enter into the outcome what became of it."""
    try:
        doubts = None
        if not placing.moves:
            with opened_large(fuser, files, readings[0]) as large:
                if large is not None:
                    doubts = _fuse_large(large, targets.inside(name, large.suffix), placing, overwrite)
        if doubts is None:
            results, doubts = _fuse(fuser, files, targets, readings, placing, name)
            missing = {path: pixels for path, pixels in results.items() if overwrite or not path.exists()}
            write_images(missing, overwrite=overwrite)
    except RefineFuseError as error:
        outcome.failed[name] = str(error)
    except Exception as error:  # whatever befalls one pair, the others are still wanted
        outcome.failed[name] = f"{type(error).__name__}: {error}"
    else:
        outcome.fused.append(name)
        for doubt in doubts:
            outcome.doubts.setdefault(doubt, []).append(name)


def _fuse_large(large: LargePair, targets: Targets, placing: Placing, overwrite: bool) -> list[str]:
    """Fuse by bands and write what is wanted; doubts."""
    if targets.sheet is not None:
        raise InputError(
            f"A sheet is for pictures that are painted in one piece.\n  got: {large.height} x {large.width} pixels\n"
            "Leave --sheet out, or add --tile off if the memory suffices."
        )
    return large.write(targets.output, targets.explain, placing, overwrite=overwrite)


def _fuse(
    fuser: Fuser,
    files: Sequence[Path],
    targets: Targets,
    readings: Sequence[Reading],
    placing: Placing,
    name: str | None = None,
) -> tuple[dict[Path, np.ndarray], list[str]]:
    """Results by path, and doubts; with a name, the targets are folders."""
    read = [reading.read(file) for reading, file in zip(readings, files[:-1], strict=True)]
    last = read_source(files[-1], "b")
    placed = [placing.place(source, last) for source, _ in read]
    sources = [*(source for source, _ in placed), last]
    doubts = [doubt for _, found in (*read, *placed) for doubt in found]
    for source, reading in zip(sources[:-1], readings, strict=True):
        doubts += doubts_of(source, last, reading)
    placing.check(doubts)
    explained = fuser.explain(*sources)
    if name is not None:
        targets = targets.inside(name, ".tif" if np.asarray(explained.fused).dtype == np.float32 else ".png")
    return _render(explained, sources, targets), list(dict.fromkeys(doubts))


def _render(explained: Explained, sources: Sequence[Source], targets: Targets) -> dict[Path, np.ndarray]:
    """What is to be written, by path."""
    fused = np.asarray(explained.fused)
    results = {targets.output: fused}
    if targets.explain is not None:
        results[targets.explain] = share_map(explained.share)
    if targets.sheet is not None:
        names = ["a", "b"] if len(sources) == 2 else [f"source {index + 1}" for index in range(len(sources))]
        shown = {name: to_array(source.image, np.uint8) for name, source in zip(names, sources, strict=True)}
        results[targets.sheet] = side_by_side({**shown, "fused": fused})
    return results


def check_apart(targets: Targets, sources: Sequence[Path]) -> None:
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
