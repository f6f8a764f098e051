"""Compare several networks on the same rows: one table of all, and the paired differences of each of our weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from refinefuse.benchmark.detection import SOURCES
from refinefuse.detection.evaluation import interval
from refinefuse.scoring.ranking import ranks_of
from refinefuse.scoring.rendering import ARROWS, Cell, Mark, Table, format_value, marks

MEAN = "mean"


class Measured(NamedTuple):
    """A value and its bootstrap samples, in the same order for all rows."""

    value: float
    samples: Float[np.ndarray, " n"]


Rows = Mapping[str, Mapping[str, Measured]]
"""Values by network and row."""


def side_by_side(key: str, title: str, measure: str, networks: Rows, ours: Sequence[str]) -> list[Table]:
    """Create a table of all networks and, for each of our weights, one of its differences from every other row.

    Args:
        key: prefix of the table files.
        title: title of the tables.
        measure: name of the metric; higher is better.
        networks: values by network and row; rows that a network lacks are dropped.
        ours: rows whose differences are shown.
    """
    rows = [row for row in next(iter(networks.values())) if all(row in found for found in networks.values())]
    whole = {**networks, MEAN: {row: _mean([found[row] for found in networks.values()]) for row in rows}}
    ranks = _mean_ranks(networks, rows)
    methods = sorted(ranks, key=lambda row: (ranks[row], -whole[MEAN][row].value))
    ordered = [*(row for row in SOURCES if row in rows), *methods]
    marked = {
        name: marks({row: -found[row].value for row in methods if not math.isnan(found[row].value)})
        for name, found in whole.items()
    }
    best = marks(ranks)
    cells = {
        row: (
            *(_value(found[row], marked[name].get(row, "")) for name, found in whole.items()),
            Cell(f"{ranks[row]:.2f}", ranks[row], best[row]) if row in ranks else Cell("–"),
        )
        for row in ordered
    }
    sources = sum(row in SOURCES for row in ordered)
    header = ("", *(f"{name}: {measure} {ARROWS[True]}" for name in whole), f"mean rank {ARROWS[False]}")
    rules = frozenset({sources}) if 0 < sources < len(ordered) else frozenset[int]()
    first = Table(
        key,
        title,
        header,
        tuple(cells.items()),
        ("Mean rank: rank among the methods, averaged over the networks.",),
        rules,
    )
    return [first, *(_differences(key, measure, whole, own, ordered) for own in ours if own in rows)]


def _mean(of: Sequence[Measured]) -> Measured:
    return Measured(float(np.mean([one.value for one in of])), np.mean([one.samples for one in of], 0))


def _mean_ranks(networks: Rows, rows: Sequence[str]) -> dict[str, float]:
    methods = [row for row in rows if row not in SOURCES]
    ranks = [ranks_of({row: -found[row].value for row in methods}) for found in networks.values()]
    return {row: float(np.mean([of.get(row, 1) for of in ranks])) for row in methods}


def _value(measured: Measured, mark: Mark) -> Cell:
    low, high = interval(measured.samples)
    return Cell(format_value(measured.value), measured.value, mark, f"{format_value(low)} to {format_value(high)}")


def _differences(key: str, measure: str, whole: Rows, own: str, rows: Sequence[str]) -> Table:
    """Difference of our row from each other row with its interval; bold if the whole interval is above zero."""
    others = [row for row in rows if row != own]
    cells = {row: tuple(difference(found[own], found[row]) for found in whole.values()) for row in others}
    note = (
        "With 95 % bootstrap intervals over images (same resamples for both). Bold: significantly better; "
        "italics: significantly worse."
    )
    sources = sum(row in SOURCES for row in others)
    rules = frozenset({sources}) if 0 < sources < len(others) else frozenset[int]()
    header = (f"{own} minus", *whole)
    return Table(
        f"{key}-{own}", f"{measure} of {own} minus that of others", header, tuple(cells.items()), (note,), rules
    )


def difference(one: Measured, other: Measured) -> Cell:
    """Difference of two values with its confidence interval."""
    low, high = interval(one.samples - other.samples)
    value = one.value - other.value
    mark: Mark = "best" if low > 0 else "second" if high < 0 else ""
    return Cell(f"{value:+.3f} ({low:+.3f} to {high:+.3f})", value, mark)
