"""How far another form of a network is from the one in torch: in levels, and in what the metrics see."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from refinefuse.metrics import evaluate
from refinefuse.network.windows import Painter

SIZES = ((480, 640), (161, 250), (33, 17), (1, 1))
"""A usual size, two that no stride divides, and the smallest."""
METRICS = ("SCD", "VIF", "Qabf", "SSIM", "kept", "lost", "noise")


@torch.inference_mode()
def fused(painter: Painter, a: Tensor, b: Tensor) -> Tensor:
    """The fused luma (1, 1, h, w) in [0, 1]."""
    return painter.paint(a, b, painter.context(a, b)).fused


def worst_difference(expected: Painter, got: Painter) -> float:
    """The largest difference in 8-bit levels over random pictures of `SIZES`: every value meets every other there."""
    noise = torch.Generator().manual_seed(0)
    pairs = [torch.rand(2, 1, 1, *size, generator=noise) for size in SIZES]
    return max(255 * float((fused(expected, *pair) - fused(got, *pair)).abs().max()) for pair in pairs)


def losses(
    expected: Painter, got: Painter, pairs: Iterable[tuple[Tensor, Tensor]]
) -> tuple[float, float, dict[str, tuple[float, float]]]:
    """What real pairs lose: mean and largest difference in levels, and of each metric both means.

    Args:
        expected: the network in torch.
        got: its other form.
        pairs: luma (1, 1, h, w) in [0, 1].
    """
    means, largest, scores = [], [], []
    for a, b in pairs:
        pictures = [fused(painter, a, b) for painter in (expected, got)]
        apart = 255 * (pictures[0] - pictures[1]).abs()
        means.append(float(apart.mean()))
        largest.append(float(apart.max()))
        rounded = torch.cat([(255 * picture).round() for picture in pictures])
        rows = evaluate(rounded, *(255 * x.expand_as(rounded) for x in (a, b)), metrics=METRICS)
        scores.append(torch.stack([rows[name].double().reshape(2, -1).mean(1) for name in METRICS]))
    both = torch.stack(scores).mean(0)
    table = {name: (float(row[0]), float(row[1])) for name, row in zip(METRICS, both, strict=True)}
    return sum(means) / len(means), max(largest), table
