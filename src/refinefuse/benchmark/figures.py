"""Figures for papers: critical differences, ranks, quality versus cost, per-image scores and robustness curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refinefuse.atomic import atomic_path
from refinefuse.benchmark.cost import Cost
from refinefuse.benchmark.degradations import CLEAN, ROBUSTNESS_METRICS
from refinefuse.benchmark.runner import Row
from refinefuse.benchmark.summary import Comparison, DatasetScores, penalty, ranks
from refinefuse.errors import optional
from refinefuse.metrics.table import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B", "#7F7F7F", "#B8A800")
"""The color-blind-safe palette of Okabe and Ito, and further colors."""
OURS, OTHERS = COLORS[0], "#666666"
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "axes.titlesize": 10, "legend.frameon": False, "legend.fontsize": 8, "pdf.fonttype": 42, "svg.fonttype": "none",
    "savefig.bbox": "tight", "savefig.pad_inches": 0.05, "text.parse_math": False,
}  # fmt: skip


def style() -> AbstractContextManager[None]:
    """Return a context manager that applies the common style of the figures.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    with optional("benchmark", "Drawing figures"):
        import matplotlib as mpl
    return mpl.rc_context(_STYLE)


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure with a size in inches."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def save(figure: Figure, path: Path, dpi: int = 200) -> None:
    """Write a figure as PNG and PDF, each atomically.

    Raises:
        InputError: the figure cannot be written.
    """
    for suffix, options in ((".png", {"dpi": dpi}), (".pdf", {"dpi": 300, "metadata": {"CreationDate": None}})):
        with atomic_path(path.with_name(f"{path.name}{suffix}")) as temporary:
            figure.savefig(temporary, format=suffix.removeprefix("."), **options)


def critical_difference(comparison: Comparison, title: str) -> Figure:
    """Critical difference diagram: average ranks on an axis; bars join methods without a significant difference.

    Source: J. Demsar, JMLR 7, 2006, figure 1.
    """
    k, bars = len(comparison.methods), comparison.groups
    depth = len(bars) * 0.32 + 0.35
    half = math.ceil(k / 2)
    figure = new_figure(7, 0.9 + 0.2 * half + 0.2 * depth)
    axes = figure.subplots()
    axes.set_axis_off()
    low, high = math.floor(min(comparison.ranks)), math.ceil(max(comparison.ranks))
    span = high - low
    axes.plot([low, high], [0, 0], color="black", lw=1)
    for tick in range(low, high + 1):
        axes.plot([tick, tick], [0, 0.18], color="black", lw=1)
        if span <= 16 or tick % 2 == 0:
            axes.text(tick, 0.28, str(tick), ha="center", va="bottom", fontsize=8)
    for level, (first, last) in enumerate(bars):
        y = -0.25 - 0.32 * level
        ends = [comparison.ranks[first] - 0.006 * span, comparison.ranks[last] + 0.006 * span]
        axes.plot(ends, [y, y], color="black", lw=3, solid_capstyle="butt")
    for index, (name, rank) in enumerate(zip(comparison.methods, comparison.ranks, strict=True)):
        left = index < half
        y = -depth - 0.55 * (index if left else k - 1 - index)
        edge = low - 0.02 * span if left else high + 0.02 * span
        color = OURS if name == comparison.reference else "black"
        axes.plot([rank, rank, edge], [0, y, y], color=color, lw=0.8)
        label = f"{name}  {rank:.1f}" if left else f"{rank:.1f}  {name}"
        weight = "bold" if name == comparison.reference else "normal"
        gap = -0.01 * span if left else 0.01 * span
        axes.text(edge + gap, y, label, ha="right" if left else "left", va="center", fontsize=8, color=color,
                  fontweight=weight)  # fmt: skip
    axes.plot([low, low + comparison.critical], [1.45, 1.45], color="black", lw=1.5)
    for x in (low, low + comparison.critical):
        axes.plot([x, x], [1.3, 1.6], color="black", lw=1.5)
    axes.text(low + comparison.critical / 2, 1.65, f"critical difference {comparison.critical:.2f}", ha="center",
              va="bottom", fontsize=8)  # fmt: skip
    axes.set_xlim(low - 0.45 * span, high + 0.45 * span)
    axes.set_ylim(-depth - 0.55 * (half - 0.4), 2.6)
    axes.set_title(title)
    return figure


