"""Tables of a downstream study: per task, one summary and one by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from refinefuse.benchmark.detection import SOURCES
from refinefuse.detection.evaluation import interval
from refinefuse.downstream.evaluation import ALL, Evaluation
from refinefuse.scoring.rendering import ARROWS, Cell, Table, format_value, marks

FIRST = {"segmentation": f"{ALL}: mIoU", "detection": f"{ALL}: AP50"}
"""Column by which rows are sorted and compared."""
_BY_CLASS = {"segmentation": "IoU by class", "detection": "AP50 by class"}


def task_tables(task: str, title: str, rows: Mapping[str, Evaluation], reference: str) -> list[Table]:
    """Create the summary table of a task, with differences from a reference, and the table by class.

    Args:
        task: segmentation or detection.
        title: description of the networks and the data.
        rows: evaluations by row name.
        reference: row with which the others are compared.
    """
    names = _ordered(rows, FIRST[task])
    columns = list(next(iter(rows.values())).values)
    whole = [
        column for column in columns if column.partition(": ")[2] in ("mIoU", "AP50", "AP50:95") and "," not in column
    ]
    by_class = [column for column in columns if column not in whole]
    seeds = len(next(iter(rows.values())).values[FIRST[task]])
    trainings = (
        f"Means over {seeds} trainings, after ± their standard deviation."
        if seeds > 1
        else "One training of each network."
    )
    note = (
        f"{trainings} Last column: the difference in "
        f"{FIRST[task].partition(': ')[2]} over the whole dataset, with its 95 % bootstrap interval over images and "
        "trainings (same resamples for all rows)."
    )
    first = _table(f"{task}", title, rows, names, whole)
    compared = [(name, (*cells, _difference(rows, name, reference, FIRST[task]))) for name, cells in first.rows]
    header = (*first.header, f"against {reference}")
    return [
        Table(first.key, title, header, tuple(compared), (note,), first.rules),
        _table(f"{task}-classes", f"{title}: {_BY_CLASS[task]}", rows, names, by_class),
    ]


def _ordered(rows: Mapping[str, Evaluation], column: str) -> list[str]:
    """Order the rows: first the sources, then the methods from best to worst."""
    sources = [name for name in SOURCES if name in rows]
    methods = sorted(
        (name for name in rows if name not in SOURCES), key=lambda n: -float(rows[n].values[column].mean())
    )
    return [*sources, *methods]


def _table(key: str, title: str, rows: Mapping[str, Evaluation], names: Sequence[str], columns: Sequence[str]) -> Table:
    cells = [_column(rows, names, column) for column in columns]
    sources = sum(name in SOURCES for name in names)
    return Table(
        key,
        title,
        ("", *(f"{column} {ARROWS[True]}" for column in columns)),
        tuple((name, tuple(column[name] for column in cells)) for name in names),
        rules=frozenset({sources}) if 0 < sources < len(names) else frozenset(),
    )


def _column(rows: Mapping[str, Evaluation], names: Sequence[str], column: str) -> dict[str, Cell]:
    means = {name: float(rows[name].values[column].mean()) for name in names}
    marked = marks({name: -value for name, value in means.items() if name not in SOURCES and not math.isnan(value)})
    cells = {}
    for name, value in means.items():
        of_seed, samples = rows[name].values[column], rows[name].samples.get(column)
        spread = f" ± {np.std(of_seed, ddof=1):.3f}" if len(of_seed) > 1 and not math.isnan(value) else ""
        note = "" if samples is None else " to ".join(map(format_value, interval(samples)))
        cells[name] = Cell(f"{format_value(value)}{spread}", value, marked.get(name, ""), note)
    return cells


def _difference(rows: Mapping[str, Evaluation], name: str, reference: str, column: str) -> Cell:
    if name == reference or reference not in rows:
        return Cell("–")
    value = float(rows[name].values[column].mean() - rows[reference].values[column].mean())
    low, high = interval(rows[name].samples[column] - rows[reference].samples[column])
    return Cell(f"{value:+.3f} ({low:+.3f} to {high:+.3f})", value)
