"""What the two metrics of edges and curves that neither source has see, and what they do not."""

import oracle
import pytest
import torch
from images import tensors, triplet

from refinefuse.metrics import spurious_curvature, spurious_edges

BOTH = pytest.mark.parametrize("metric", [spurious_edges, spurious_curvature])


def ramps(side: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sources that cross in the middle: one rises to the right, the other to the left."""
    a = torch.linspace(40, 200, side, dtype=torch.float64).expand(1, 1, side, side)
    return a, a.flip(-1)


@BOTH
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_a_mix_by_one_weight_has_none(metric, weight):
    _, a, b = tensors(*triplet(64, 70))
    assert float(metric(weight * a + (1 - weight) * b, a, b)) == pytest.approx(0, abs=1e-9)


@BOTH
def test_a_dark_curve_where_the_sources_cross_is_seen(metric):
    a, b = ramps()
    valley = (a + b) / 2 - 60 * torch.exp(-(((a - b) / 30) ** 2))
    assert float(metric(valley, a, b)) > 5


def test_the_maximum_has_a_curve_but_no_edge_of_its_own():
    a, b = ramps()
    fused = torch.maximum(a, b)
    assert float(spurious_edges(fused, a, b)) == pytest.approx(0, abs=1e-9)
    assert float(spurious_curvature(fused, a, b)) > 1


@BOTH
def test_noise_of_single_pixels_is_not_counted_much(metric):
    """It is for `noise_gain`; coarser scales average it away."""
    fused, a, b = tensors(*triplet(96, 96))
    noise = torch.randn(fused.shape, generator=torch.Generator().manual_seed(0), dtype=fused.dtype)
    assert float(metric((a + b) / 2 + 3 * noise, a, b)) < 1


@BOTH
def test_equals_the_literal_program_on_a_slanted_curve(metric):
    _, a, b = tensors(*triplet(90, 100))
    y, x = (torch.arange(n, dtype=a.dtype) for n in (90, 100))
    fused = (a + b) / 2 - 60 * torch.exp(-(((x + 0.7 * y[:, None] - 80) / 12) ** 2))
    expected = getattr(oracle, metric.__name__)(*(image[0, 0].numpy() for image in (fused, a, b)))
    assert expected > 1
    assert float(metric(fused, a, b)) == pytest.approx(expected, rel=1e-9)
