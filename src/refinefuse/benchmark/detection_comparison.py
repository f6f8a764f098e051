"""Evaluate the detections of every row, computed here or elsewhere, against labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from refinefuse.benchmark.config import DetectionEntry, LabelEntry
from refinefuse.benchmark.image_datasets import ImageDataset
from refinefuse.detection.boxes import Boxes
from refinefuse.detection.detectors import merge_classes
from refinefuse.detection.evaluation import DRAWS, DetectionMetrics, evaluate_detections
from refinefuse.detection.predictions import read_predictions
from refinefuse.errors import PairingError

ALL = "all"


class DetectionRow(NamedTuple):
    """Row of a table on one dataset, with color or in grayscale."""

    row: str
    dataset: str
    gray: bool


@dataclass
class LabelComparison:
    """Evaluation of a detector against one entry of labels.

    Attributes:
        entry: config entry of the labels.
        title: title in tables: that of the labels, and the detector if there are several.
        labels: labels by image.
        rows: sources and methods that have all labeled images.
        agreements: metrics by row, gray or color, and group; `all` is the whole dataset.
        remarks: notes on missing data.
    """

    entry: LabelEntry
    title: str
    labels: Mapping[str, Boxes]
    rows: list[str] = field(default_factory=list)
    agreements: dict[tuple[str, bool, str], DetectionMetrics] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_found(
    entry: DetectionEntry, source: str, slugs: Mapping[str, str], sets: Sequence[ImageDataset]
) -> dict[DetectionRow, dict[str, Boxes]]:
    """Read detections from files, one per row and dataset.

    Raises:
        PairingError: there is no file.
        InputError: a file cannot be read.
    """
    boxes: dict[DetectionRow, dict[str, Boxes]] = {}
    for images in sets:
        for row, slug in slugs.items():
            path = Path(source.replace("{dataset}", images.name).replace("{method}", slug))
            if path.is_file():
                found = read_predictions(path, [pair.name for pair in images.pairs])
                boxes[DetectionRow(row, images.name, gray=False)] = {
                    name: merge_classes(one, entry.class_aliases).select_classes(entry.classes)
                    for name, one in found.items()
                }
    if not boxes:
        raise PairingError(
            f"No method has boxes at '{source}':\n  {', '.join(slugs.values())}\n"
            "Use {dataset} and {method} in the path, and name the files accordingly."
        )
    return boxes


def compare_with_labels(
    entry: DetectionEntry, done: LabelComparison, found: Mapping[DetectionRow, Mapping[str, Boxes]]
) -> LabelComparison:
    """Evaluate all rows; a row that lacks labeled images is skipped with a remark."""
    for where in (where for where in found if where.dataset == done.entry.dataset):
        here = found[where]
        missing = [name for name in done.labels if name not in here]
        if missing:
            done.remarks.append(f"{where.row} lacks {len(missing)} of {len(done.labels)} labeled images: not compared.")
            continue
        if where.row not in done.rows:
            done.rows.append(where.row)
        for group, pattern in {ALL: "*", **entry.subsets}.items():
            chosen = {name: boxes for name, boxes in done.labels.items() if fnmatchcase(name, pattern)}
            if chosen:
                done.agreements[where.row, where.gray, group] = evaluate_detections(
                    chosen, here, entry.classes, 0 if where.gray else DRAWS
                )
    return done
