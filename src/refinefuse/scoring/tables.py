"""Render scores as text, CSV, JSON and LaTeX, each with the name of its convention."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from refinefuse.metrics.conventions import CONVENTIONS
from refinefuse.metrics.table import METRICS
from refinefuse.scoring import rendering
from refinefuse.scoring.folders import ScoreTable
from refinefuse.scoring.ranking import ranks_of
from refinefuse.scoring.rendering import ARROWS, Cell, Table, csv_text, marks


def as_text(result: ScoreTable) -> str:
    """Render for the terminal: methods by metrics, or the means with intervals of a single method."""
    head = f"convention {result.convention}: {CONVENTIONS[result.convention].used_by}\n{_count(result)}"
    return f"{head}\n\n{_several(result) if len(result.scores) > 1 else _single(result)}"


def _count(result: ScoreTable) -> str:
    n = len(result.common)
    left_out = sum(len(images) - n for images in result.scores.values())
    text = f"{n} image{'' if n == 1 else 's'}"
    return f"{text} that all methods have ({left_out} others left out of the means)" if left_out else text


def _single(result: ScoreTable) -> str:
    (means,) = result.means().values()
    lines = []
    for key, mean in means.items():
        interval = f"   {mean.low:.3f} .. {mean.high:.3f}" if len(result.common) > 1 else ""
        lines.append(f"{key:<13}{ARROWS[METRICS[key].higher_is_better]:<4}{mean.value:>11.3f}{interval}")
    if len(result.common) > 1:
        lines.append("\nmean and its 95 % bootstrap interval over images")
    return "\n".join(lines)


def _several(result: ScoreTable) -> str:
    table = comparison_table(result)
    deviations = {
        method: {k: cell.note for k, cell in zip(result.metrics, cells, strict=False)} for method, cells in table.rows
    }
    lines = ["  ".join([name, *(f"{key} {value}" for key, value in of.items())]) for name, of in deviations.items()]
    return "\n".join([rendering.as_text(table), "* best, + second", "", "standard deviation over images:", *lines])


def comparison_table(result: ScoreTable) -> Table:
    """Tabulate methods by metrics: means, standard deviations over the images, and the mean rank over the metrics."""
    means, spread = result.means(), result.deviations()
    penalties = {key: {m: METRICS[key].penalty(mean[key].value) for m, mean in means.items()} for key in result.metrics}
    marked = {key: marks(penalties[key]) for key in result.metrics}
    each = [ranks_of(of) for of in penalties.values()]
    mean_rank = {m: _mean([of[m] for of in each if m in of]) for m in means}
    rank_marks = marks(mean_rank)
    rows = []
    for method, mean in means.items():
        cells = [
            Cell(f"{mean[k].value:.3f}", mean[k].value, marked[k][method], f"{spread[method][k]:.3f}")
            for k in result.metrics
        ]
        ranked = Cell(f"{mean_rank[method]:.2f}", mean_rank[method], rank_marks[method])
        rows.append((method, (*cells, ranked)))
    header = ("method", *(f"{key} {ARROWS[METRICS[key].higher_is_better]}" for key in result.metrics), "mean rank")
    used_by = CONVENTIONS[result.convention].used_by
    title = f"{used_by} {_count(result)}"
    return Table("scores", title, header, tuple(rows), (f"Metrics in the convention {result.convention}.",))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def as_csv(result: ScoreTable) -> str:
    """Render as CSV in full precision, one row per image."""
    rows = (
        [result.convention, method, name, *(repr(values[key]) for key in result.metrics)]
        for method, images in result.scores.items()
        for name, values in images.items()
    )
    return csv_text([["convention", "method", "image", *result.metrics], *rows])


def as_json(result: ScoreTable) -> str:
    """Render images, means, intervals and failures as JSON; NaN becomes null."""
    document = {
        "convention": result.convention,
        "metrics": {
            key: {"higher_is_better": METRICS[key].higher_is_better, "ideal": METRICS[key].ideal}
            for key in result.metrics
        },
        "methods": {
            method: {
                "means": {
                    key: {"mean": _number(m.value), "ci_low": _number(m.low), "ci_high": _number(m.high)}
                    for key, m in means.items()
                },
                "images": {n: {k: _number(v) for k, v in row.items()} for n, row in result.scores[method].items()},
            }
            for method, means in result.means().items()
        },
        "common_images": result.common,
        "failures": list(result.failures),
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_latex(result: ScoreTable) -> str:
    """Render as a `booktabs` table: best in bold, second-best underlined."""
    return rendering.latex(comparison_table(result), result.convention)
