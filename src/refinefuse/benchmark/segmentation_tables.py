"""Tables of a segmentation study."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from refinefuse.benchmark.detection import SOURCES
from refinefuse.benchmark.detection_comparison import ALL
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.report import Section
from refinefuse.benchmark.segmentation import SegmentationStudy
from refinefuse.benchmark.side_by_side import Measured, difference, side_by_side
from refinefuse.detection.evaluation import interval
from refinefuse.scoring.rendering import ARROWS, Cell, Table, format_value, marks
from refinefuse.segmentation.evaluation import SegmentationMetrics

Value = Callable[[SegmentationMetrics], float]


def segmentation_sections(studies: Sequence[SegmentationStudy], methods: Sequence[Method]) -> list[Section]:
    """Create one section per network, preceded by one per dataset that compares several networks."""
    sections = []
    for labels in dict.fromkeys(study.labels.title for study in studies):
        here = [study for study in studies if study.labels.title == labels and study.rows]
        if len(here) > 1:
            networks = {study.network: {row: measured(study, row) for row in study.rows} for study in here}
            ours = [method.name for method in methods if method.kind == "weights"]
            tables = side_by_side(
                f"{labels}-networks", f"{labels}: segmentation by {len(here)} networks", "mIoU", networks, ours
            )
            sections.append(Section(f"{labels}, segmentation by {len(here)} networks", tables))
    for study in studies:
        tables = [segmentation_table(study, methods[0].name)] if study.rows else []
        sections.append(Section(f"{study.title}, segmentation", tables, remarks=[*study.remarks, *study.failures]))
    return sections


def segmentation_table(study: SegmentationStudy, reference: str) -> Table:
    """Create a table of the mean and per-class IoU by group, with differences from a reference.

    Args:
        study: results of one network.
        reference: method with which the others are compared.
    """
    rows = [row for row in SOURCES if row in study.rows]
    rows += sorted((row for row in study.rows if row not in SOURCES), key=lambda r: -study.rows[r][ALL].mean_iou)
    groups = list(next(iter(study.rows.values())))
    columns: dict[tuple[str, str], Value] = {}
    for group in groups:
        columns[group, "mIoU"] = lambda x: x.mean_iou
        columns |= {(group, name): _of_class(n) for n, name in enumerate(study.classes)}
    cells = [_column(study, group, name, value) for (group, name), value in columns.items()]
    base = study.rows.get(reference)
    against = {
        row: difference(measured(study, row), measured(study, reference))
        for row in rows
        if base is not None and row != reference
    }
    sources = sum(row in SOURCES for row in rows)
    return Table(
        f"{study.title}-segmentation",
        f"{study.title}: segmentation by {study.network}, {study.num_images} images",
        ("", *(f"{group}: {name} {ARROWS[True]}" for group, name in columns), f"mIoU against {reference}"),
        tuple((row, (*(column[row] for column in cells), against.get(row, Cell("–")))) for row in rows),
        (
            f"IoU over the pixels of all images; mIoU: mean over {', '.join(study.classes)}. Last column: the "
            "difference over the whole dataset, with its 95 % bootstrap interval over images (same resamples for all "
            "rows).",
        ),
        frozenset({sources}) if 0 < sources < len(rows) else frozenset(),
    )


def measured(study: SegmentationStudy, row: str) -> Measured:
    """Return the mean IoU of a row over the whole dataset, with its bootstrap samples."""
    metrics = study.rows[row][ALL]
    return Measured(metrics.mean_iou, metrics.bootstrap_samples)


def _of_class(number: int) -> Value:
    return lambda x: float(x.iou[number])


def _column(study: SegmentationStudy, group: str, name: str, value: Value) -> dict[str, Cell]:
    values = {row: value(groups[group]) for row, groups in study.rows.items()}
    marked = marks({row: -number for row, number in values.items() if row not in SOURCES})
    notes = {
        row: " to ".join(map(format_value, interval(groups[group].bootstrap_samples))) if name == "mIoU" else ""
        for row, groups in study.rows.items()
    }
    return {row: Cell(format_value(v), v, marked.get(row, ""), notes[row]) for row, v in values.items()}
