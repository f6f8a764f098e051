"""Detection study: run the same detectors on both sources and every fused image and evaluate them against labels.

Detections are cached in the result store under a checksum of the image, the detector and the code, so that a change
invalidates only the results that depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from refinefuse.benchmark.config import DetectionEntry, LabelEntry, MethodEntry
from refinefuse.benchmark.detection_comparison import (
    DetectionRow,
    LabelComparison,
    compare_with_labels,
    read_found,
)
from refinefuse.benchmark.grids import Shown, to_display
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.image_datasets import ImageDataset, PathVariables
from refinefuse.benchmark.methods import Method, fuse_checked
from refinefuse.benchmark.result_store import ResultStore
from refinefuse.benchmark.runner import Results, in_processes
from refinefuse.benchmark.sources import find_methods
from refinefuse.data.pairs import Pair
from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.detectors import locate_detector, merge_classes, open_detector
from refinefuse.detection.labels import Labels, Size
from refinefuse.errors import ConfigError, InputError, RefineFuseError
from refinefuse.image.color import to_rgb8, with_source_color
from refinefuse.image.files import read_image
from refinefuse.image.pixels import Pixels
from refinefuse.progress import progress_bar

SOURCES = ("infrared", "visible")
"""Names of the rows of `a` and `b`."""
_CODE = tuple(
    f"refinefuse.{name}"
    for name in (
        "detection.yolox", "detection.heads", "detection.onnx_detector", "detection.onnx_input",
        "detection.suppression", "detection.transformer", "image.color",
    )
)  # fmt: skip


def seen_by(source: str, variables: PathVariables) -> Callable[[Pixels, Pixels], Shown]:
    """Return a function that turns a pair into a detector's input: one of the sources, or the fused image.

    Args:
        source: `infrared`, `visible`, or a method's `spec` as in a config.
        variables: values of the path variables in the spec.

    Raises:
        RefineFuseError: the method does not exist, is ambiguous, or cannot be run.
    """
    if source in SOURCES:
        return lambda a, b: to_rgb8(a if source == SOURCES[0] else b)
    methods = find_methods([MethodEntry(source)], variables, [])
    if len(methods) > 1 or not methods[0].runs:
        found = ", ".join(method.name for method in methods)
        raise ConfigError(f"The source must name exactly one runnable method.\n  got: {source} ({found})")
    return lambda a, b: with_source_color(fuse_checked(methods[0], a, b), b)


@dataclass(frozen=True)
class DetectionJob:
    """One step of the study: a detector and its input image.

    Attributes:
        where: row of the table.
        name: name of the pair.
        image: image file.
        color: file whose color is added to a gray image.
        detector: file or folder of the detector.
    """

    where: DetectionRow
    name: str
    image: Path
    color: Path
    detector: Path

    def pixels(self) -> Shown:
        """Load the detector's input."""
        rgb = to_display(self.image, self.color)
        return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, -1) if self.where.gray else rgb


@dataclass(kw_only=True)
class Looks:
    """Counts of the images that a network processed.

    Attributes:
        looked: number of images processed in this run.
        cached: number of images taken from the result store.
        failures: error messages.
    """

    looked: int = 0
    cached: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Study(Looks):
    """Results of one detector.

    Attributes:
        detector: name in tables; empty if it is the only one.
        found: detections by row and image.
        comparisons: one evaluation for each entry of labels.
    """

    detector: str = ""
    found: dict[DetectionRow, dict[str, Boxes]] = field(default_factory=dict)
    comparisons: list[LabelComparison] = field(default_factory=list)


@dataclass(frozen=True)
class StudyInputs:
    """Inputs of a detection or segmentation study.

    Attributes:
        variables: values of the path variables in the config.
        methods: fusion methods.
        sets: datasets.
        results: results of the benchmark, with the fused images.
        output: output folder, with the result store.
        num_workers: number of processes.
        progress: show a progress bar on standard error; None only on a terminal.
    """

    variables: PathVariables
    methods: Sequence[Method]
    sets: Sequence[ImageDataset]
    results: Results
    output: Path
    num_workers: int
    progress: bool | None

    def open_store(self) -> closing[ResultStore]:
        """Open the result store for a `with` block."""
        return closing(ResultStore(self.output / "results.jsonl"))


def run_studies(entry: DetectionEntry, inputs: StudyInputs) -> list[Study]:
    """Run every detector on the images that are not cached, and evaluate.

    Raises:
        RefineFuseError: a detector or the labels cannot be used, or an extra is missing.
    """
    labeled = {one.dataset for one in entry.labels}
    sets = [images for images in inputs.sets if images.name in labeled]
    labels = [_read_labels(one, inputs.variables, sets) for one in entry.labels]  # fail early
    sources = find_networks(entry.detectors, inputs.variables, "detector")
    located = {name: None if source.endswith(".json") else locate_detector(source) for name, source in sources.items()}
    for detector in located.values():  # reject an unusable detector early
        if detector is not None:
            open_detector(detector)
    studies = []
    for name, detector in located.items():
        study = Study(detector=name if len(located) > 1 else "")
        if detector is None:
            slugs = {**{row: row for row in SOURCES}, **{method.name: method.slug for method in inputs.methods}}
            study.found = read_found(entry, sources[name], slugs, sets)
            study.cached = sum(map(len, study.found.values()))
        else:
            _look(study, entry, detector, iter_rows(inputs.methods, sets, inputs.results), inputs)
        for one, boxes in zip(entry.labels, labels, strict=True):
            title = f"{one.title}-{study.detector}" if study.detector else one.title
            study.comparisons.append(compare_with_labels(entry, LabelComparison(one, title, boxes), study.found))
        studies.append(study)
    return studies


