"""An NVIDIA GPU computes what the CPU computes. `pytest -m gpu` on a machine that has one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from refinefuse.export import GraphForm
from refinefuse.inference.cuda import LARGEST_GRAPH
from refinefuse.inference.fuser import Fuser
from refinefuse.samples import read_sample
from refinefuse.weights.store import shipped

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU"),
]
SIZES = ((480, 640), (301, 496), (33, 17), (1, 1), (7, 513))
TOLERANCES = {"float32": (0.02, 1), "bfloat16": (0.5, 24), "float16": (0.1, 6)}
"""Levels by which a result may differ from that of the CPU, on average and at one pixel: docs/backends.md."""


@pytest.fixture(scope="module")
def scene():
    return read_sample("night_street")


def resized(scene, size):
    """The scene in a size, repeated at its edges where it is smaller."""
    fit = GraphForm(color=True, size=size, batch_size=1).fit
    a, b = (torch.from_numpy(np.moveaxis(np.atleast_3d(x), -1, 0)[None] / np.float32(255)) for x in scene)
    return tuple((255 * x).round().byte()[0].movedim(0, -1).squeeze(-1).numpy() for x in fit(a, b))


@pytest.mark.parametrize("precision", sorted(TOLERANCES))
@pytest.mark.parametrize("weights", sorted(shipped()))
def test_every_precision_is_as_near_to_the_cpu_as_documented(scene, weights, precision):
    on_gpu = Fuser(weights, device="cuda", precision=precision)
    on_cpu = Fuser(weights, device="cpu", backend="torch")
    mean, largest = TOLERANCES[precision]
    for size in SIZES:
        pair = resized(scene, size)
        expected = on_cpu(*pair).astype(int)
        for _ in range(3):  # as it comes, recorded, and from the record
            difference = np.abs(on_gpu(*pair) - expected)
            assert difference.mean() <= mean or difference.size < 100, (size, difference.mean())
            assert difference.max() <= largest, (size, difference.max())


def test_float32_does_not_become_tf32_and_leaves_the_setting_alone(scene):
    before = torch.backends.cudnn.allow_tf32
    Fuser(device="cuda", precision="float32")(*scene)
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_recorded_size_gives_each_pair_its_own_result(scene):
    fuser = Fuser(device="cuda", precision="float32")
    a, b = scene
    pairs = [(a, b), (np.ascontiguousarray(a[::-1]), b), (a, np.ascontiguousarray(b[:, ::-1]))]
    first = [fuser(*pair) for pair in pairs]
    again = [fuser(*pair) for pair in pairs]
    for one, other in zip(first, again, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    assert np.abs(first[0].astype(int) - first[1]).max() > 20


def test_threads_share_a_fuser(scene):
    fuser = Fuser(device="cuda", precision="float32")
    a, b = scene
    pairs = [(np.roll(a, shift, 1), np.roll(b, shift, 1)) for shift in range(0, 80, 5)]
    expected = [fuser(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: fuser(*pair), pairs))
    for one, other in zip(expected, found, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_tiles_and_batches_are_the_image_itself():
    fuser, tiled = (Fuser(device="cuda", precision="float32", tile=tile) for tile in ("off", 512))
    a, b = torch.rand(2, 3, 1, 700, 900, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([fuser.fuse_lumas([x[None], y[None]]).fused for x, y in zip(a, b, strict=True)])
    for other in (fuser, tiled):
        assert 255 * float((other.fuse_lumas([a, b]).fused - alone).abs().max()) <= 1


def test_results_come_back_where_the_sources_are():
    fuser = Fuser(device="cuda")
    a, b = torch.rand(2, 1, 48, 64)
    result = fuser.fuse(a, b, return_weight_map=True)
    assert (result.fused.device.type, result.weight_map.device.type) == ("cpu", "cpu")
    assert fuser(a.cuda(), b.cuda()).device.type == "cuda"


def test_memory_does_not_grow_with_the_sizes_that_come():
    fuser = Fuser(device="cuda", precision="float32")
    for side in range(64, 1024, 16):
        a, b = torch.rand(2, 1, side, side)
        for _ in range(2):
            fuser(a, b)
    grown = torch.cuda.memory_reserved()
    side = int(LARGEST_GRAPH**0.5)
    a, b = torch.rand(2, 1, side, side)
    for _ in range(3):
        fuser(a, b)
    assert torch.cuda.memory_reserved() - grown < 8 << 30
    assert grown < 8 << 30
