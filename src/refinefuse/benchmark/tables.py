"""Tables of a benchmark: scores with ranks, tests, differences, robustness and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from refinefuse.benchmark.cost import Cost
from refinefuse.benchmark.degradations import CLEAN, ROBUSTNESS_METRICS
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.runner import Row
from refinefuse.benchmark.summary import Comparison, DatasetScores, mean_ranks, penalty, rank_groups, worse_than_a_copy
from refinefuse.metrics.table import METRICS
from refinefuse.scoring.rendering import ARROWS, Cell, Table, format_value, marks

DAGGER = "†"


def score_table(score: DatasetScores, key: str = "") -> Table:
    """Create the table of methods by metrics with mean ranks; ranked methods from best to worst, then the others."""
    groups = rank_groups(list(score.values))
    ranks = {title: mean_ranks(score, metrics) for title, metrics in groups.items()}
    common = next(iter(groups.values()))
    beaten = worse_than_a_copy(score, common)
    blocks = [
        sorted((m for m in score.methods if _block(score, m) == block), key=lambda m: _sort_key(m, ranks))
        for block in range(3)
    ]
    columns = {metric: _metric_cells(score, metric) for metric in score.values}
    columns |= {title: _rank_cells(score, of) for title, of in ranks.items()}
    ordered = [m for block in blocks for m in block]
    rows = []
    for method in ordered:
        shown = f"{method.name} {DAGGER}" if method.name in beaten else method.name
        if method.name not in score.complete:
            shown += f" ({_count(score, method)} of {len(score.images)})"
        rows.append((shown, tuple(column.get(method.name, Cell("–")) for column in columns.values())))
    sizes = np.cumsum([len(block) for block in blocks])
    rules = frozenset(int(size) for size in sizes[:-1] if 0 < size < len(ordered))
    title = f"{score.dataset}, {len(score.images)} pairs"
    header = ("method", *(f"{metric} {ARROWS[METRICS[metric].higher_is_better]}" for metric in score.values), *ranks)
    return Table(
        key or score.dataset,
        title,
        header,
        tuple(rows),
        _notes(score, beaten),
        rules,
        frozenset(name for name, _ in rows[: sizes[0]]),
    )


def _block(score: DatasetScores, method: Method) -> int:
    if method.name not in score.complete:
        return 2
    return 0 if method.ranked else 1


def _sort_key(method: Method, ranks: Mapping[str, Mapping[str, float]]) -> list[float]:
    return [of.get(method.name, math.inf) for of in reversed(list(ranks.values()))]


def _count(score: DatasetScores, method: Method) -> int:
    return max(int((~np.isnan(values[method.name])).sum()) for values in score.values.values())


def _metric_cells(score: DatasetScores, metric: str) -> dict[str, Cell]:
    means = score.means(metric)
    marked = marks({n: float(penalty(metric, np.asarray(means[n].value))) for n in score.ranked([metric])})
    return {
        name: Cell(
            format_value(mean.value),
            mean.value,
            marked.get(name, ""),
            f"{format_value(mean.low)} to {format_value(mean.high)}",
        )
        for name, mean in means.items()
    }


def _rank_cells(score: DatasetScores, ranks: Mapping[str, float]) -> dict[str, Cell]:
    ranked = {m.name for m in score.methods if m.ranked}
    marked = marks({name: value for name, value in ranks.items() if name in ranked})
    cells = {name: Cell(f"{value:.2f}", value, marked.get(name, "")) for name, value in ranks.items()}
    return {n: cell if n in ranked else replace(cell, text=f"({cell.text})") for n, cell in cells.items()}


def _notes(score: DatasetScores, beaten: set[str]) -> tuple[str, ...]:
    if len(score.ranked([])) < 2:
        notes = ["No ranks and nothing bold: fewer than two ranked methods have every image of this dataset."]
    else:
        notes = [
            "Mean rank: average of the ranks in each column. Brackets: the rank an unranked row would have if "
            "it joined."
        ]
    if beaten:
        notes.append(f"{DAGGER} A plain copy of one source has the better mean rank over the common metrics.")
    if any(m.name not in score.complete for m in score.methods):
        notes.append("Methods with a count lack images: their means are over fewer images and are not ranked.")
    return tuple(notes)


def comparison_table(dataset: str, comparison: Comparison, what: str, key: str) -> Table:
    """Create the table of average ranks over the images and of the tests against the reference."""
    rows = []
    for name, rank in zip(comparison.methods, comparison.ranks, strict=True):
        p = comparison.against.get(name, math.nan)
        rows.append((name, (Cell(f"{rank:.2f}", rank), Cell("–" if math.isnan(p) else f"{p:.2g}", p))))
    notes = (
        f"Blocks: the {comparison.images} images. In each, methods are ranked by their mean rank over the {what}.",
        f"Friedman: p = {comparison.friedman:.2g} that all methods perform equally. Nemenyi: average ranks at least "
        f"{comparison.critical:.2f} apart differ significantly (5 %).",
    )
    against = f"Wilcoxon against {comparison.reference}, Holm: p" if comparison.reference else "Wilcoxon: p"
    title = f"{dataset}, tests over the {what}"
    return Table(f"{dataset}-tests-{key}", title, ("method", "average rank", against), tuple(rows), notes)


def difference_table(score: DatasetScores, reference: str) -> Table:
    """Create the table of mean paired differences from the reference, with 95 % confidence intervals."""
    rows = []
    for method in score.methods:
        cells = []
        for metric, values in score.values.items():
            delta = values[method.name] - values[reference]
            better = np.nanmean(penalty(metric, values[method.name])) <= np.nanmean(penalty(metric, values[reference]))
            mean = float(np.nanmean(delta)) if not np.isnan(delta).all() else math.nan
            cells.append(Cell(f"{mean:+.3f}" if mean else "0", mean, "best" if better and mean else ""))
        rows.append((method.name, tuple(cells)))
    header = ("method", *(f"{metric} {ARROWS[METRICS[metric].higher_is_better]}" for metric in score.values))
    note = f"Difference from {reference} on the same images; bold: better."
    return Table(f"{score.dataset}-differences", f"{score.dataset}, against {reference}", header, tuple(rows), (note,))


def matrix_table(
    scores: Sequence[DatasetScores], metric: str, methods: Sequence[Method], families: Mapping[str, str]
) -> Table:
    """Create the table of methods by datasets for one metric; datasets used to train the weights are marked.

    Args:
        scores: scores of the datasets.
        metric: key of the metric.
        methods: rows; only methods with values for more than one dataset are shown.
        families: dataset -> first part of its folder, the name of the training dataset in the weights' manifest.
    """
    rows = []
    columns = {score.dataset: _metric_cells(score, metric) for score in scores}
    for method in methods:
        cells = []
        for name, column in columns.items():
            cell = column.get(method.name, Cell("–"))
            seen = any(f"{trained},".startswith(f"{families[name]},") for trained in method.trained_on)
            cells.append(replace(cell, text=f"{cell.text} •") if seen else cell)
        if sum(not math.isnan(cell.value) for cell in cells) > 1:
            rows.append((method.name, tuple(cells)))
    arrow = ARROWS[METRICS[metric].higher_is_better]
    marked = any("•" in cell.text for _, cells in rows for cell in cells)
    notes = ("• trained on another part of the same dataset.",) if marked else ()
    return Table(f"matrix-{metric}", f"{metric} {arrow} across datasets", ("method", *columns), tuple(rows), notes)


def robustness_table(rows: Sequence[Row], dataset: str, methods: Sequence[str]) -> Table:
    """Create the table of robustness metrics at the highest severity of each degradation."""
    here = [row for row in rows if row.dataset == dataset and row.degradation != CLEAN.kind]
    worst = {
        kind: max(row.severity for row in here if row.degradation == kind)
        for kind in dict.fromkeys(r.degradation for r in here)
    }
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in here:
        if row.severity == worst[row.degradation]:
            found.setdefault((row.method, row.degradation, row.metric), []).append(row.value)
    columns = [(kind, curve.key) for kind in worst for curve in ROBUSTNESS_METRICS]
    means = {(m, *column): float(np.mean(found.get((m, *column), [math.nan]))) for m in methods for column in columns}
    marked = {column: marks({m: -means[(m, *column)] for m in methods}) for column in columns}
    cells = {
        m: tuple(Cell(format_value(means[(m, *c)]), means[(m, *c)], marked[c][m]) for c in columns) for m in methods
    }
    header = ("method", *(f"{kind}: {key} ↑" for kind, key in columns))
    strongest = ", ".join(f"{kind} {severity:g}" for kind, severity in worst.items())
    asked = "; ".join(f"{curve.key}: {curve.title}" for curve in ROBUSTNESS_METRICS)
    notes = (f"At severity {strongest}, compared with the clean scene. {asked}.",)
    return Table(f"{dataset}-degradations", f"{dataset}, worst degradation", header, tuple(cells.items()), notes)


def cost_table(costs: Sequence[Cost], height: int, width: int) -> Table:
    """Create the table of costs per pair, lowest first."""
    header = ("method", "ms", "relative_time", "parameters", "GFLOP", "peak MiB")
    rows = []
    for cost in sorted(costs, key=lambda c: math.inf if math.isnan(c.relative_time) else c.relative_time):
        cells = [
            Cell(f"{cost.latency_ms:.1f}", cost.latency_ms),
            Cell(
                f"{cost.relative_time:.2f}" if cost.relative_time >= 0.01 else f"{cost.relative_time:.1g}",
                cost.relative_time,
            ),
            Cell(f"{cost.parameters:,.0f}", cost.parameters),
            Cell(f"{cost.gflops:.1f}", cost.gflops),
            Cell(f"{cost.peak_memory_mb:.0f}", cost.peak_memory_mb),
        ]
        shown = [replace(cell, text="–") if math.isnan(cell.value) else cell for cell in cells]
        rows.append((f"{cost.method} *" if cost.published else cost.method, tuple(shown)))
    notes = [
        f"One pair of {height} x {width} pixels. ms: CPU time of one thread here, median of interleaved repeats; "
        "relative_time: that time over the time of the reference network in the same repeats. For weights, the network "
        "alone; for other methods, of the whole call."
    ]
    if any(cost.published for cost in costs):
        notes.append("* measured on another machine, relative to the same reference network.")
    return Table("cost", f"Cost of a pair of {height} x {width}", header, tuple(rows), tuple(notes))
