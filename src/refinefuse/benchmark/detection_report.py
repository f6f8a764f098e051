"""What a detection study leaves behind: sections of the report, boxes as COCO JSON, and pictures with boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from refinefuse.benchmark import figures, grids
from refinefuse.benchmark.detection import SOURCES, Comparison, Study, Where
from refinefuse.benchmark.detection_tables import detection_figure, detection_tables
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.plan import PictureSet, Plan
from refinefuse.benchmark.report import Scene, Section, scene
from refinefuse.benchmark.runner import Results
from refinefuse.detection.boxes import Boxes, coco_json
from refinefuse.detection.drawing import drawn
from refinefuse.errors import InputError
from refinefuse.scoring.folders import write_text

SHOWN = 0.3
"""The score from which on a box is drawn."""


class StudyReport:
    """Writes a study into the folder of the results.

    Args:
        plan: the plan, with `detection`.
        methods: its methods.
        results: what was fused.
        output: the folder.
    """

    def __init__(self, plan: Plan, methods: Sequence[Method], results: Results, output: Path) -> None:
        self.plan, self.methods, self.results, self.output = plan, methods, results, output
        self.classes = plan.detection.classes if plan.detection else []

    def section(self, done: Comparison, failures: Sequence[str]) -> Section:
        """Tables and a figure of one comparison."""
        section = Section(f"{done.entry.title}, detection", remarks=[*done.remarks, *failures])
        if done.rows:
            section.tables += detection_tables(done, self.classes, self.methods[0].name)
            path = self.output / "figures" / f"{done.entry.title}-detection"
            ours = [method.name for method in self.methods if method.kind == "weights"]
            figures.save(detection_figure(done, ours), path)
            section.figures["AP50 with its 95 % interval"] = path.with_name(f"{path.name}.png")
        return section

    def write_boxes(self, study: Study, sets: Sequence[PictureSet]) -> None:
        """What was found, one COCO JSON a row and set."""
        slugs = {method.name: method.slug for method in self.methods}
        folders = {pictures.name: pictures for pictures in sets}
        for where, found in study.found.items():
            if where.gray:
                continue
            files = {pair.name: pair.b.name for pair in folders[where.set].pairs if pair.name in found}
            boxes = {file: found[name] for name, file in files.items()}
            path = self.output / "boxes" / where.set / f"{slugs.get(where.row, where.row)}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, coco_json(boxes))

    def scenes(self, study: Study, done: Comparison, pictures: PictureSet) -> list[Scene]:
        """Pictures with boxes: those that the plan names, or those in which the rows differ most; also as grids."""
        by_row = {row: study.found[Where(row, pictures.name, gray=False)] for row in done.rows}
        if not by_row:
            return []
        asked = [grid.picture for grid in self.plan.grids if grid.set == pictures.name]
        unknown = sorted(set(asked) - set(done.labels))
        if unknown:
            raise InputError(f"The set '{pictures.name}' has no labelled pair '{unknown[0]}', which `grids` names.")
        pairs = {pair.name: pair for pair in pictures.pairs}
        shown = []
        for name in asked or _telling(by_row, list(done.labels))[: self.plan.scenes]:
            files = {SOURCES[0]: pairs[name].a, SOURCES[1]: pairs[name].b}
            files |= {row: self.results.pictures[row, pictures.name, name] for row in by_row if row not in SOURCES}
            panels = {
                row: drawn(
                    grids.shown(path, path if row in SOURCES else pairs[name].b),
                    by_row[row][name].where(by_row[row][name].scores >= SHOWN),
                    done.labels[name].of(self.classes),
                )
                for row, path in files.items()
                if row in by_row
            }
            figures.save(grids.grid(panels, []), self.output / "grids" / f"{done.entry.title}-{name}-boxes")
            shown.append(scene(f"{done.entry.title}, {name}, boxes", panels))
        return shown


def _telling(by_row: Mapping[str, Mapping[str, Boxes]], names: Sequence[str]) -> list[str]:
    """The pictures in which the rows differ most in what they found, in the sum of the scores."""
    sums = np.array([[float(found[name].scores.sum()) for name in names] for found in by_row.values()])
    return [names[i] for i in np.argsort(-sums.std(0), kind="stable")]
