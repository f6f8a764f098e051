"""Every term against its formula, literal, in numpy; and the defaults that a recipe without weights has."""

from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from refinefuse.losses import TERMS, LossWeights, fusion_loss, sobel_per_pixel
from refinefuse.metrics import qabf, scd, spurious_curvature, spurious_edges, ssim, vif

WEIGHTS = {"intensity": 3, "gradient": 20, "ssim": 0.3, "vif": 0.25, "qabf": 0.6, "scd": 0.4, "edge_recall": 0.6,
           "hot_target": 3, "overshoot": 60, "spurious_edges": 20, "spurious_curvature": 5, "detection": 0,
           "object_recall": 0, "segmentation": 0, "coarse_level": 0}  # fmt: skip
"""Change them together with docs/training.md and the recipes that leave them out."""


@pytest.fixture
def planes():
    """Fused, a and b, levels 0..255, (2, 1, 40, 44): edges of either source alone, hot and cold spots, halos."""
    y, x = np.mgrid[0:40, 0:44]
    rng = np.random.default_rng(0)
    a = 60 + 40 * (x > 20) + 5 * np.sin(y / 3) + 110 * ((y > 8) & (y < 16) & (x > 5) & (x < 13))
    a += np.clip(3 * (x - 22), 0, 60) * ((y > 8) & (y < 16))  # warmer and warmer
    b = 90 + 50 * (y > 25) + 6 * np.cos(x / 4) - 70 * ((y > 28) & (x > 30))
    fused = 0.55 * a + 0.5 * b + 25 * np.sin(x / 2) + rng.normal(0, 2, a.shape)
    stack = [np.stack([z, z[::-1, ::-1] * 0.9]) for z in (fused, a, b)]
    return [torch.from_numpy(np.clip(z, 0, 255))[:, None] for z in stack]


def slopes(x):
    """Sobel / 8 with the border repeated."""
    windows = sliding_window_view(np.pad(x, 1, mode="edge"), (3, 3))
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    return np.einsum("ijkl,kl->ij", windows, kernel), np.einsum("ijkl,kl->ij", windows, kernel.T)


def intensity(f, a, b):
    return [np.abs(f - np.maximum(a, b)) / 255], [f.size]


def gradient(f, a, b):
    parts = [
        np.abs(s - np.where(np.abs(t) >= np.abs(u), t, u)) for s, t, u in zip(*map(slopes, (f, a, b)), strict=True)
    ]
    return [sum(parts) / 255], [f.size]


def edge_recall(f, a, b):
    """The sum over the edges of each source alone, and how many there are."""
    sums, counts = [], []
    (fx, fy), sources = slopes(f), [slopes(a), slopes(b)]
    for (x, y), (u, v) in (sources, sources[::-1]):
        own = (np.hypot(x, y) > 6) & (np.hypot(x, y) > 2 * np.hypot(u, v))
        reached = (fx * x + fy * y)[own] / np.maximum(x * x + y * y, 1)[own]
        sums.append(np.maximum(0.9 - reached, 0) / 2)
        counts.append(own.sum())
    return sums, counts


def hot_target(f, a, b):
    hot = (a > np.percentile(a, 95)) & (a > np.median(a) + 30)
    wanted = np.maximum(np.maximum(a, b), np.median(f) + 10)
    return [np.maximum(wanted - f, 0)[hot] / 255], [hot.sum()]


def overshoot(f, a, b):
    def around(x, pick, fill):
        return pick(sliding_window_view(np.pad(x, 7, constant_values=fill), (15, 15)), axis=(2, 3))

    above = f - around(np.maximum(a, b), np.max, -np.inf) - 3
    below = around(np.minimum(a, b), np.min, np.inf) - 3 - f
    return [(np.maximum(above, 0) + np.maximum(below, 0)) / 255], [f.size]


def coarse_level(f, a, b):
    """The Gaussian of 4 pixels, 12 to each side, with the border repeated."""
    hot = np.clip((a - np.median(a) - 30) / 40, 0, 1)
    wanted = (a + b) / 4 + (b + hot * np.maximum(a - b, 0)) / 2
    weights = np.exp(-(np.arange(-12, 13) ** 2) / 32)
    windows = sliding_window_view(np.pad(f - wanted, 12, mode="edge"), (25, 25))
    return [np.abs(np.einsum("ijkl,k,l->ij", windows, weights, weights) / weights.sum() ** 2) / 255], [f.size]