def find_networks(entries: Sequence[str], variables: PathVariables, what: str) -> dict[str, str]:
    """Find the networks of a config, by their name in tables: the file or folder name without extension.

    Args:
        entries: paths; the last part may contain `*`.
        variables: values of the path variables; `{dataset}` and `{method}` are left as they are.
        what: name of the kind of network in error messages.

    Raises:
        InputError: a pattern matches nothing.
        ConfigError: two networks have the same name.
    """
    named: dict[str, str] = {}
    for entry in entries:
        path = Path(variables.fill(entry))
        found = sorted(map(str, path.parent.glob(path.name))) if "*" in path.name else [variables.fill(entry)]
        if not found:
            raise InputError(f"The {what} '{path}' does not exist.\nCheck the path.")
        for source in found:
            parts = [part for part in Path(source).parts if "{" not in part] or [source]
            name = Path(parts[-1]).stem if source.endswith((".onnx", ".json")) else parts[-1]
            if name in named:
                raise ConfigError(
                    f"Two {what}s have the same name '{name}'. Rename one of the files.\n  {named[name]}\n  {source}"
                )
            named[name] = source
    return named


def _read_labels(entry: LabelEntry, variables: PathVariables, sets: Sequence[ImageDataset]) -> dict[str, Boxes]:
    images = next(one for one in sets if one.name == entry.dataset)
    sizes = {pair.name: Size(*read_image(pair.b).shape[:2]) for pair in images.pairs}
    path = variables.data_root / variables.fill(entry.path, entry.dataset)
    return Labels(entry.format, path, entry.meanings()).read(sizes)


class RowImage(NamedTuple):
    """An input image of the networks: row, dataset, pair, image file, and the file that provides its color."""

    row: str
    dataset: str
    pair: Pair
    image: Path
    color: Path


def iter_rows(methods: Sequence[Method], sets: Sequence[ImageDataset], results: Results) -> Iterator[RowImage]:
    """Yield all input images of the networks: both sources and the fused images."""
    taken = [method.name for method in methods if method.name in SOURCES]
    if taken:
        raise ConfigError(
            f"{' and '.join(SOURCES)} are the names of the sources. Give the method '{taken[0]}' another `name`."
        )
    for images in sets:
        for pair in images.pairs:
            yield RowImage(SOURCES[0], images.name, pair, pair.a, pair.a)
            yield RowImage(SOURCES[1], images.name, pair, pair.b, pair.b)
            for method in methods:
                path = results.images.get((method.name, images.name, pair.name))
                if path is not None:
                    yield RowImage(method.name, images.name, pair, path, pair.b)


def _look(study: Study, entry: DetectionEntry, detector: Path, images: Iterator[RowImage], inputs: StudyInputs) -> None:
    identity = network_checksum(detector, *_CODE)
    looks = [
        DetectionJob(DetectionRow(row, dataset, gray), pair.name, path, color, detector)
        for row, dataset, pair, path, color in images
        for gray in ((False, True) if entry.gray else (False,))
    ]
    keys = [checksum(*map(file_checksum, (look.image, look.color)), str(look.where.gray), identity) for look in looks]
    key_of = dict(zip(looks, keys, strict=True))
    with inputs.open_store() as store:
        todo = list({key: look for look, key in key_of.items() if store.boxes(key) is None}.values())
        study.looked, study.cached = len(todo), len(looks) - len(todo)
        steps = _collect(study, todo, key_of, store, inputs.num_workers)
        for _ in progress_bar("detecting", steps, total=len(todo), show=inputs.progress):
            pass
        for look, key in key_of.items():
            rows = store.boxes(key)
            if rows is not None:
                boxes = merge_classes(_unpacked(rows), entry.class_aliases).select_classes(entry.classes)
                study.found.setdefault(look.where, {})[look.name] = boxes


def network_checksum(network: Path, *code: str) -> str:
    """Checksum of everything that affects a network's output: its files and modules of this project."""
    files = sorted(p for p in network.iterdir() if p.suffix in (".json", ".safetensors")) if network.is_dir() else []
    beside = [network, *(network.with_suffix(suffix) for suffix in (".txt", ".yaml"))] if not files else []
    return checksum(*(file_checksum(p) for p in (*files, *beside) if p.is_file()), code_checksum(*code))


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
    """Run the detector on one image; return the boxes in the store's format, or an error message."""
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