def rank_map(score: DatasetScores, metrics: Sequence[str], title: str) -> Figure:
    """Heat map of the rank of every method in every metric, ordered by mean rank; unranked methods come last."""
    each = {key: ranks(score, key, metrics) for key in metrics}
    ranked, unranked = score.ranked(metrics), score.unranked(metrics)

    def mean(name: str) -> float:
        return float(np.mean([each[key][name] for key in metrics]))

    names = [*sorted(ranked, key=mean), *sorted(unranked, key=mean)]
    table = np.array([[each[key][name] for key in metrics] + [mean(name)] for name in names])
    figure = new_figure(1.9 + 0.45 * (len(metrics) + 1), 0.75 + 0.21 * len(names))
    axes = figure.subplots()
    axes.pcolormesh(table, cmap="viridis_r", vmin=1, vmax=max(len(ranked), 2), edgecolors="white", linewidth=0.5)
    for (row, column), value in np.ndenumerate(table):
        fraction = (value - 1) / max(len(ranked) - 1, 1)
        text = f"{value:.1f}" if column == len(metrics) else f"{value:.0f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7,
                  color="black" if fraction < 0.5 else "white")  # fmt: skip
    labels = [f"{key}" for key in metrics]
    axes.set_xticks(np.arange(len(metrics) + 1) + 0.5, [*labels, "mean"], rotation=45, ha="left")
    axes.set_yticks(np.arange(len(names)) + 0.5, [name if name in ranked else f"({name})" for name in names])
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.axvline(len(metrics), color="white", lw=3)
    if unranked:
        axes.axhline(len(ranked), color="white", lw=3)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.set_title(title, pad=8)
    return figure


def trade_off(ranks: Mapping[str, float], costs: Sequence[Cost], ours: Sequence[str], what: str, title: str) -> Figure:
    """Mean rank versus cost; lower left is better, and a line marks the Pareto front."""
    points = {
        cost.method: (cost.relative_time, ranks[cost.method])
        for cost in costs
        if cost.method in ranks and cost.relative_time > 0
    }
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    front = sorted((x, y) for x, y in points.values() if not any(
        (u <= x and v <= y) and (u, v) != (x, y) for u, v in points.values()))  # fmt: skip
    axes.plot([x for x, _ in front], [y for _, y in front], color="#BBBBBB", lw=1, ls="--", zorder=1)
    for name, (x, y) in points.items():
        own = name in ours
        axes.scatter(x, y, s=45 if own else 22, color=OURS if own else OTHERS, marker="D" if own else "o", zorder=3)
    axes.set_xscale("log")
    axes.set_xlabel("time of one 480 x 640 pair, relative to the reference network")
    axes.set_ylabel(what)
    _margins(axes)
    _label(axes, points, ours)
    axes.set_title(title)
    return figure


def _margins(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(low / 2, high * 2.5)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom - 0.08 * (top - bottom), top + 0.08 * (top - bottom))


def _label(axes: Axes, points: Mapping[str, tuple[float, float]], ours: Sequence[str]) -> None:
    """Label the points to the right, left, above or below, wherever the label does not overlap."""
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    at = {
        name: (math.log(x / low) / math.log(high / low), (y - bottom) / (top - bottom))
        for name, (x, y) in points.items()
    }
    taken = [(x - 0.012, x + 0.012, y - 0.018, y + 0.018) for x, y in at.values()]
    for name, (x, y) in sorted(at.items(), key=lambda item: item[1][1]):
        length = 0.0135 * len(name) * (1.15 if name in ours else 1)
        corners = {
            "left": ((0.02, 0), (0.012, 0.04), (0.012, -0.04)), "right": ((-0.02 - length, 0),),
            "center": ((-length / 2, 0.045), (-length / 2, -0.045)),
        }  # fmt: skip
        boxes = [
            (anchor, (x + dx, x + dx + length, y + dy - 0.02, y + dy + 0.02))
            for anchor, shifts in corners.items()
            for dx, dy in shifts
        ]
        free = [one for one in boxes if not any(_overlap(one[1], other) for other in taken)]
        anchor, box = next(iter(free), boxes[0])
        taken.append(box)
        start = {"left": box[0], "right": box[1], "center": (box[0] + box[1]) / 2}[anchor]
        text = axes.text(
            start, (box[2] + box[3]) / 2, name, transform=axes.transAxes, ha=anchor, va="center", fontsize=7
        )
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.85})
        if name in ours:
            text.set(color=OURS, fontweight="bold")


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] < two[1] and two[0] < one[1] and one[2] < two[3] and two[2] < one[3]


