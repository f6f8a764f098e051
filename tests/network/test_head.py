"""Level, detail and contrast: what the head keeps by construction."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from refinefuse.network.config import NetworkConfig
from refinefuse.network.head import FusionHead
from refinefuse.network.model import RefineFuse

CONFIG = NetworkConfig(channels=(4, 6, 8), patch_size=4, context_size=8, context_channels=8, num_heads=2)


def lively(config: NetworkConfig) -> RefineFuse:
    torch.manual_seed(1)
    model = RefineFuse.from_config(config).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def pair() -> torch.Tensor:
    return torch.rand(2, 1, 1, 64, 80, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def level(d: torch.Tensor, u: float, v: float, contrast: float = 1.0) -> torch.Tensor:
    """How far the level of two flat sources that differ by `d` is from their mean."""
    head = FusionHead((2,), 1, bound=1.0)
    rule = torch.tensor([u, v]).view(1, 2, 1, 1)
    a = d.view(-1, 1, 1, 1) / 2
    return (head._level(rule, a, -a, contrast)).flatten()


def test_without_contrast_the_level_is_the_mean_of_the_sources():
    a, b = torch.full((2, 1, 1, 64, 64), 0.3, dtype=torch.float64)
    b = b + 0.4
    none, full = (lively(replace(CONFIG, contrast=c))(a, b) for c in (0.0, 1.0))
    torch.testing.assert_close(none, (a + b) / 2)
    assert (full - none).abs().max() > 0.01


def test_the_level_moves_in_proportion_to_the_contrast():
    d = torch.linspace(-0.5, 0.5, 11)
    torch.testing.assert_close(level(d, 0.4, 0.2, 0.25), 0.25 * level(d, 0.4, 0.2))


def test_the_pull_to_the_brighter_source_has_no_kink_where_they_cross():
    d = torch.tensor([-1e-3, 0.0, 1e-3])
    left, middle, right = level(d, 0.0, 1.0).tolist()
    assert middle == 0
    assert abs(right - left) < 1e-9
    assert right < 0.02e-3  # |d| itself gives 1e-3
    assert level(torch.tensor([0.8]), 0.0, 0.5).item() == pytest.approx(0.4, rel=0.1)  # nearly the brighter source


def test_only_full_contrast_teaches_the_level():
    a, b = pair()
    model = lively(CONFIG)
    context = model.encode_context(a, b)
    for contrast, taught in ((0.5, False), (1.0, True)):
        model.zero_grad()
        given = torch.full((1, 1, 1, 1), contrast, dtype=torch.float64)
        model.predict_padded(a, b, context, given).fused.sum().backward(retain_graph=True)
        assert bool(model.head.predict[-1].weight.grad is not None) == taught or (
            bool(model.head.predict[-1].weight.grad.any()) == taught
        )
        assert model.head.predict[0].weight.grad.any()


def test_a_symmetric_network_gives_the_same_bytes_in_both_orders():
    a, b = pair()
    model = lively(replace(CONFIG, symmetric=True)).float()
    one, other = (
        model.predict(x, y, model.encode_context(x, y)) for x, y in ((a.float(), b.float()), (b.float(), a.float()))
    )
    assert torch.equal(one.fused, other.fused)
    torch.testing.assert_close(one.weight_map, 1 - other.weight_map)
    plain = lively(CONFIG).float()
    assert not torch.equal(plain(a.float(), b.float()), plain(b.float(), a.float()))
