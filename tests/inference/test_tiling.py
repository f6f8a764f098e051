"""Fusing by tiles equals fusing the whole, for every size and tile."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refinefuse import Fuser, NetworkConfig, RefineFuse
from refinefuse.errors import InputError
from refinefuse.image.scanlines import ArrayReader
from refinefuse.inference import tiling
from refinefuse.inference.stages import Fuse
from refinefuse.inference.streaming import format_of, iter_pairs, render_strip
from refinefuse.inference.threads import StageTimer
from refinefuse.network.context import StreamingGridStatistics, grid_statistics


def network(**changes):
    """A small network whose weights are random everywhere, so that nothing is multiplied by zero."""
    torch.manual_seed(0)
    config = NetworkConfig(
        **{"channels": (4, 6, 8), "num_heads": 2, "context_size": 8, "context_channels": 4, **changes}
    )
    model = RefineFuse.from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


MODEL = network().eval()
HALO = MODEL.halo
SIZES = st.integers(1, 3 * HALO)


def pair(height, width, dtype=torch.float32):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(2, 1, 1, height, width, generator=generator, dtype=dtype)


@settings(max_examples=25, derandomize=True)
@given(height=SIZES, width=SIZES, side=st.integers(HALO, 2 * HALO))
def test_tiled_is_whole_in_float64(height, width, side):
    a, b = pair(height, width, torch.float64)
    one, other = Fuser(MODEL, tile="off"), Fuser(MODEL, tile=side)
    one._network = other._network = network().double()
    whole, parts = one.predict(a, b), other.predict(a, b)
    torch.testing.assert_close(parts.fused, whole.fused, rtol=0, atol=1e-6)
    torch.testing.assert_close(parts.weight_map, whole.weight_map, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{}, {"patch_size": 4, "channels": (8, 8)}, {"patch_size": 1}, {"gradual_refinement": False}]
)
def test_tiled_is_whole_within_a_level_for_every_kind_of_network(changes):
    model = network(**changes)
    a = np.random.default_rng(0).integers(0, 256, (2 * model.halo + 37, 3 * model.halo + 5), np.uint8)
    b = np.random.default_rng(1).integers(0, 256, (*a.shape, 3), np.uint8)
    whole, parts = (Fuser(model, device="cpu", tile=tile)(a, b) for tile in ("off", model.halo + 3))
    assert np.abs(whole.astype(int) - parts).max() <= 1


@settings(max_examples=12, derandomize=True)
@given(height=SIZES, width=SIZES, side=st.integers(HALO, 2 * HALO), deep=st.booleans(), alpha=st.booleans())
def test_strips_are_whole_with_color_and_alpha(height, width, side, deep, alpha):
    values = np.random.default_rng(height).random((height, width, 5))
    a = (values[..., 4] * 255).astype(np.uint8)
    top = 65535 if deep else 255
    b = (values[..., : 4 if alpha else 3] * top).astype(np.uint16 if deep else np.uint8)
    fuser = Fuser(MODEL, device="cpu", tile="off")
    readers = ArrayReader(a), ArrayReader(b)
    strips = list(iter_pairs(fuser, readers, ("a", "b"), side))
    for strip in strips:
        Fuse(fuser, StageTimer("fuse"))(strip)
    rendered = [render_strip(strip, format_of(readers, fuser.color), fuser.color) for strip in strips]
    fused, weight_map = (np.concatenate(parts) for parts in zip(*rendered, strict=True))
    whole = fuser.fuse(a, b, return_weight_map=True)
    assert fused.dtype == whole.fused.dtype
    assert fused.shape == whole.fused.shape
    assert np.abs(fused.astype(int) - whole.fused).max() <= top // 255
    assert np.abs(weight_map - whole.weight_map * 255).max() <= 1
    if alpha:
        assert np.array_equal(fused[..., 3], b[..., 3])


@settings(max_examples=25, derandomize=True)
@given(st.integers(1, 200), st.integers(1, 200), st.lists(st.integers(0, 200), max_size=3))
def test_summing_strips_is_reducing_the_whole(height, width, cuts):
    x = pair(height, width, torch.float64)[0]
    statistics = StreamingGridStatistics(height, width, 8)
    edges = [0, *sorted(min(cut, height) for cut in cuts), height]
    for start, end in pairwise(edges):
        statistics.add(x[:, :, start:end])
    torch.testing.assert_close(statistics.result(), grid_statistics(x, 8), rtol=0, atol=1e-7)


@given(SIZES, SIZES, st.integers(1, 4 * HALO))
def test_tiles_cover_every_pixel_once(height, width, side):
    seen = np.zeros((height, width), int)
    for row in tiling.iter_tiles(height, width, side, HALO, MODEL.config.stride):
        for region, crop, inner in row:
            seen[region.top : region.top + region.height, region.left : region.left + region.width] += 1
            assert crop.top % MODEL.config.stride == crop.left % MODEL.config.stride == 0
            assert (crop.top + inner.top, crop.left + inner.left) == (region.top, region.left)
    assert (seen == 1).all()


def test_auto_goes_by_size_and_memory():
    config, halo = MODEL.config, 224
    need = tiling.bytes_per_pixel(config)
    assert tiling.tile_side("auto", 480, 640, config, halo, 8 << 30) is None
    assert tiling.tile_side("auto", 10000, 10000, config, halo, 64 << 30) == tiling.CPU.crop - 2 * halo
    assert tiling.tile_side("auto", 2000, 2000, config, halo, 2 * need * 1_000_000) == 1000 - 2 * halo
    assert tiling.tile_side("auto", 2000, 2000, config, halo, 0) == halo
    assert tiling.tile_side("off", 10**6, 10**6, config, halo, 0) is None
    assert tiling.tile_side(500, 400, 500, config, halo, 0) is None
    assert tiling.tile_side(500, 400, 501, config, halo, 0) == 500


@pytest.mark.parametrize(("tile", "text"), [(HALO - 1, f"at least: {HALO}"), (-1, "got: -1"), ("of", "auto, off")])
def test_tiles_that_make_no_sense(tile, text):
    with pytest.raises(InputError, match=text):
        Fuser(MODEL, device="cpu", tile=tile)
