"""Load the datasets of a recipe: every pair is decoded once, to 8-bit luma in memory or in a memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from refinefuse.atomic import replace_when_done, write_text_atomic
from refinefuse.data.catalog import find_dataset
from refinefuse.data.layout import pairs_of
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.data.split import read_list
from refinefuse.errors import InputError, PairingError, RefineFuseError, format_names
from refinefuse.image.color import to_array, to_tensor, to_ycbcr
from refinefuse.image.files import read_image
from refinefuse.training.recipe import Recipe, TrainingSet

LumaPair = tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]
HELD_OUT = 10
"""Every tenth pair is used for validation if no lists are given."""
_AT_ONCE = 64  # pairs held in memory before they are written to the mapped file


@dataclass(frozen=True)
class TrainingData:
    """Training and validation data of a run.

    Attributes:
        training: pairs of luma.
        names: file names of the training pairs, relative to the data root.
        weights: sampling weight of each training pair.
        labels: label map of each training pair, (h, w); None for unlabeled pairs.
        validation: pairs of luma.
        validation_names: file names of the validation pairs.
        skipped: unusable pairs that the recipe allows to skip, with the reason.
    """

    training: list[LumaPair] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    labels: list[UInt8[np.ndarray, "h w"] | None] = field(default_factory=list)
    validation: list[LumaPair] = field(default_factory=list)
    validation_names: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class _Members(NamedTuple):
    """The pairs of one dataset, and the names of unpaired or missing images."""

    training: list[Pair]
    validation: list[Pair]
    absent: dict[str, str]


def load_datasets(recipe: Recipe, root: Path, cache: Path | None = None) -> TrainingData:
    """Decode the datasets of a recipe.

    Args:
        recipe: the recipe; `datasets`, `crop_size` and `on_bad_pair` are used.
        root: root folder of the datasets.
        cache: folder for a memory-mapped file of decoded images; None keeps them in memory.

    Raises:
        InputError: if a pair cannot be read, differs in size or is smaller than a crop, and `on_bad_pair` is `stop`.
        PairingError: if a folder is missing or empty, a dataset has no usable pair, or an image is unpaired and
            `on_bad_pair` is `stop`.
    """
    members = [_members(part, root) for part in recipe.datasets]
    absent = {label: why for one in members for label, why in one.absent.items()}
    if absent and recipe.on_bad_pair == "stop":
        raise PairingError(
            f"{len(absent)} training images or listed names do not belong to a pair:\n"
            f"{_reasons(absent)}\nAdd the missing images, or set `on_bad_pair: skip` in the recipe."
        )
    pairs = [pair for one in members for pair in (*one.training, *one.validation)]
    decoded = dict(zip(pairs, _decode(pairs, cache), strict=True))
    data = TrainingData(skipped=absent)
    bad: dict[str, str] = {}
    used = [
        _add(data, bad, part, one, decoded, recipe.crop_size, root)
        for part, one in zip(recipe.datasets, members, strict=True)
    ]
    if bad and recipe.on_bad_pair == "stop":
        raise InputError(
            f"{len(bad)} training pairs cannot be used:\n{_reasons(bad)}\n"
            "Remove or replace them, or set `on_bad_pair: skip` in the recipe."
        )
    data.skipped.update(bad)
    unlabeled = [part.title for part in recipe.datasets if part.labels and not (root / part.labels).is_dir()]
    if unlabeled:
        raise PairingError(f"The label map folder of {' and '.join(unlabeled)} is missing in '{root}'.")
    empty = [part.title for part, count in zip(recipe.datasets, used, strict=True) if not count]
    if empty:
        raise PairingError(f"No pair of {' and '.join(empty)} can be used for training.\nSkipped:\n{_reasons(bad)}")
    return data


def _add(
    data: TrainingData,
    bad: dict[str, str],
    part: TrainingSet,
    members: _Members,
    decoded: dict[Pair, LumaPair | str],
    crop: int,
    root: Path,
) -> int:
    """Add the usable pairs of one dataset to the data, and the others with their reasons to `bad`."""
    first = len(data.training)
    for pair in members.training:
        planes = decoded[pair]
        if isinstance(planes, str) or (reason := _too_small(planes, crop)):
            bad[_label(root, pair)] = planes if isinstance(planes, str) else reason
            continue
        labels = _labels(root / part.labels / f"{pair.name}.png", planes[0].shape) if part.labels else None
        if isinstance(labels, str):
            bad[_label(root, pair)] = labels
            continue
        data.training.append(planes)
        data.names.append(_label(root, pair))
        data.labels.append(labels)
    count = len(data.training) - first
    data.weights.extend([part.weight / count] * count if count else [])
    for pair in members.validation:
        planes = decoded[pair]
        if isinstance(planes, str):
            bad[_label(root, pair)] = planes
        else:
            data.validation.append(planes)
            data.validation_names.append(_label(root, pair))
    return count


def _members(part: TrainingSet, root: Path) -> _Members:
    if part.name:
        row = find_dataset(part.name)
        training = pairs_of(row, root, "train")
        lists = {split: [name for name in row.lists.get(split, []) if not set("*?[") & set(name)]
                 for split in ("train", "val")}  # fmt: skip
        if "val" not in row.splits:
            return _Members(*_every_tenth(training), _not_there(lists["train"], training, row.name))
        validation = pairs_of(row, root, "val")
        absent = {**_not_there(lists["train"], training, row.name), **_not_there(lists["val"], validation, row.name)}
        return _Members(training, validation, absent)
    a, b = root / part.a, root / part.b
    pairing = pair_folders(a, b)
    if not part.split_dir:
        alone = [*(f"{part.a}/{name}" for name in pairing.only_a), *(f"{part.b}/{name}" for name in pairing.only_b)]
        return _Members(*_every_tenth(list(pairing.pairs)), dict.fromkeys(alone, "unpaired"))
    by_name = {pair.name: pair for pair in pairing.pairs}
    names = {"train": read_list(root / part.split_dir / "train.txt"), "val": []}
    if (root / part.split_dir / "val.txt").is_file():
        names["val"] = read_list(root / part.split_dir / "val.txt")
    both = set(names["train"]) & set(names["val"])
    if both:
        raise InputError(
            f"The training and validation lists in '{root / part.split_dir}' share pairs:\n{format_names(sorted(both))}"
        )
    chosen = {key: [by_name[name] for name in listed if name in by_name] for key, listed in names.items()}
    absent = _not_there([*names["train"], *names["val"]], list(pairing.pairs), part.title)
    return _Members(chosen["train"], chosen["val"], absent)


def _every_tenth(pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    if len(pairs) < HELD_OUT:
        return pairs, []
    return [pair for index, pair in enumerate(pairs) if index % HELD_OUT], pairs[::HELD_OUT]


def _not_there(names: Sequence[str], pairs: Sequence[Pair], title: str) -> dict[str, str]:
    there = {pair.name for pair in pairs}
    return {f"{title}: {name}": "missing" for name in names if name not in there}


def _label(root: Path, pair: Pair) -> str:
    return str(pair.a.relative_to(root) if pair.a.is_relative_to(root) else pair.a)


def _reasons(reasons: dict[str, str]) -> str:
    lines = [f"  '{label}': {why}" for label, why in list(reasons.items())[:5]]
    return "\n".join([*lines, *([f"  ... and {len(reasons) - 5} more"] if len(reasons) > 5 else [])])


def _too_small(planes: LumaPair, crop: int) -> str:
    height, width = planes[0].shape
    return f"{height} x {width}, smaller than the crop: {crop} x {crop}" if min(height, width) < crop else ""


def _luma(path: Path) -> UInt8[np.ndarray, "h w"]:
    pixels: np.ndarray = to_array(to_ycbcr(to_tensor(read_image(path))).luma, np.uint8)
    return pixels


def _labels(path: Path, size: tuple[int, ...]) -> UInt8[np.ndarray, "h w"] | str | None:
    """Return the label map of a pair, the reason why it does not fit, or None if there is none."""
    if not path.is_file():
        return None
    try:
        found = read_image(path)
    except RefineFuseError as error:
        return str(error).partition("\n")[0]
    if found.shape != size or found.dtype != np.uint8:
        return f"its label map is {found.dtype} of {found.shape}, the images are {size[0]} x {size[1]}"
    return found


def _read(pair: Pair) -> LumaPair | str:
    """Return the luma of a pair, or the reason why it cannot be read."""
    try:
        a, b = _luma(pair.a), _luma(pair.b)
    except RefineFuseError as error:
        return str(error).partition("\n")[0]
    if a.shape != b.shape:
        return f"a and b differ in size: {a.shape[0]} x {a.shape[1]} and {b.shape[0]} x {b.shape[1]}"
    return a, b


def _in_order(pairs: Sequence[Pair]) -> Iterator[LumaPair | str]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(pairs), _AT_ONCE):
            yield from pool.map(_read, pairs[start : start + _AT_ONCE])


def _decode(pairs: Sequence[Pair], cache: Path | None) -> list[LumaPair | str]:
    if cache is None:
        return list(_in_order(pairs))
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for p in pairs for path in (p.a, p.b)]
    key = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:32]
    pixels, index = cache / f"{key}.luma", cache / f"{key}.json"
    if not index.is_file():
        _write(pairs, pixels, index)
    mapped = np.memmap(pixels, np.uint8, "r")
    found: list[LumaPair | str] = []
    start = 0
    for entry in json.loads(index.read_text(encoding="utf-8")):
        if isinstance(entry, str):
            found.append(entry)
            continue
        size = entry[0] * entry[1]
        a, b = (mapped[at : at + size].reshape(entry) for at in (start, start + size))
        found.append((a, b))
        start += 2 * size
    return found


def _write(pairs: Sequence[Pair], pixels: Path, index: Path) -> None:
    """Write one file with the luma of all pairs and, once it is complete, one with their sizes."""
    entries: list[list[int] | str] = []
    try:
        pixels.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_done(pixels) as temporary, temporary.open("wb") as file:
            for planes in _in_order(pairs):
                entries.append(planes if isinstance(planes, str) else list(planes[0].shape))
                for plane in () if isinstance(planes, str) else planes:
                    file.write(np.ascontiguousarray(plane).data)
            file.write(b"\0")  # an empty file cannot be mapped
        write_text_atomic(index, json.dumps(entries))
    except OSError as error:
        raise InputError(f"Cannot write the decoded images to '{pixels.parent}': {error.strerror}.") from error
