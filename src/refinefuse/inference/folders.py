"""Files in, files out: one pair, or all pairs of two folders."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import InputError, RefineFuseError
from refinefuse.image.files import check_target, read_image, write_images
from refinefuse.inference.fuser import Explained, Fuser
from refinefuse.inference.sheet import share_map, side_by_side


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
    """

    fused: list[str]
    skipped: list[str]
    failed: dict[str, str]
    alone: list[str]


def fuse_files(fuser: Fuser, a: Path, b: Path, targets: Targets, *, overwrite: bool = False) -> None:
    """Fuse one pair of files and write what is wanted: all of it, or nothing if anything cannot be used or written.

    Raises:
        InputError: saying which file, and why.
    """
    _check_apart(targets, (a, b))
    for path in targets.wanted():
        check_target(path, overwrite=overwrite)
    write_images(_render(fuser.explain(a, b), a, b, targets), overwrite=overwrite)


def fuse_folders(load: Callable[[], Fuser], a: Path, b: Path, targets: Targets, *, overwrite: bool = False) -> Outcome:
    """Fuse all pairs of two folders, go on where one fails, and show progress on standard error.

    Results are PNG, but TIFF where the sources are float.

    Args:
        load: makes the fuser; called when the folders are known to hold pairs.
        a: folder of the first sources.
        b: folder of the second sources; pairs share their name without extension.
        targets: folders for the results, which are made if need be.
        overwrite: replace files that are there; otherwise only files that are missing are written.

    Raises:
        PairingError: if the folders hold no pair.
        InputError: if a folder for results holds sources, is named twice, is a file, or cannot be made.
    """
    pairing = pair_folders(a, b)
    _check_apart(targets, (a, b))
    fuser = load()
    for folder in targets.wanted():
        _make_folder(folder)
    alone = [*(str(a / name) for name in pairing.only_a), *(str(b / name) for name in pairing.only_b)]
    outcome = Outcome([], [], {}, alone)
    with tqdm(pairing.pairs, "fusing", unit="pair", file=sys.stderr) as bar:
        for pair in bar:
            if not overwrite and _is_done(targets, pair.name):
                outcome.skipped.append(pair.name)
                continue
            try:
                _fuse_pair(fuser, pair, targets, overwrite)
            except RefineFuseError as error:
                outcome.failed[pair.name] = str(error)
            except Exception as error:  # whatever befalls one pair, the others are still wanted
                outcome.failed[pair.name] = f"{type(error).__name__}: {error}"
            else:
                outcome.fused.append(pair.name)
    return outcome


def _is_done(targets: Targets, name: str) -> bool:
    return any(all(path.exists() for path in targets.inside(name, suffix).wanted()) for suffix in (".png", ".tif"))


def _fuse_pair(fuser: Fuser, pair: Pair, targets: Targets, overwrite: bool) -> None:
    explained = fuser.explain(pair.a, pair.b)
    files = targets.inside(pair.name, ".tif" if np.asarray(explained.fused).dtype == np.float32 else ".png")
    results = _render(explained, pair.a, pair.b, files)
    missing = {path: pixels for path, pixels in results.items() if overwrite or not path.exists()}
    write_images(missing, overwrite=overwrite)


def _render(explained: Explained, a: Path, b: Path, targets: Targets) -> dict[Path, np.ndarray]:
    """What is to be written, by path."""
    fused = np.asarray(explained.fused)
    results = {targets.output: fused}
    if targets.explain is not None:
        results[targets.explain] = share_map(explained.share)
    if targets.sheet is not None:
        results[targets.sheet] = side_by_side({"a": read_image(a), "b": read_image(b), "fused": fused})
    return results


def _check_apart(targets: Targets, sources: tuple[Path, Path]) -> None:
    """Refuse a result that is a source or another result: nothing that is wanted may be lost."""
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
