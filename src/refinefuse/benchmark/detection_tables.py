"""Tables and the figure of a detection study."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from refinefuse.benchmark.detection import SOURCES
from refinefuse.benchmark.detection_comparison import ALL, LabelComparison
from refinefuse.benchmark.figures import OTHERS, OURS, new_figure
from refinefuse.detection.evaluation import SIZES, DetectionMetrics, interval
from refinefuse.scoring.rendering import ARROWS, Cell, Table, format_value, marks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UP = ARROWS[True]
_PRECISION = ("AP50", "AP50:95")
Value = Callable[[DetectionMetrics], float]


class _Column(NamedTuple):
    title: str
    group: str
    of: Value


def detection_tables(done: LabelComparison, classes: Sequence[str], reference: str) -> list[Table]:
    """Create tables of AP by group and by class, recall by size, and optionally AP on grayscale images.

    Args:
        done: evaluation.
        classes: evaluated classes.
        reference: method with which the others are compared.
    """
    groups = list(dict.fromkeys(group for _, _, group in done.agreements))
    precision = [_Column(f"{g}: {key}", g, _whole(key)) for g in groups for key in _PRECISION]
    by_class = [
        _Column(f"{g}, {name}: {key}", g, _of_class(key, name))
        for g in groups
        for name in classes
        for key in _PRECISION
    ]
    recall = [_Column(f"{g}, {size}", g, _of_size(size)) for g in groups for size in SIZES]
    title = done.title
    first = _table(done, f"{title}-detection", f"{title}: detection, {_asked(done, classes)}", precision)
    tables = [
        _against(first, done, reference),
        _table(done, f"{title}-classes", f"{title}: detection by class", by_class),
        _table(done, f"{title}-sizes", f"{title}: fraction of the labels found at IoU 0.5, by size", recall),
    ]
    if any(gray for _, gray, _ in done.agreements):
        tables.append(_table(done, f"{title}-gray", f"{title}: detection without color", precision, gray=True))
    return tables


def _whole(key: str) -> Value:
    return lambda x: x.ap50 if key == "AP50" else x.ap


def _of_class(key: str, name: str) -> Value:
    return lambda x: (x.ap50_by_class if key == "AP50" else x.ap_by_class)[name]


def _of_size(size: str) -> Value:
    return lambda x: x.recall_by_size[size]


def _asked(done: LabelComparison, classes: Sequence[str]) -> str:
    counts = next(iter(done.agreements.values())).labels if done.agreements else {}
    asked = " and ".join(f"{counts.get(name, 0)} of {name}" for name in classes)
    return f"{len(done.labels)} images with {asked}"


def _table(done: LabelComparison, key: str, title: str, columns: Sequence[_Column], *, gray: bool = False) -> Table:
    rows = _ordered(done)
    cells = [_cells(done, rows, gray, column) for column in columns]
    sources = sum(row in SOURCES for row in rows)
    return Table(
        key,
        title,
        ("", *(f"{column.title} {_UP}" for column in columns)),
        tuple((row, tuple(column.get(row, Cell("–")) for column in cells)) for row in rows),
        rules=frozenset({sources}) if 0 < sources < len(rows) else frozenset(),
    )


def _ordered(done: LabelComparison) -> list[str]:
    """Order the rows: first the sources, then the methods from best to worst."""
    scores = {row: x.ap50 for (row, gray, group), x in done.agreements.items() if group == ALL and not gray}
    methods = [row for row in done.rows if row not in SOURCES]
    return [*(s for s in SOURCES if s in done.rows), *sorted(methods, key=lambda row: -scores.get(row, -1))]


def _cells(done: LabelComparison, rows: Sequence[str], gray: bool, column: _Column) -> dict[str, Cell]:
    here = {row: done.agreements.get((row, gray, column.group)) for row in rows}
    values = {row: column.of(found) for row, found in here.items() if found is not None}
    marked = marks({row: -value for row, value in values.items() if row not in SOURCES})
    return {row: Cell(format_value(value), value, marked.get(row, "")) for row, value in values.items()}


def _against(table: Table, done: LabelComparison, reference: str) -> Table:
    """Add confidence intervals and the paired difference of every row from the reference."""
    base = done.agreements.get((reference, False, ALL))
    rows = []
    for name, cells in table.rows:
        here = done.agreements[name, False, ALL]
        low, high = interval(here.bootstrap_samples[0])
        first = Cell(cells[0].text, cells[0].value, cells[0].mark, f"{format_value(low)} to {format_value(high)}")
        rows.append((name, (first, *cells[1:], _difference(here, base if name != reference else None))))
    header = (*table.header, f"AP50 against {reference}")
    note = (
        "Last column: the difference in AP50 over the whole dataset, with its 95 % bootstrap interval over images "
        "(same resamples for all rows)."
    )
    return Table(table.key, table.title, header, tuple(rows), (note,), table.rules)


def _difference(here: DetectionMetrics, base: DetectionMetrics | None) -> Cell:
    if base is None:
        return Cell("–")
    low, high = interval(here.bootstrap_samples[0] - base.bootstrap_samples[0])
    value = here.ap50 - base.ap50
    return Cell(f"{value:+.3f} ({low:+.3f} to {high:+.3f})", value if math.isfinite(value) else math.nan)


def detection_figure(done: LabelComparison, ours: Sequence[str]) -> Figure:
    """Plot AP50 of every row with its confidence interval, by group."""
    rows = _ordered(done)
    groups = list(dict.fromkeys(group for _, _, group in done.agreements))
    figure = new_figure(2.6 * len(groups) + 1.2, 0.24 * len(rows) + 0.8)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, group in zip(panels, groups, strict=True):
        for position, row in enumerate(rows):
            here = done.agreements.get((row, False, group))
            if here is None or math.isnan(here.ap50):
                continue
            color = OURS if row in ours else "#000000" if row in SOURCES else OTHERS
            axes.plot(interval(here.bootstrap_samples[0]), (position, position), color=color, linewidth=1.2)
            axes.plot(here.ap50, position, "o", color=color, markersize=4)
        axes.set_title(group)
        axes.set_xlabel("AP50")
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    panels[0].set_yticks(np.arange(len(rows)), rows)
    panels[0].invert_yaxis()
    return figure
