"""Locate catalog datasets on disk, and assign their pairs to splits."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

from refinefuse.data.catalog import DatasetInfo, Folders
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import ConfigError, InputError, PairingError, format_names
from refinefuse.paths import as_path


def training_root(given: Path | None) -> Path:
    """The root folder of a recipe's datasets: the given one, or REFINEFUSE_DATA.

    Raises:
        InputError: if it is not a folder, or neither is set.
    """
    root = given or os.environ.get("REFINEFUSE_DATA")
    if not root or not as_path(root).is_dir():
        got = f"'{root}', which is not a folder" if root else "nothing"
        raise InputError(
            f"Training needs the root folder of the datasets.\n  got: {got}\nSet `data_root` or REFINEFUSE_DATA."
        )
    return Path(root)


def benchmark_root(given: Path | None) -> Path:
    """The root folder of a config's datasets: the given one, REFINEFUSE_DATA, or the current folder.

    Raises:
        InputError: if it is not a folder.
    """
    root = given or Path(os.environ.get("REFINEFUSE_DATA") or ".")
    if not as_path(root).is_dir():
        raise InputError(
            f"The root folder of the datasets does not exist: '{root}'.\nSet `data_root` or REFINEFUSE_DATA."
        )
    return root


def dataset_root(row: DatasetInfo, root: Path) -> Path | None:
    """The dataset's folder: below `root`, or `root` itself; None if it does not exist."""
    below = [root / folder for folder in row.roots if (root / folder).is_dir()]
    itself = [root for folder in row.roots if root.resolve().parts[-len(Path(folder).parts) :] == Path(folder).parts]
    roots = [*below, *itself]
    return next((folder for folder in roots if present(row, folder)), roots[0] if roots else None)


def present(row: DatasetInfo, folder: Path) -> list[tuple[Folders, Path, Path]]:
    """The pairs of folders of a dataset of which at least one folder exists.

    For patterns, `a` takes every match, and `b` the corresponding path.
    """
    found = []
    for folders in row.folders:
        if "*" not in folders.a:
            a, b = folder / folders.a, folder / folders.b
            found += [(folders, a, b)] if a.is_dir() or b.is_dir() else []
            continue
        parents = {path.parent for side in (folders.a, folders.b) for path in folder.glob(side) if path.is_dir()}
        ends = Path(folders.a).name, Path(folders.b).name
        found += [(folders, parent / ends[0], parent / ends[1]) for parent in sorted(parents)]
    return found


def prefix_of(folders: Folders, a: Path, folder: Path) -> str:
    """Prefix that keeps names unique if a dataset has several folders."""
    return f"{a.parent.relative_to(folder).as_posix()}/" if "*" in folders.a else ""


def in_split(row: DatasetInfo, split: str, name: str, folder_split: str) -> bool:
    """Whether a pair belongs to a split: by the list if there is one, else by its folder."""
    patterns = row.lists.get(split)
    if patterns is not None:
        return any(fnmatchcase(name, pattern) for pattern in patterns)
    return folder_split == split


def pairs_of(row: DatasetInfo, root: Path, split: str) -> list[Pair]:
    """The existing pairs of one split, in order.

    Raises:
        PairingError: if the dataset's folder does not exist, or contains no pair of the split.
        ConfigError: if the dataset has no such split.
    """
    if split not in row.splits:
        raise ConfigError(
            f"The dataset '{row.name}' has no split '{split}'.\n  expected: {', '.join(row.splits) or 'none'}\n"
            "Create one with `refinefuse data split`, and set `split_dir` in the recipe to its folder."
        )
    folder = dataset_root(row, root)
    if folder is None or not present(row, folder):
        raise PairingError(
            f"Cannot find the dataset '{row.name}' in '{root}'.\nExpected one of these folders:\n"
            f"{format_names(expected_folders(row))}\nGet it from {row.source}."
        )
    pairs: dict[str, Pair] = {}
    for folders, a, b in present(row, folder):
        prefix = prefix_of(folders, a, folder)
        for pair in pair_folders(a, b).pairs:
            name = prefix + pair.name
            if in_split(row, split, name, folders.split):
                pairs.setdefault(name, Pair(name, pair.a, pair.b))
    if not pairs:
        raise PairingError(f"'{folder}' contains no pairs of the split '{split}' of {row.name}.")
    return list(pairs.values())


def expected_folders(row: DatasetInfo) -> list[str]:
    """Possible folders of the dataset, for a message."""
    return [f"{folder}/{folders.a} and {folders.b}" for folder in row.roots[:1] for folders in row.folders]


def scene_of(row: DatasetInfo, name: str) -> str:
    """The scene of a name; empty if names do not identify scenes."""
    found = re.search(row.scene, name) if row.scene else None
    return found[1] if found else ""
