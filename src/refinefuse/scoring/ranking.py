"""Ranks by penalty for all tables and figures: 1 is the best, ties share a rank, NaN is not ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def rank(own: float, others: Sequence[float]) -> int:
    """Return the rank of one penalty among others, compared to 9 decimals so that rounding noise counts as a tie."""
    return 1 + sum(round(other, 9) < round(own, 9) for other in others if not math.isnan(other))


def ranks_of(penalties: Mapping[str, float]) -> dict[str, int]:
    """Return the rank of each name; NaN and single names are not ranked."""
    known = {name: value for name, value in penalties.items() if not math.isnan(value)}
    return {name: rank(value, list(known.values())) for name, value in known.items()} if len(known) > 1 else {}
