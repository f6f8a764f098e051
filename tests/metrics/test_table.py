"""What the table says of each metric is what it does."""

import pytest
import torch
from images import tensors, triplet

from refinefuse import metrics
from refinefuse.metrics import METRICS

SIZE = 165
"""For every metric."""
TRIPLET = tensors(*triplet(SIZE, SIZE))


def values(key, *images):
    return METRICS[key].function(*images)


@pytest.mark.parametrize("key", METRICS)
def test_symmetric_and_sources(key):
    fused, a, b = TRIPLET
    once, exchanged, of_others = (
        values(key, fused, a, b),
        values(key, fused, b, a),
        values(key, fused, (a.roll(9, -1) * 0.6).trunc(), b.roll(7, -2)),
    )
    same = torch.isclose(once, exchanged, rtol=1e-9, atol=1e-9)
    assert bool(same) == METRICS[key].symmetric or key == "VIFF"  # which prefers `b` only where gains are equal
    assert bool(once == of_others) != METRICS[key].sources


@pytest.mark.parametrize(("key", "black_and_white"), [("SD", 127.5), ("VAR", 127.5**2), ("RMSE", 255), ("MSE", 255**2)])
def test_upper_bounds_are_reached(key, black_and_white):
    black, white = torch.zeros(1, 1, 20, 20), torch.full((1, 1, 20, 20), 255.0)
    halves = torch.cat([black, white], -1)
    sources = (halves, halves, halves) if key in ("SD", "VAR") else (black, white, white)
    assert float(values(key, *sources)) == pytest.approx(black_and_white)
    assert METRICS[key].upper_bound == black_and_white


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'ssmi'"):
        metrics.ssmi  # noqa: B018
