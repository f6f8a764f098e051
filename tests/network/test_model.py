"""The promises of the network, on random weights: sizes, windows, switches, what it keeps by construction."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from refinefuse.errors import ConfigError, InputError
from refinefuse.network.config import SMALL, STANDARD, NetworkConfig
from refinefuse.network.context import STEP, area_weights, grid_statistics
from refinefuse.network.fusion_model import Region
from refinefuse.network.model import RefineFuse

TINY = NetworkConfig(channels=(4, 6, 8), patch_size=2, context_size=8, context_channels=8, num_heads=2)
SWITCHED = {
    "all": TINY,
    "no pixel interaction": replace(TINY, pixel_interaction=False),
    "no global attention": replace(TINY, global_attention=False),
    "no gradual refinement": replace(TINY, gradual_refinement=False),
    "single scale": replace(TINY, channels=(8,)),
    "single scale, not refined": replace(TINY, channels=(8,), gradual_refinement=False),
    "patches of 4": replace(TINY, patch_size=4),
    "single pixels": replace(TINY, patch_size=1),
    "symmetric": replace(TINY, symmetric=True),
}


def lively(config: NetworkConfig, seed: int = 0) -> RefineFuse:
    """A network whose weights are large enough that every part shows in the result."""
    torch.manual_seed(seed)
    model = RefineFuse.from_config(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def pair(height: int, width: int, dtype: torch.dtype = torch.float32, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    a, b = torch.rand(2, n, 1, height, width, generator=generator, dtype=dtype)
    return a, b


@pytest.mark.parametrize("config", [STANDARD, SMALL])
def test_untrained_network_returns_the_average(config):
    a, b = pair(37, 50)
    torch.testing.assert_close(RefineFuse.from_config(config)(a, b), (a + b) / 2)


@pytest.mark.parametrize("config", SWITCHED.values(), ids=SWITCHED.keys())
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 40), (17, 31), (48, 64)])
def test_any_size_in_the_same_size_out(config, height, width):
    a, b = pair(height, width)
    fused = lively(config)(a, b)
    assert fused.shape == a.shape
    assert fused.min() >= 0
    assert fused.max() <= 1


@pytest.mark.parametrize("switch", ["pixel_interaction", "global_attention", "gradual_refinement"])
def test_every_switch_takes_a_part_away(switch):
    names = {name for name, _ in RefineFuse.from_config(TINY).named_parameters()}
    fewer = {name for name, _ in RefineFuse.from_config(replace(TINY, **{switch: False})).named_parameters()}
    assert names - fewer


@pytest.mark.parametrize("config", SWITCHED.values(), ids=SWITCHED.keys())
def test_equal_sources_come_back_whatever_the_weights(config):
    a, _ = pair(40, 33)
    torch.testing.assert_close(lively(config)(a, a), a)


def test_both_sources_and_every_part_have_a_say():
    model = lively(TINY)
    a, b = pair(32, 32)
    a.requires_grad_()
    b.requires_grad_()
    model(a, b).square().sum().backward()
    assert a.grad.abs().sum() > 0
    assert b.grad.abs().sum() > 0
    silent = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not silent


@pytest.mark.parametrize("config", SWITCHED.values(), ids=SWITCHED.keys())
def test_a_region_is_the_same_as_in_the_whole_output(config):
    model = lively(config).double()
    a, b = pair(131, 203, torch.float64)
    context = model.encode_context(a, b)
    whole = model.predict(a, b, context)
    for region in (Region(0, 0, 131, 203), Region(50, 61, 20, 33), Region(130, 202, 1, 1), Region(0, 100, 131, 5)):
        part = model.predict(a, b, context, region)
        cut = (..., slice(region.top, region.top + region.height), slice(region.left, region.left + region.width))
        torch.testing.assert_close(part.fused, whole.fused[cut], rtol=0, atol=1e-12)
        torch.testing.assert_close(part.weight_map, whole.weight_map[cut], rtol=0, atol=1e-12)


@pytest.mark.parametrize("config", SWITCHED.values(), ids=SWITCHED.keys())
def test_the_halo_covers_all_that_a_pixel_depends_on(config):
    model = lively(config).double()
    side = 2 * model.halo + 64
    a, b = (x.requires_grad_() for x in pair(side, side, torch.float64))
    with torch.no_grad():
        context = model.encode_context(a, b)
    middle = side // 2
    output = model.predict(a, b, context)  # fused may be clamped there, and then depends on nothing
    (output.fused + output.weight_map)[0, 0, middle, middle].backward()
    for source in (a, b):
        touched = source.grad[0, 0].nonzero()
        assert (touched - middle).abs().max() <= model.halo


def test_the_halo_is_the_next_multiple_of_the_stride():
    """By hand: 2 x (4 + 8 + 16) + 2 x (4 + 8) + (8 + 16) + 2 x 16 + 4 = 140 pixels, and the stride is 16."""
    assert RefineFuse.from_config(NetworkConfig()).halo == 144


def test_the_context_sees_the_whole_pair():
    model = lively(TINY)
    a, b = pair(64, 200)
    changed = a.clone()
    changed[..., -1] = 1 - changed[..., -1]
    region = Region(0, 0, 8, 8)
    before = model.predict(a, b, model.encode_context(a, b), region).fused
    after = model.predict(a, b, model.encode_context(changed, b), region).fused
    assert not torch.equal(before, after)


def test_twice_the_same_and_the_same_in_a_batch():
    model = lively(TINY)
    a, b = pair(33, 47, n=3)
    assert torch.equal(model(a, b), model(a, b))
    alone = torch.cat([model(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(a, b), alone)


@pytest.mark.parametrize("region", [Region(0, 0, 0, 5), Region(-1, 0, 5, 5), Region(0, 0, 5, 41), Region(39, 0, 2, 2)])
def test_a_window_over_the_edge_is_refused(region):
    model = lively(TINY)
    a, b = pair(40, 40)
    with pytest.raises(InputError, match="within the image"):
        model.predict(a, b, model.encode_context(a, b), region)


def test_sources_of_different_shape_are_refused():
    model = lively(TINY)
    a, b = pair(40, 40)
    with pytest.raises(InputError, match=r"same shape(.|\n)*40, 40(.|\n)*40, 39"):
        model(a, b[..., 1:])


@pytest.mark.parametrize(("length", "cells"), [(1, 8), (5, 8), (16, 8), (100, 8), (641, 64)])
def test_area_weights_average_the_side_continued_to_a_multiple(length, cells):
    weights = area_weights(length, cells)
    whole = -(-length // STEP) * STEP
    assert weights.shape == (cells, length)
    torch.testing.assert_close(weights.sum(1), torch.ones(cells, dtype=torch.float64))
    expected = torch.full((length,), cells / whole, dtype=torch.float64)
    expected[-1] *= 1 + whole - length
    torch.testing.assert_close(weights.sum(0), expected)


def test_grid_statistics_give_mean_and_deviation_of_each_cell():
    x, _ = pair(32, 48, torch.float64)
    mean, deviation = grid_statistics(x, 8)[0]
    cells = x[0, 0].reshape(8, 4, 8, 6).permute(0, 2, 1, 3).reshape(8, 8, 24)
    torch.testing.assert_close(mean, cells.mean(-1))
    torch.testing.assert_close(deviation, cells.std(-1, unbiased=False))


def test_grid_statistics_keep_every_digit_under_autocast():
    x, _ = pair(64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        low = grid_statistics(0.5 + x / 100, 8)
    assert torch.equal(low, grid_statistics(0.5 + x / 100, 8))


def test_a_lost_column_leaves_the_cells_where_they_are():
    assert torch.equal(area_weights(641, 64)[:, :640], area_weights(642, 64)[:, :640])


@pytest.mark.parametrize("name", ["single scale", "single scale, not refined"])
def test_flat_sources_stay_flat_away_from_the_edge(name):
    model = lively(SWITCHED[name]).double()
    a = torch.full((1, 1, 96, 98), 0.3, dtype=torch.float64)
    fused = model(a, a + 0.4)[..., model.halo : -model.halo, model.halo : -model.halo]
    torch.testing.assert_close(fused[..., 2:, 2:], fused[..., :-2, :-2])  # the same in every patch


@pytest.mark.parametrize("name", sorted(SWITCHED))
def test_where_the_sources_agree_the_image_is_theirs_up_to_the_edge(name):
    a, _ = pair(47, 64, torch.float64)
    torch.testing.assert_close(lively(SWITCHED[name]).double()(a, a), a)


def test_config_survives_json():
    config = replace(STANDARD, channels=(8, 12), global_attention=False)
    assert NetworkConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 3}, "unknown: width"),
        ({"patch_size": 3}, "`patch_size` must be 1, 2 or 4"),
        ({"patch_size": 2.0}, "`patch_size`"),
        ({"num_heads": 5}, "`num_heads` must be a divisor of the last of `channels`, 64"),
        ({"channels": 7}, "`channels`"),
        ({"channels": []}, "`channels`"),
        ({"channels": ["x"]}, "`channels`"),
        ({"channels": [16, 3_000_000]}, "`channels`"),
        ({"context_size": 30}, "`context_size`"),
        ({"context_size": 2**40}, "`context_size`"),
        ({"pixel_interaction": "no"}, "`pixel_interaction`"),
        ({"residual_bound": float("inf")}, "`residual_bound`"),
    ],
)
def test_bad_config_is_refused(changed, message):
    text = json.dumps({**json.loads(STANDARD.to_json()), **changed})
    with pytest.raises(ConfigError, match=message):
        NetworkConfig.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[" * 100_000, "not valid JSON"), ("[1]", "JSON object"), ("{}", "missing: .*channels")],
)
def test_text_that_is_no_config_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        NetworkConfig.from_json(text)


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (torch.rand(1, 3, 16, 16), r"a: \(1, 3, 16, 16\)"),
        (torch.rand(16, 16), r"a: \(16, 16\)"),
        (torch.rand(1, 1, 16, 15), "same shape"),
        (torch.rand(1, 1, 0, 16), "same shape"),
        (torch.rand(1, 1, 16, 16).mul(255).to(torch.uint8), "type torch.uint8"),
        (torch.rand(1, 1, 16, 16) * 255, "`a` from .* to 2"),
        (torch.full((1, 1, 16, 16), float("nan")), "`a` from nan to nan"),
    ],
)
def test_sources_that_are_no_luma_are_refused(a, message):
    model = lively(TINY)
    with pytest.raises(InputError, match=message):
        model(a, a if a.shape[-2:] != (16, 15) else torch.rand(1, 1, 16, 16))
