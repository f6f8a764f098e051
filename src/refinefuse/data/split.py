"""Split pairs into training, validation and test so that near-duplicates stay in one split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from refinefuse.atomic import write_text_atomic
from refinefuse.data.near_duplicates import SCENE_THRESHOLD, Thumbnail, cluster_near_duplicates
from refinefuse.errors import ConfigError, InputError


def scenes(names: Sequence[str], thumbnails: Sequence[Sequence[Thumbnail]], pattern: str = "") -> list[str]:
    """Assign a scene to each pair: the match of a pattern in its name, or the first similar pair.

    Args:
        names: names of the pairs.
        thumbnails: thumbnails of both images of each pair; not needed with a pattern.
        pattern: a regular expression; its first group, or the whole match, is the scene. A name without a match is its
            own scene.

    Raises:
        ConfigError: if the pattern is not a regular expression.
    """
    if pattern:
        try:
            found = [re.search(pattern, name) for name in names]
        except re.error as error:
            raise ConfigError(f"`scene_regex` must be a regular expression.\n  got: {pattern!r} ({error})") from None
        return [(match[1] if match.re.groups else match[0]) if match else name
                for name, match in zip(names, found, strict=True)]  # fmt: skip
    by_image = cluster_near_duplicates([small for pair in thumbnails for small in pair], SCENE_THRESHOLD)
    owner = [index for index, pair in enumerate(thumbnails) for _ in pair]
    return [names[root] for root in _joined(len(names), owner, by_image)]


def _joined(count: int, owner: Sequence[int], group: Sequence[int]) -> list[int]:
    """Merge pairs that share a group through either image."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    first: dict[int, int] = {}
    for index, key in zip(owner, group, strict=True):
        one, other = sorted((find(first.setdefault(key, index)), find(index)))
        root[other] = one
    return [find(i) for i in range(count)]


def split_by_scene(scene_by_name: Mapping[str, str], fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Split names by scene: in random order, each scene goes to the split that is furthest below its fraction.

    Args:
        scene_by_name: the scene of each pair.
        fractions: fraction of the pairs per split; they sum to 1. Splits of 0 stay empty.
        seed: seed of the order.

    Raises:
        ConfigError: if the fractions are negative or do not sum to 1.
        InputError: if there are fewer scenes than splits.
    """
    if min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(f"The fractions must be 0 or more and sum to 1.\n  got: {dict(fractions)}")
    members: dict[str, list[str]] = {}
    for name, scene in scene_by_name.items():
        members.setdefault(scene, []).append(name)
    wanted = [part for part, fraction in fractions.items() if fraction > 0]
    if len(members) < len(wanted):
        raise InputError(
            f"There are fewer scenes than splits.\n  splits: {', '.join(wanted)}\n  scenes: {len(members)}\n"
            "Near-duplicates count as one scene and stay in one split. Add images, or make fewer splits."
        )
    parts: dict[str, list[str]] = {part: [] for part in fractions}
    keys = sorted(members)
    order = [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))]
    for left, scene in zip(range(len(order), 0, -1), order, strict=True):
        empty = [part for part in wanted if not parts[part]]
        among = empty if left <= len(empty) else wanted
        part = max(among, key=lambda p: fractions[p] * len(scene_by_name) - len(parts[p]))
        parts[part] += members[scene]
    position = {name: index for index, name in enumerate(scene_by_name)}
    return {part: sorted(names, key=position.__getitem__) for part, names in parts.items()}


def write_lists(parts: Mapping[str, Sequence[str]], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write one file per split (`train.txt`, ...), with one name per line.

    Raises:
        InputError: if a file exists and `overwrite` is not set, or a file cannot be written.
    """
    paths = {folder / f"{part}.txt": names for part, names in parts.items() if names}
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise InputError(f"'{there[0]}' already exists.\nUse `overwrite` to replace it, or choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the folder '{folder}': {error.strerror}.") from error
    for path, names in paths.items():
        write_text_atomic(path, "".join(f"{name}\n" for name in names))
    return list(paths)


def read_list(path: Path) -> list[str]:
    """The names in a list, one per line; empty lines are skipped.

    Raises:
        InputError: if it is missing, empty or not text.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the list '{path}': {getattr(error, 'strerror', 'it is not text')}.") from error
    if not names:
        raise InputError(f"The list '{path}' is empty.\n  expected: names of pairs, one per line, without extension")
    return names
