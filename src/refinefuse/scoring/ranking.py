"""Ranks by penalty, as every table and figure uses them: 1 is the best, equal values share a rank, NaN has none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def rank(own: float, others: Sequence[float]) -> int:
    """Rank of one penalty among others; both are compared with 9 decimals, so that noise of rounding is a tie."""
    return 1 + sum(round(other, 9) < round(own, 9) for other in others if not math.isnan(other))


def ranks_of(penalties: Mapping[str, float]) -> dict[str, int]:
    """Rank of each name; a NaN has none, and one name alone is not ranked."""
    known = {name: value for name, value in penalties.items() if not math.isnan(value)}
    return {name: rank(value, list(known.values())) for name, value in known.items()} if len(known) > 1 else {}
