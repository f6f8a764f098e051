"""The detection study: the same detector on both sources and on every fused image, compared with labels.

What was found is kept in the store under a checksum of the image, of the detector and of the code, so that a change
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

from refinefuse.benchmark.config import DetectionEntry, ImageDataset, LabelEntry, MethodEntry, PathVariables
from refinefuse.benchmark.grids import Shown, to_display
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.methods import Method, fuse_checked
from refinefuse.benchmark.result_store import ResultStore
from refinefuse.benchmark.runner import Results, in_processes
from refinefuse.benchmark.sources import find_methods
from refinefuse.data.pairs import Pair
from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.detectors import locate_detector, merge_classes, open_detector
from refinefuse.detection.evaluation import DRAWS, DetectionMetrics, evaluate_detections
from refinefuse.detection.labels import Labels, Size
from refinefuse.detection.predictions import read_predictions
from refinefuse.errors import ConfigError, PairingError, RefineFuseError
from refinefuse.image.color import to_rgb8, with_source_color
from refinefuse.image.files import read_image
from refinefuse.image.pixels import Pixels
from refinefuse.progress import progress_bar

SOURCES = ("infrared", "visible")
"""What the rows of `a` and `b` are called."""
ALL = "all"
_CODE = tuple(
    f"refinefuse.{name}"
    for name in (
        "detection.yolox", "detection.heads", "detection.onnx_detector", "detection.suppression",
        "detection.transformer", "image.color",
    )
)  # fmt: skip


def seen_by(source: str, variables: PathVariables) -> Callable[[Pixels, Pixels], Shown]:
    """What a detector sees of a pair: `infrared` or `visible` as it is, or fused by a method that can be run.

    Args:
        source: one of the two words, or a source as in a config.
        variables: where its paths begin.

    Raises:
        RefineFuseError: there is no such method, several are meant, or it cannot be run.
    """
    if source in SOURCES:
        return lambda a, b: to_rgb8(a if source == SOURCES[0] else b)
    methods = find_methods([MethodEntry(source)], variables, [])
    if len(methods) > 1 or not methods[0].runs:
        found = ", ".join(method.name for method in methods)
        raise ConfigError(f"The method must be one, and one that can be run.\n  got: {source} ({found})")
    return lambda a, b: with_source_color(fuse_checked(methods[0], a, b), b)


class DetectionRow(NamedTuple):
    """One row of a table on one set: whose images, with their color or without."""

    row: str
    dataset: str
    gray: bool


@dataclass(frozen=True)
class DetectionJob:
    """What one step is to do: one image, as it is looked at, and the detector.

    Attributes:
        where: the row that it belongs to.
        name: the name of the pair.
        image: the file.
        color: the file whose color a gray one gets.
        detector: the detector's file or folder.
    """

    where: DetectionRow
    name: str
    image: Path
    color: Path
    detector: Path

    def pixels(self) -> Shown:
        """What the detector sees."""
        rgb = to_display(self.image, self.color)
        return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, -1) if self.where.gray else rgb


@dataclass
class LabelComparison:
    """One table: what was found, against one set of labels.

    Attributes:
        entry: the labels.
        labels: by image.
        rows: the sources and the methods that have all labeled images.
        agreements: by row, with color and without, and by group; `all` is the whole set.
        remarks: what is missing.
    """

    entry: LabelEntry
    labels: Mapping[str, Boxes]
    rows: list[str] = field(default_factory=list)
    agreements: dict[tuple[str, bool, str], DetectionMetrics] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Study:
    """What a study gives.

    Attributes:
        found: the boxes by row and image.
        comparisons: one for each entry of labels.
        looked: how many images were looked at now.
        cached: how many were in the result store already.
        failures: what went wrong.
    """

    found: dict[DetectionRow, dict[str, Boxes]] = field(default_factory=dict)
    comparisons: list[LabelComparison] = field(default_factory=list)
    looked: int = 0
    cached: int = 0
    failures: list[str] = field(default_factory=list)


def run_study(
    entry: DetectionEntry,
    variables: PathVariables,
    methods: Sequence[Method],
    sets: Sequence[ImageDataset],
    results: Results,
    output: Path,
    num_workers: int,
    progress: bool | None,
) -> Study:
    """DetectionJob at all images that were not looked at yet, and compare.

    Args:
        entry: the study.
        variables: where the config's paths begin.
        methods: whose fused images.
        sets: the datasets.
        results: what was fused.
        output: the folder of the results, with the store.
        num_workers: how many processes.
        progress: show a progress bar on standard error; None on a terminal only.

    Raises:
        RefineFuseError: the detector or the labels cannot be used, or an extra is missing.
    """
    study = Study()
    labeled = {one.dataset for one in entry.labels}
    sets = [images for images in sets if images.name in labeled]
    labels = [_read_labels(one, variables, sets) for one in entry.labels]  # before the long work
    if entry.detector.endswith(".json"):
        _read_found(study, entry, variables, methods, sets)
    else:
        _look(study, entry, variables, _images(methods, sets, results), output, num_workers, progress)
    for one, boxes in zip(entry.labels, labels, strict=True):
        study.comparisons.append(_compare(study, entry, one, boxes))
    return study


def _read_labels(entry: LabelEntry, variables: PathVariables, sets: Sequence[ImageDataset]) -> dict[str, Boxes]:
    images = next(one for one in sets if one.name == entry.dataset)
    sizes = {pair.name: Size(*read_image(pair.b).shape[:2]) for pair in images.pairs}
    path = variables.data_root / variables.fill(entry.path, entry.dataset)
    return Labels(entry.format, path, entry.meanings()).read(sizes)


def _images(
    methods: Sequence[Method], sets: Sequence[ImageDataset], results: Results
) -> Iterator[tuple[str, str, Pair, Path, Path]]:
    """Row, set and pair of everything that is looked at, its file, and the file that gives its color."""
    taken = [method.name for method in methods if method.name in SOURCES]
    if taken:
        raise ConfigError(f"A study calls the sources {' and '.join(SOURCES)}: give the method '{taken[0]}' a `name`.")
    for images in sets:
        for pair in images.pairs:
            yield SOURCES[0], images.name, pair, pair.a, pair.a
            yield SOURCES[1], images.name, pair, pair.b, pair.b
            for method in methods:
                path = results.images.get((method.name, images.name, pair.name))
                if path is not None:
                    yield method.name, images.name, pair, path, pair.b


def _look(
    study: Study,
    entry: DetectionEntry,
    variables: PathVariables,
    images: Iterator[tuple[str, str, Pair, Path, Path]],
    output: Path,
    num_workers: int,
    progress: bool | None,
) -> None:
    detector = locate_detector(variables.fill(entry.detector))
    open_detector(detector)  # a detector that cannot be used is refused before the long work
    identity = _identity(detector)
    looks = [
        DetectionJob(DetectionRow(row, dataset, gray), pair.name, path, color, detector)
        for row, dataset, pair, path, color in images
        for gray in ((False, True) if entry.gray else (False,))
    ]
    keys = [checksum(*map(file_checksum, (look.image, look.color)), str(look.where.gray), identity) for look in looks]
    key_of = dict(zip(looks, keys, strict=True))
    store = ResultStore(output / "results.jsonl")
    try:
        todo = list({key: look for look, key in key_of.items() if store.boxes(key) is None}.values())
        study.looked, study.cached = len(todo), len(looks) - len(todo)
        steps = _collect(study, todo, key_of, store, num_workers)
        for _ in progress_bar("detecting", steps, total=len(todo), show=progress):
            pass
        for look, key in key_of.items():
            rows = store.boxes(key)
            if rows is not None:
                boxes = merge_classes(_unpacked(rows), entry.class_aliases).select_classes(entry.classes)
                study.found.setdefault(look.where, {})[look.name] = boxes
    finally:
        store.close()


def _identity(detector: Path) -> str:
    """A checksum over what decides what a detector finds."""
    files = sorted(p for p in detector.iterdir() if p.suffix in (".json", ".safetensors")) if detector.is_dir() else []
    beside = [detector, *(detector.with_suffix(suffix) for suffix in (".txt", ".yaml"))] if not files else []
    return checksum(*(file_checksum(p) for p in (*files, *beside) if p.is_file()), code_checksum(*_CODE))


def _collect(
    study: Study, todo: Sequence[DetectionJob], key_of: Mapping[DetectionJob, str], store: ResultStore, num_workers: int
) -> Iterator[None]:
    for look, found in in_processes(look_at, todo, num_workers):
        if isinstance(found, str):
            study.failures.append(f"{look.where.row}, {look.where.dataset}, {look.name}: {found}")
        else:
            store.add_boxes(key_of[look], found)
        yield


def look_at(look: DetectionJob) -> list[list[Any]] | str:
    """What the detector finds in one image, packed for the store, or what went wrong."""
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
    study: Study,
    entry: DetectionEntry,
    variables: PathVariables,
    methods: Sequence[Method],
    sets: Sequence[ImageDataset],
) -> None:
    """The boxes of files, one file per row and dataset."""
    slugs = {**{name: name for name in SOURCES}, **{method.name: method.slug for method in methods}}
    for images in sets:
        names = [pair.name for pair in images.pairs]
        for row, slug in slugs.items():
            path = Path(variables.fill(entry.detector, images.name).replace("{method}", slug))
            if path.is_file():
                found = read_predictions(path, names)
                study.found[DetectionRow(row, images.name, gray=False)] = {
                    name: merge_classes(boxes, entry.class_aliases).select_classes(entry.classes)
                    for name, boxes in found.items()
                }
                study.cached += len(names)
    if not study.found:
        raise PairingError(
            f"There are no boxes '{entry.detector}' for any of the rows:\n  {', '.join(slugs.values())}\n"
            "Put {dataset} and {method} into the path, and name the files so."
        )


def _compare(study: Study, entry: DetectionEntry, labeled: LabelEntry, labels: Mapping[str, Boxes]) -> LabelComparison:
    done = LabelComparison(labeled, labels)
    here = [where for where in study.found if where.dataset == labeled.dataset]
    for where in here:
        found = study.found[where]
        missing = [name for name in labels if name not in found]
        if missing:
            done.remarks.append(f"{where.row} lacks {len(missing)} of {len(labels)} labeled images: not compared.")
            continue
        if where.row not in done.rows:
            done.rows.append(where.row)
        for group, pattern in {ALL: "*", **entry.subsets}.items():
            chosen = {name: boxes for name, boxes in labels.items() if fnmatchcase(name, pattern)}
            if chosen:
                done.agreements[where.row, where.gray, group] = evaluate_detections(
                    chosen, found, entry.classes, 0 if where.gray else DRAWS
                )
    return done
