"""Verify a local dataset: names, sizes, files, and leaks from training to test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from refinefuse.data.catalog import CATALOG, DatasetInfo, find_dataset
from refinefuse.data.layout import dataset_root, expected_folders, in_split, prefix_of, present, scene_of
from refinefuse.data.near_duplicates import DUPLICATE_THRESHOLD, Thumbnail, find_near_duplicates, thumbnail
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import InputError, PairingError, RefineFuseError, format_names
from refinefuse.image.files import read_image
from refinefuse.progress import progress_bar

SENSORS = "ir|vi|vis|visible|infrared|thermal|lwir|rgb|nir|ct|mri|pet|spect"


class Issue(NamedTuple):
    """A problem in a dataset.

    Attributes:
        kind: missing, misnamed, size, unreadable or leak.
        where: the folder, or the split of a dataset.
        what: description, one sentence.
        items: affected items, most important first.
    """

    kind: str
    where: str
    what: str
    items: list[str]


@dataclass(frozen=True)
class VerifyReport:
    """The result of a verification.

    Attributes:
        pairs: number of pairs by dataset and split.
        findings: the problems.
    """

    pairs: dict[str, int]
    findings: list[Issue]


@dataclass
class _Found:
    """One pair on disk, with the properties of its images."""

    row: DatasetInfo | None
    split: str
    pair: Pair
    thumbnails: list[Thumbnail] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.row.name}/{self.pair.name}" if self.row else self.pair.name


def verify_root(root: Path, name: str | None = None, progress: bool | None = False) -> VerifyReport:
    """Verify all catalog datasets below a folder, or one of them.

    Args:
        root: the folder of all datasets, or of one.
        name: verify only this dataset.
        progress: show a progress bar on standard error; None on a terminal only.

    Raises:
        InputError: if no dataset of the catalog is found.
        ConfigError: if there is no dataset of that name.
    """
    rows = [find_dataset(name)] if name else list(CATALOG.values())
    available = [(row, folder) for row in rows if (folder := dataset_root(row, root)) is not None]
    if not available:
        wanted = expected_folders(rows[0]) if name else sorted({folder for row in rows for folder in row.roots})
        raise InputError(
            f"'{root}' contains no dataset of the catalog.\n  expected one of: {', '.join(wanted)}\n"
            "For your own images, pass both folders, the second one as `b`."
        )
    findings: list[Issue] = []
    found: list[_Found] = []
    for row, folder in available:
        pairs, issues = _names(row, folder)
        found += pairs
        findings += issues
    return _report(found, findings, progress)


def verify_folders(a: Path, b: Path, progress: bool | None = False) -> VerifyReport:
    """Check two folders of pairs: files and sizes, unpaired images, and near-duplicates.

    Raises:
        PairingError: if a folder is missing or empty, or they have no name in common.
    """
    pairing = pair_folders(a, b)
    findings = _unpaired([*pairing.only_a], [*pairing.only_b], f"{a} and {b}")
    return _report([_Found(None, "", pair) for pair in pairing.pairs], findings, progress)


def all_pairs(row: DatasetInfo, root: Path) -> list[Pair]:
    """All existing pairs of a dataset, regardless of split.

    Raises:
        InputError: if the dataset is not found.
    """
    folder = dataset_root(row, root)
    found = _names(row, folder)[0] if folder else []
    if not found:
        raise InputError(
            f"'{root}' contains no pairs of {row.name}.\nExpected one of:\n{format_names(expected_folders(row))}"
        )
    return [one.pair for one in found]


def _names(row: DatasetInfo, folder: Path) -> tuple[list[_Found], list[Issue]]:
    """The pairs of a dataset by their names, without opening them."""
    layouts = present(row, folder)
    if not layouts:
        return [], [Issue("missing", str(folder), "none of its folders exists; expected one of", expected_folders(row))]
    found: dict[str, _Found] = {}
    findings: list[Issue] = []
    for folders, a, b in layouts:
        try:
            pairing = pair_folders(a, b)
        except PairingError as error:
            findings.append(Issue("missing", f"{a} and {b}", str(error).partition("\n")[0], []))
            continue
        findings += _unpaired([*pairing.only_a], [*pairing.only_b], f"{a} and {b}")
        for pair in pairing.pairs:
            name = prefix_of(folders, a, folder) + pair.name
            split = next((s for s in ("test", "val", "train") if in_split(row, s, name, folders.split)), folders.split)
            found.setdefault(name, _Found(row, split, Pair(name, pair.a, pair.b)))
    return list(found.values()), findings + _absent(row, folder, found)


def _absent(row: DatasetInfo, folder: Path, found: dict[str, _Found]) -> list[Issue]:
    findings = []
    there = {"train" if one.split == "val" else one.split for one in found.values()}
    for split in sorted(there):
        number = sum(one.split == split or (split == "train" and one.split == "val") for one in found.values())
        expected = row.pairs.get(split, number)
        if number != expected:
            kind = "missing" if number < expected else "misnamed"
            findings.append(
                Issue(kind, f"{folder}, {split}", f"{number} pairs, but its authors publish {expected}", [])
            )
    for split in ("train", "val", "test"):
        if split in row.lists and split in {one.split for one in found.values()}:
            names = [name for name in row.lists[split] if not re.search(r"[*?[]", name)]
            absent = [name for name in names if name not in found]
            if absent:
                what = f"{len(absent)} of the {len(names)} pairs known by name are missing"
                findings.append(Issue("missing", f"{folder}, {split}", what, absent))
    return findings


def _unpaired(only_a: list[str], only_b: list[str], where: str) -> list[Issue]:
    """Unpaired files, separated by whether a counterpart exists under a similar name."""
    by_key = {_key(name): name for name in only_b}
    misnamed = {name: by_key[_key(name)] for name in only_a if _key(name) in by_key}
    alone = [name for name in [*only_a, *only_b] if name not in misnamed and name not in misnamed.values()]
    findings = []
    if misnamed:
        renames = [f"{name} and {other}" for name, other in misnamed.items()]
        findings.append(Issue("misnamed", where, "images of a pair whose names differ", renames))
    if alone:
        findings.append(Issue("missing", where, "unpaired images", alone))
    return findings


def _key(name: str) -> str:
    """Normalize a name: drop extension, case, leading zeros and the sensor."""
    bare = re.sub(rf"(?<![^\W_])({SENSORS})(?![^\W_])", "", Path(name).stem.casefold())
    return re.sub(r"\d+", lambda digits: str(int(digits[0])), re.sub(r"[\W_]+", " ", bare).strip())


def _report(found: list[_Found], findings: list[Issue], progress: bool | None) -> VerifyReport:
    for one in progress_bar("reading", found, show=progress):
        _look(one, one.pair.a)
        _look(one, one.pair.b)
    counts: dict[str, int] = {}
    for one in found:
        key = f"{one.row.name} {one.split}".strip() if one.row else "pairs"
        counts[key] = counts.get(key, 0) + 1
    return VerifyReport(counts, [*findings, *_files(found), *_leaks(found)])


def _look(one: _Found, path: Path) -> None:
    try:
        pixels = read_image(path)
    except RefineFuseError as error:
        one.errors.append(str(error).partition("\n")[0])
    else:
        one.sizes.append((pixels.shape[0], pixels.shape[1]))
        one.thumbnails.append(thumbnail(pixels))


def _files(found: list[_Found]) -> Iterator[Issue]:
    errors = [error for one in found for error in one.errors]
    if errors:
        yield Issue("unreadable", "files", "files that cannot be read", errors)
    unequal = [
        f"{one.label}: {_size(one.sizes[0])} and {_size(one.sizes[1])}" for one in found if len(set(one.sizes)) > 1
    ]
    if unequal:
        yield Issue("size", "pairs", "pairs whose images differ in size", unequal)
    for row in {one.row.name: one.row for one in found if one.row and one.row.size}.values():
        other = [one for one in found if one.row is row and one.sizes and row.size not in one.sizes]
        if other and row.size:
            sizes = sorted({_size(size) for one in other for size in one.sizes})
            what = f"{len(other)} pairs are not {_size(row.size)}, the size that its authors publish, but"
            yield Issue("size", row.name, what, sizes)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _leaks(found: list[_Found]) -> Iterator[Issue]:
    """Find leaks from training to test: images by content, scenes by name."""
    tests = [one for one in found if one.split == "test"]
    trained = [one for one in found if one.split in ("train", "val")]
    rest = [one for one in found if one.row and one.split not in ("train", "val", "test")]
    own = [one for one in found if one.row is None]
    for left, right, where, what in (
        (tests, trained, "training and test", "test images that also occur in training"),
        (tests, rest, "test and the rest", "test images that also occur outside the lists: do not train on those"),
        (own, own, "pairs", "images that occur more than once: keep them in one split"),
    ):
        items = _near_duplicates(left, right)
        if items:
            yield Issue("leak", where, what, items)
    for row in {one.row.name: one.row for one in tests if one.row}.values():
        tested, seen = ({scene_of(row, one.pair.name) for one in part if one.row is row} for part in (tests, trained))
        shared = sorted((tested & seen) - {""})
        if shared:
            yield Issue("leak", row.name, "scenes with images in both training and test", shared)


def _near_duplicates(tests: list[_Found], others: list[_Found]) -> list[str]:
    """For each test pair, find the most similar other pair above the threshold."""
    left = [(one, small) for one in tests for small in one.thumbnails]
    right = [(one, small) for one in others for small in one.thumbnails]
    best: dict[str, tuple[float, str]] = {}
    for match in find_near_duplicates([small for _, small in left], [small for _, small in right], DUPLICATE_THRESHOLD):
        one, other = left[match.left][0], right[match.right][0]
        if one is not other and match.similarity > best.get(one.label, (0.0, ""))[0]:
            best[one.label] = (match.similarity, other.label)
    ranked = sorted(best.items(), key=lambda item: -item[1][0])
    return [f"{name} is like {other} ({similarity:.2f})" for name, (similarity, other) in ranked]