@pytest.mark.parametrize("literal", [intensity, gradient, edge_recall, hot_target, overshoot, coarse_level])
def test_equals_the_formula(literal, planes):
    batch = [literal(*(x[i, 0].numpy() for x in planes)) for i in range(2)]
    expected = 0.0
    for part in range(len(batch[0][0])):  # the mean is over all that the batch has
        expected += sum(sums[part].sum() for sums, _ in batch) / sum(counts[part] for _, counts in batch)
    found = TERMS[literal.__name__](*planes)
    assert expected > 1e-4
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("name", "metric"), [("ssim", ssim), ("vif", vif), ("qabf", qabf), ("scd", scd)])
def test_is_minus_the_metric(name, metric, planes):
    assert float(TERMS[name](*planes)) == pytest.approx(-float(metric(*planes).mean()))


def test_slopes_are_in_levels_per_pixel():
    ramp = torch.arange(10.0).expand(1, 1, 6, 10)
    along, down = sobel_per_pixel(3 * ramp)
    torch.testing.assert_close(along[..., 1:-1], torch.full((1, 1, 6, 8), 3.0))
    torch.testing.assert_close(down, torch.zeros(1, 1, 6, 10))
    torch.testing.assert_close(sobel_per_pixel(3 * ramp.transpose(2, 3))[1], along.transpose(2, 3))


def test_nothing_to_ask_for_costs_nothing():
    flat = torch.full((1, 1, 30, 30), 90.0)
    for name in ("intensity", "gradient", "edge_recall", "hot_target", "overshoot"):
        assert TERMS[name](flat, flat, flat) == 0


def test_default_weights():
    assert asdict(LossWeights()) == WEIGHTS


def ramp(slope):
    """A plane that rises by so many levels per pixel to the right."""
    return 100 + slope * torch.arange(14.0, dtype=torch.float64).expand(1, 1, 14, 14)


@pytest.mark.parametrize(
    ("own", "other", "counts"), [(5.95, 0, False), (6.05, 0, True), (6.5, 3.2, True), (6.5, 3.3, False)]
)
def test_an_edge_is_above_6_levels_per_pixel_and_twice_the_other(own, other, counts):
    assert (float(TERMS["edge_recall"](ramp(0), ramp(own), ramp(other))) > 0) == counts


def test_of_two_edges_of_one_strength_that_of_the_first_source_is_asked_for():
    up, down = ramp(5.0), ramp(-5.0)
    assert float(TERMS["gradient"](up, up, down)) == 0
    assert float(TERMS["gradient"](up, down, up)) > 0


@pytest.mark.parametrize(("warmer", "is_hot"), [(30, False), (31, True)])
def test_hot_is_more_than_30_levels_above_the_middle(warmer, is_hot):
    a = torch.full((1, 1, 40, 40), 50.0)
    a[..., :5, :5] += warmer
    assert (float(TERMS["hot_target"](torch.zeros_like(a), a, torch.zeros_like(a))) > 0) == is_hot


@pytest.mark.parametrize("bright", range(3))
def test_all_three_images_are_scaled_to_levels(bright):
    planes = [torch.full((2, 1, 32, 32), float(index == bright)) for index in range(3)]
    assert float(fusion_loss(*planes, LossWeights())[1]["intensity"]) == 1


def test_weights_are_a_value():
    with pytest.raises(FrozenInstanceError):
        LossWeights().vif = 2.0
    assert len({LossWeights(), LossWeights(), LossWeights(vif=2.0)}) == 2


def test_a_hot_target_is_10_levels_above_the_middle():
    a, b = torch.full((1, 1, 40, 40), 20.0), torch.full((1, 1, 40, 40), 40.0)
    a[..., 10:18, 10:18] = 80
    scene = torch.full((1, 1, 40, 40), 150.0)
    torch.testing.assert_close(TERMS["hot_target"](scene, a, b), torch.tensor(10 / 255))


@pytest.mark.parametrize(
    ("name", "metric"), [("spurious_edges", spurious_edges), ("spurious_curvature", spurious_curvature)]
)
def test_is_a_hundredth_of_the_metric(name, metric):
    y, x = torch.meshgrid(*[torch.arange(128.0, dtype=torch.float64)] * 2, indexing="ij")
    a, b = 100 + 20 * torch.sin(x / 20)[None, None], 90 + 20 * torch.cos(y / 20)[None, None]
    fused = (a + b) / 2 + 80 * torch.exp(-((x - 64) ** 2 + (y - 64) ** 2) / 400)
    value = float(metric(fused, a, b).mean())
    assert value > 1
    assert float(TERMS[name](fused, a, b)) == pytest.approx(value / 100)


@pytest.mark.parametrize("name", ["edge_recall", "hot_target"])
def test_several_processes_count_together(name, planes, monkeypatch):
    """Each of four divides by the mean of what all count, so that the mean of their gradients is that of the batch."""
    alone = float(TERMS[name](*planes))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.mul_(4))  # all have as many
    assert float(TERMS[name](*planes)) == pytest.approx(alone)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count)  # the others have none
    assert float(TERMS[name](*planes)) == pytest.approx(4 * alone)