def scatter(score: DatasetScores, ours: str, rival: str, metrics: Sequence[str], title: str) -> Figure:
    """Scatter plot of the scores of two methods per image: `ours` on the y axis, `rival` on the x axis."""
    columns = min(len(metrics), 5)
    rows = math.ceil(len(metrics) / columns)
    figure = new_figure(1.75 * columns, 1.9 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    for axes, key in zip(grid.flat, metrics, strict=False):
        x, y = score.values[key][rival], score.values[key][ours]
        low, high = float(np.nanmin([x, y])), float(np.nanmax([x, y]))
        pad = 0.06 * (high - low or 1)
        axes.plot([low - pad, high + pad], [low - pad, high + pad], color="#999999", lw=0.8, zorder=1)
        won = penalty(key, y) < penalty(key, x)
        axes.scatter(x[won], y[won], s=11, color=OURS, lw=0, alpha=0.85)
        axes.scatter(x[~won], y[~won], s=11, color=COLORS[1], lw=0, alpha=0.85)
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(low - pad, high + pad)
        axes.set_aspect("equal")
        arrow = {True: "↑", False: "↓", None: "◦"}[METRICS[key].higher_is_better]
        axes.set_title(f"{key} {arrow}  {int(won.sum())} of {len(x)}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=4)
    figure.supxlabel(rival, fontsize=9)
    figure.supylabel(ours, fontsize=9)
    figure.suptitle(f"{title} (blue: better in {ours})", fontsize=10)
    return figure


def robustness_curves(rows: Sequence[Row], dataset: str, methods: Sequence[str]) -> Figure:
    """Robustness metrics versus severity: one column per kind of degradation, one row per metric."""
    here = [row for row in rows if row.dataset == dataset]
    kinds = [kind for kind in dict.fromkeys(row.degradation for row in here) if kind != CLEAN.kind]
    means = _means(here)
    figure = new_figure(2.1 * len(kinds) + 1.4, 1.75 * len(ROBUSTNESS_METRICS) + 0.3)
    grid = figure.subplots(len(ROBUSTNESS_METRICS), len(kinds), squeeze=False, sharex="col", sharey="row")
    lines: dict[str, Any] = {}
    for line, curve in enumerate(ROBUSTNESS_METRICS):
        for column, kind in enumerate(kinds):
            axes = grid[line, column]
            for index, method in enumerate(methods):
                shown = {(method, kind, curve.key), (method, CLEAN.kind, curve.key)}
                points = sorted((s, v) for (m, k, s, key), v in means.items() if (m, k, key) in shown)
                (lines[method],) = axes.plot(
                    [s for s, _ in points], [v for _, v in points], marker="o" if index == 0 else ".", ms=4,
                    lw=2.2 if index == 0 else 1.2, color=COLORS[index % len(COLORS)], zorder=3 if index == 0 else 2,
                    ls="-" if index < len(COLORS) else ":",
                )  # fmt: skip
            axes.grid(color="#EEEEEE", lw=0.8)
            if line == 0:
                axes.set_title(kind)
            if line == len(ROBUSTNESS_METRICS) - 1:
                axes.set_xlabel("severity")
            if column == 0:
                axes.set_ylabel(curve.title.replace(" (", "\n("), fontsize=8)
    figure.legend(lines.values(), lines.keys(), loc="outside right center")
    figure.suptitle(f"{dataset}: how much of the clean scene is kept", fontsize=10)
    return figure


def _means(rows: Sequence[Row]) -> dict[tuple[str, str, float, str], float]:
    found: dict[tuple[str, str, float, str], list[float]] = {}
    for row in rows:
        found.setdefault((row.method, row.degradation, row.severity, row.metric), []).append(row.value)
    return {key: float(np.mean(values)) for key, values in found.items()}
