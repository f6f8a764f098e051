"""The detection study: the same detector on both sources and on every fused picture, compared with labels.

What was found is kept in the ledger under a checksum of the picture, of the detector and of the code, so that a change
touches what depends on it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from refinefuse.benchmark.grids import Shown, shown
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.ledger import Ledger
from refinefuse.benchmark.methods import Method, fuse_checked
from refinefuse.benchmark.plan import DetectionEntry, LabelEntry, MethodEntry, PictureSet, Places
from refinefuse.benchmark.runner import Progress, Results, in_processes
from refinefuse.benchmark.sources import find_methods
from refinefuse.data.pairs import Pair
from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.detectors import locate_detector, open_detector, renamed
from refinefuse.detection.evaluation import DRAWS, Agreement, agreement
from refinefuse.detection.labels import Labels, Size
from refinefuse.detection.predictions import read_predictions
from refinefuse.errors import ConfigError, PairingError, RefineFuseError
from refinefuse.image.color import as_rgb, as_seen
from refinefuse.image.files import read_image
from refinefuse.image.pixels import Pixels

SOURCES = ("infrared", "visible")
"""What the rows of `a` and `b` are called."""
ALL = "all"
_CODE = ("refinefuse.detection.yolox", "refinefuse.detection.transformer", "refinefuse.image.color")


def seen_by(source: str, places: Places) -> Callable[[Pixels, Pixels], Shown]:
    """What a detector sees of a pair: `infrared` or `visible` as it is, or fused by a method that can be run.

    Args:
        source: one of the two words, or a source as in a plan.
        places: where its paths begin.

    Raises:
        RefineFuseError: there is no such method, several are meant, or it cannot be run.
    """
    if source in SOURCES:
        return lambda a, b: as_rgb(a if source == SOURCES[0] else b)
    methods = find_methods([MethodEntry(source)], places, [])
    if len(methods) > 1 or not methods[0].runs:
        found = ", ".join(method.name for method in methods)
        raise ConfigError(f"The method must be one, and one that can be run.\n  got: {source} ({found})")
    return lambda a, b: as_seen(fuse_checked(methods[0], a, b), b)


class Where(NamedTuple):
    """One row of a table on one set: whose pictures, with their colour or without."""

    row: str
    set: str
    gray: bool


@dataclass(frozen=True)
class Look:
    """What one step is to do: one picture, as it is looked at, and the detector.

    Attributes:
        where: the row that it belongs to.
        name: the name of the pair.
        picture: the file.
        color: the file whose colour a grey one gets.
        detector: the detector's file or folder.
    """

    where: Where
    name: str
    picture: Path
    color: Path
    detector: Path

    def pixels(self) -> Shown:
        """What the detector sees."""
        rgb = shown(self.picture, self.color)
        return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, -1) if self.where.gray else rgb


@dataclass
class Comparison:
    """One table's worth: what was found, against one set of labels.

    Attributes:
        entry: the labels.
        labels: by picture.
        rows: the sources and the methods that have all labelled pictures.
        agreements: by row, with colour and without, and by group; `all` is the whole set.
        remarks: what is missing.
    """

    entry: LabelEntry
    labels: Mapping[str, Boxes]
    rows: list[str] = field(default_factory=list)
    agreements: dict[tuple[str, bool, str], Agreement] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Study:
    """What a study gives.

    Attributes:
        found: the boxes by row and picture.
        comparisons: one for each entry of labels.
        looked: how many pictures were looked at now.
        kept: how many had been looked at already.
        failures: what went wrong.
    """

    found: dict[Where, dict[str, Boxes]] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    looked: int = 0
    kept: int = 0
    failures: list[str] = field(default_factory=list)


def run_study(
    entry: DetectionEntry,
    places: Places,
    methods: Sequence[Method],
    sets: Sequence[PictureSet],
    results: Results,
    output: Path,
    jobs: int,
    progress: Progress,
) -> Study:
    """Look at all pictures that were not looked at yet, and compare.

    Args:
        entry: the study.
        places: where the plan's paths begin.
        methods: whose fused pictures.
        sets: the data sets.
        results: what was fused.
        output: the folder of the results, with the ledger.
        jobs: how many processes.
        progress: wraps the steps, given their number.

    Raises:
        RefineFuseError: the detector or the labels cannot be used, or an extra is missing.
    """
    study = Study()
    labelled = {one.set for one in entry.labels}
    sets = [pictures for pictures in sets if pictures.name in labelled]
    labels = [_read_labels(one, places, sets) for one in entry.labels]  # before the long work
    if entry.detector.endswith(".json"):
        _read_found(study, entry, places, methods, sets)
    else:
        _look(study, entry, places, _pictures(methods, sets, results), output, jobs, progress)
    for one, boxes in zip(entry.labels, labels, strict=True):
        study.comparisons.append(_compare(study, entry, one, boxes))
    return study


def _read_labels(entry: LabelEntry, places: Places, sets: Sequence[PictureSet]) -> dict[str, Boxes]:
    pictures = next(one for one in sets if one.name == entry.set)
    sizes = {pair.name: Size(*read_image(pair.b).shape[:2]) for pair in pictures.pairs}
    path = places.data / places.fill(entry.path, entry.set)
    return Labels(entry.form, path, entry.meanings()).read(sizes)


def _pictures(
    methods: Sequence[Method], sets: Sequence[PictureSet], results: Results
) -> Iterator[tuple[str, str, Pair, Path, Path]]:
    """Row, set and pair of everything that is looked at, its file, and the file that gives its colour."""
    taken = [method.name for method in methods if method.name in SOURCES]
    if taken:
        raise ConfigError(f"A study calls the sources {' and '.join(SOURCES)}: give the method '{taken[0]}' a `name`.")
    for pictures in sets:
        for pair in pictures.pairs:
            yield SOURCES[0], pictures.name, pair, pair.a, pair.a
            yield SOURCES[1], pictures.name, pair, pair.b, pair.b
            for method in methods:
                path = results.pictures.get((method.name, pictures.name, pair.name))
                if path is not None:
                    yield method.name, pictures.name, pair, path, pair.b


def _look(
    study: Study,
    entry: DetectionEntry,
    places: Places,
    pictures: Iterator[tuple[str, str, Pair, Path, Path]],
    output: Path,
    jobs: int,
    progress: Progress,
) -> None:
    detector = locate_detector(places.fill(entry.detector))
    open_detector(detector)  # a detector that cannot be used is refused before the long work
    identity = _identity(detector)
    looks = [
        Look(Where(row, set_name, gray), pair.name, path, color, detector)
        for row, set_name, pair, path, color in pictures
        for gray in ((False, True) if entry.gray else (False,))
    ]
    keys = [checksum(*map(file_checksum, (look.picture, look.color)), str(look.where.gray), identity) for look in looks]
    key_of = dict(zip(looks, keys, strict=True))
    ledger = Ledger(output / "ledger.jsonl")
    try:
        todo = list({key: look for look, key in key_of.items() if ledger.boxes(key) is None}.values())
        study.looked, study.kept = len(todo), len(looks) - len(todo)
        for _ in progress(_collect(study, todo, key_of, ledger, jobs), len(todo)):
            pass
        for look, key in key_of.items():
            rows = ledger.boxes(key)
            if rows is not None:
                boxes = renamed(_unpacked(rows), entry.same).of(entry.classes)
                study.found.setdefault(look.where, {})[look.name] = boxes
    finally:
        ledger.close()


def _identity(detector: Path) -> str:
    """A checksum over what decides what a detector finds."""
    files = sorted(p for p in detector.iterdir() if p.suffix in (".json", ".safetensors")) if detector.is_dir() else []
    beside = [detector, detector.with_suffix(".txt")] if not files else []
    return checksum(*(file_checksum(p) for p in (*files, *beside) if p.is_file()), code_checksum(*_CODE))


def _collect(
    study: Study, todo: Sequence[Look], key_of: Mapping[Look, str], ledger: Ledger, jobs: int
) -> Iterator[None]:
    for look, found in in_processes(look_at, todo, jobs):
        if isinstance(found, str):
            study.failures.append(f"{look.where.row}, {look.where.set}, {look.name}: {found}")
        else:
            ledger.add_boxes(key_of[look], found)
        yield


def look_at(look: Look) -> list[list[Any]] | str:
    """What the detector finds in one picture, packed for the ledger, or what went wrong."""
    try:
        return _packed(open_detector(look.detector)(look.pixels()))
    except RefineFuseError as error:
        return str(error)


def _packed(boxes: Boxes) -> list[list[Any]]:
    return [
        [name, round(float(score), 5), *(round(float(edge), 2) for edge in corners)]
        for name, score, corners in zip(boxes.classes, boxes.scores, boxes.corners, strict=True)
    ]


def _unpacked(rows: Sequence[Sequence[Any]]) -> Boxes:
    return make_boxes([row[2:] for row in rows], [row[0] for row in rows], [row[1] for row in rows])


def _read_found(
    study: Study, entry: DetectionEntry, places: Places, methods: Sequence[Method], sets: Sequence[PictureSet]
) -> None:
    """The boxes of files: one a row and set."""
    slugs = {**{name: name for name in SOURCES}, **{method.name: method.slug for method in methods}}
    for pictures in sets:
        names = [pair.name for pair in pictures.pairs]
        for row, slug in slugs.items():
            path = Path(places.fill(entry.detector, pictures.name).replace("{method}", slug))
            if path.is_file():
                found = read_predictions(path, names)
                study.found[Where(row, pictures.name, gray=False)] = {
                    name: renamed(boxes, entry.same).of(entry.classes) for name, boxes in found.items()
                }
                study.kept += len(names)
    if not study.found:
        raise PairingError(
            f"There are no boxes '{entry.detector}' for any of the rows:\n  {', '.join(slugs.values())}\n"
            "Put {set} and {method} into the path, and name the files so."
        )


def _compare(study: Study, entry: DetectionEntry, labelled: LabelEntry, labels: Mapping[str, Boxes]) -> Comparison:
    done = Comparison(labelled, labels)
    here = [where for where in study.found if where.set == labelled.set]
    for where in here:
        found = study.found[where]
        missing = [name for name in labels if name not in found]
        if missing:
            done.remarks.append(f"{where.row} lacks {len(missing)} of {len(labels)} labelled pictures: not compared.")
            continue
        if where.row not in done.rows:
            done.rows.append(where.row)
        for group, pattern in {ALL: "*", **entry.groups}.items():
            chosen = {name: boxes for name, boxes in labels.items() if fnmatchcase(name, pattern)}
            if chosen:
                done.agreements[where.row, where.gray, group] = agreement(
                    chosen, found, entry.classes, 0 if where.gray else DRAWS
                )
    return done
