"""Files in, files out: one pair, or all pairs of two folders."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError, RefineFuseError
from refinefuse.image.files import check_target, read_image, write_image
from refinefuse.inference.fuser import Fuser
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

    def inside(self, name: str) -> Targets:
        """The files of one pair of a folder run."""
        return Targets(
            self.output / f"{name}.png",
            self.explain and self.explain / f"{name}.png",
            self.sheet and self.sheet / f"{name}.png",
        )


@dataclass(frozen=True)
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


def fuse_files(fuser: Fuser, a: Path, b: Path, targets: Targets) -> None:
    """Fuse one pair of files and write what is wanted, replacing what is there.

    Raises:
        InputError: if a source cannot be used (nothing is written then) or a result cannot be written.
    """
    explained = fuser.explain(a, b)
    fused = np.asarray(explained.fused)
    write_image(targets.output, fused, overwrite=True)
    if targets.explain is not None:
        write_image(targets.explain, share_map(explained.share), overwrite=True)
    if targets.sheet is not None:
        sheet = side_by_side({"a": read_image(a), "b": read_image(b), "fused": fused})
        write_image(targets.sheet, sheet, overwrite=True)


def check_targets(targets: Targets, sources: tuple[Path, Path], *, overwrite: bool) -> None:
    """Refuse results that could not be written, or would replace a source, before anything is fused.

    Raises:
        InputError: saying which, and why.
    """
    wanted = targets.wanted()
    for index, path in enumerate(wanted):
        check_target(path, overwrite=overwrite)
        if any(source.exists() and path.exists() and path.samefile(source) for source in sources):
            raise InputError(
                f"'{path}' is one of the sources.\nGive the result another name: sources are never replaced."
            )
        if path in wanted[:index]:
            raise InputError(f"'{path}' is named for two results.\nGive each its own name.")


def fuse_folders(load: Callable[[], Fuser], a: Path, b: Path, targets: Targets, *, overwrite: bool = False) -> Outcome:
    """Fuse all pairs of two folders, go on where one fails, and show progress on standard error.

    Args:
        load: makes the fuser; called when the folders are known to hold pairs.
        a: folder of the first sources.
        b: folder of the second sources; pairs share their name without extension.
        targets: folders for the results, which are made if need be.
        overwrite: fuse pairs again whose results are all there.

    Raises:
        PairingError: if the folders hold no pair.
        InputError: if a folder for results is a source, a file, or cannot be made.
    """
    pairing = pair_folders(a, b)
    for folder in targets.wanted():
        _make_folder(folder, (a, b))
    fuser = load()
    outcome = Outcome(
        [], [], {}, [*(str(a / name) for name in pairing.only_a), *(str(b / name) for name in pairing.only_b)]
    )
    bar = tqdm(pairing.pairs, "fusing", unit="pair", file=sys.stderr)
    for pair in bar:
        files = targets.inside(pair.name)
        if not overwrite and all(path.exists() for path in files.wanted()):
            outcome.skipped.append(pair.name)
            continue
        try:
            fuse_files(fuser, pair.a, pair.b, files)
        except RefineFuseError as error:
            outcome.failed[pair.name] = str(error)
        else:
            outcome.fused.append(pair.name)
    return outcome


def _make_folder(folder: Path, sources: tuple[Path, Path]) -> None:
    if any(folder.exists() and folder.samefile(source) for source in sources):
        raise InputError(f"The results cannot go to '{folder}', which holds sources.\nGive another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be made: {error.strerror}.\nGive another folder.") from None
