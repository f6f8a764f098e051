"""Outputs of a detection study: sections of the report, boxes as COCO JSON, and images with boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark import grids
from refinefuse.benchmark.config import BenchmarkConfig
from refinefuse.benchmark.detection import SOURCES, Study
from refinefuse.benchmark.detection_comparison import ALL, DetectionRow, LabelComparison
from refinefuse.benchmark.detection_tables import detection_figure, detection_tables
from refinefuse.benchmark.drawn import FigureCache
from refinefuse.benchmark.image_datasets import ImageDataset
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.missed import missed_table, write_missed_page
from refinefuse.benchmark.report import Scene, Section, scene
from refinefuse.benchmark.runner import Results
from refinefuse.benchmark.side_by_side import Measured, side_by_side
from refinefuse.data.pairs import Pair
from refinefuse.detection.boxes import Boxes, coco_json
from refinefuse.detection.drawing import draw_boxes
from refinefuse.detection.missed import objects_of
from refinefuse.errors import InputError
from refinefuse.image.color import to_rgb8
from refinefuse.image.files import read_image

SHOWN = 0.3
"""Minimum score of the boxes that are drawn."""


class StudyReport:
    """Writes a study to the output folder.

    Args:
        config: benchmark config with `detection`.
        methods: methods of the config.
        results: results of the benchmark, with the fused images.
        output: output folder.
    """

    def __init__(self, config: BenchmarkConfig, methods: Sequence[Method], results: Results, output: Path) -> None:
        self.config, self.methods, self.results, self.output = config, methods, results, output
        self.drawn = FigureCache(output)
        self.classes = config.detection.classes if config.detection else []

    def section(self, done: LabelComparison, failures: Sequence[str]) -> Section:
        """Create the tables and the figure of one evaluation."""
        section = Section(f"{done.title}, detection", remarks=[*done.remarks, *failures])
        if done.rows:
            section.tables += detection_tables(done, self.classes, self.methods[0].name)
            path = self.output / "figures" / f"{done.title}-detection"
            ours = [method.name for method in self.methods if method.kind == "weights"]
            shows = [*done.agreements.items()], ours
            drawn = self.drawn.draw(path, shows, lambda: detection_figure(done, ours))
            section.figures["AP50 with its 95 % interval"] = drawn
        return section

    def write_missed(self, study: Study, done: LabelComparison, images: ImageDataset, section: Section) -> None:
        """Write the page of missed objects of the first method and the table of all rows."""
        by_row = {row: study.found[DetectionRow(row, images.name, gray=False)] for row in done.rows}
        pairs = {pair.name: pair for pair in images.pairs}
        objects = [
            one
            for name, labels in done.labels.items()
            for one in objects_of(
                name,
                labels.select_classes(self.classes),
                {row: found[name] for row, found in by_row.items()},
                {row: _luma(path) for row, path in zip(SOURCES, (pairs[name].a, pairs[name].b), strict=True)},
                SHOWN,
            )
        ]
        shown = [row for row in (*SOURCES, self.methods[0].name) if row in by_row]
        if len(shown) <= len(SOURCES) or not objects:
            return
        section.tables.append(missed_table(done.title, objects, done.rows))
        path = self.output / f"missed-{done.title}.html"
        write_missed_page(path, done.title, objects, shown, lambda name: self._panels(pairs[name], shown, images))
        section.remarks.append(f"{path.name} shows the objects that are missed in {shown[-1]}.")

    def _panels(self, pair: Pair, rows: Sequence[str], images: ImageDataset) -> dict[str, grids.Shown]:
        """Load the detector's inputs for a pair, by row."""
        files = {SOURCES[0]: pair.a, SOURCES[1]: pair.b}
        files |= {row: self.results.images[row, images.name, pair.name] for row in rows if row not in SOURCES}
        return {row: grids.to_display(path, path if row in SOURCES else pair.b) for row, path in files.items()}

    def write_boxes(self, study: Study, sets: Sequence[ImageDataset]) -> None:
        """Write the detections as one COCO JSON file per row and dataset."""
        slugs = {method.name: method.slug for method in self.methods}
        folders = {images.name: images for images in sets}
        for where, found in study.found.items():
            if where.gray:
                continue
            files = {pair.name: pair.b.name for pair in folders[where.dataset].pairs if pair.name in found}
            boxes = {file: found[name] for name, file in files.items()}
            path = self.output / "boxes" / study.detector / where.dataset / f"{slugs.get(where.row, where.row)}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, coco_json(boxes))

    def scenes(self, study: Study, done: LabelComparison, images: ImageDataset) -> list[Scene]:
        """Draw boxes on the images that the config names, or on those where the rows differ most; also as grids."""
        by_row = {row: study.found[DetectionRow(row, images.name, gray=False)] for row in done.rows}
        if not by_row:
            return []
        asked = [grid.image for grid in self.config.grids if grid.dataset == images.name]
        unknown = sorted(set(asked) - set(done.labels))
        if unknown:
            raise InputError(
                f"`grids` names the pair '{unknown[0]}', but the dataset '{images.name}' has no "
                f"labeled pair of that name."
            )
        pairs = {pair.name: pair for pair in images.pairs}
        shown = []
        for name in asked or _most_discriminative(by_row, list(done.labels))[: self.config.scenes]:
            panels = {
                row: draw_boxes(
                    image,
                    by_row[row][name].select(by_row[row][name].scores >= SHOWN),
                    done.labels[name].select_classes(self.classes),
                )
                for row, image in self._panels(pairs[name], done.rows, images).items()
                if row in by_row
            }
            path = self.output / "grids" / f"{done.title}-{name}-boxes"
            self.drawn.draw(path, panels, partial(grids.grid, panels, []))
            shown.append(scene(f"{done.title}, {name}, boxes", panels))
        return shown


def compared_detectors(studies: Sequence[Study], methods: Sequence[Method]) -> list[Section]:
    """Create a section that compares the detectors for each entry of labels."""
    sections = []
    for labels in dict.fromkeys(done.entry.title for study in studies for done in study.comparisons):
        networks = {
            study.detector: {row: _measured(done, row) for row in done.rows}
            for study in studies
            for done in study.comparisons
            if done.entry.title == labels and done.rows
        }
        if len(networks) > 1:
            title = f"{labels}, detection by {len(networks)} detectors"
            ours = [method.name for method in methods if method.kind == "weights"]
            tables = side_by_side(f"{labels}-detectors", title, "AP50", networks, ours)
            sections.append(Section(title, tables))
    return sections


def _measured(done: LabelComparison, row: str) -> Measured:
    metrics = done.agreements[row, False, ALL]
    return Measured(metrics.ap50, metrics.bootstrap_samples[0])


def _luma(path: Path) -> Float[np.ndarray, "h w"]:
    luma: Float[np.ndarray, "h w"] = cv2.cvtColor(to_rgb8(read_image(path)), cv2.COLOR_RGB2GRAY).astype(np.float64)
    return luma


def _most_discriminative(by_row: Mapping[str, Mapping[str, Boxes]], names: Sequence[str]) -> list[str]:
    """Select the images where the sum of the detection scores differs most between rows."""
    sums = np.array([[float(found[name].scores.sum()) for name in names] for found in by_row.values()])
    return [names[i] for i in np.argsort(-sums.std(0), kind="stable")]
