"""Parts of the network that run faster on the CPU than in torch, with the same values up to rounding.

Measured at 480 x 640 on one thread: the head takes 1.8 ms instead of 9.8, the grid statistics 0.3 ms instead of 1.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.filters import root
from refinefuse.network.config import NetworkConfig
from refinefuse.network.context import STEP, Context, grid_statistics
from refinefuse.network.fusion_model import FusionModel, check_sources
from refinefuse.network.head import CROSSING, NEGLIGIBLE, FusionHead, FusionOutput
from refinefuse.network.model import RefineFuse

Plane = NDArray[np.float32]
"""(h, w)."""


class CpuHead:
    """`FusionHead` for one image, equal up to float32 rounding; see there for the definition.

    Args:
        config: config of the network.
    """

    def __init__(self, config: NetworkConfig) -> None:
        head = FusionHead(config.channels, config.patch_size, config.residual_bound)
        self.counts, self.sides = head.counts, head.sides
        self.strength = np.float32(config.contrast * config.residual_bound)

    def __call__(self, rules: Sequence[Tensor], a: Tensor, b: Tensor) -> FusionOutput:
        """Fuse images (n, 1, h, w) as controlled by the rules of each scale, (n, c, i, j)."""
        by_image = zip(*(rule.numpy() for rule in rules), strict=True)
        outputs = [self._fuse(x[0], y[0], planes) for x, y, planes in zip(a.numpy(), b.numpy(), by_image, strict=True)]
        if len(outputs) == 1:
            return FusionOutput(*(torch.from_numpy(plane)[None, None] for plane in outputs[0]))
        return FusionOutput(*(torch.from_numpy(np.stack(planes)[:, None]) for planes in zip(*outputs, strict=True)))

    def _fuse(self, a: Plane, b: Plane, planes: Sequence[NDArray[np.float32]]) -> tuple[Plane, Plane]:
        blocks = np.split(planes[0], np.cumsum(self.counts[:-1]))
        mix, *fine = (_unfold(block, side) for block, side in zip(blocks, self.sides, strict=True))
        gains = [*fine, *planes[1:]]
        level = gains.pop()
        weight = mix[0]
        weight += 1
        weight /= 2
        bands_a, bands_b = (_bands(x, len(gains)) for x in (a, b))
        weights = [weight]
        for _ in gains[1:]:
            weights.append(_halved(weights[-1]))
        fused = self._level(level, bands_a.pop(), bands_b.pop())
        for gain in reversed(gains):
            fused = _doubled(fused)
            fused += _detail(gain, weights.pop(), bands_a.pop(), bands_b.pop())
        return np.clip(fused, 0, 1, out=fused), weight

    def _level(self, rule: Plane, a: Plane, b: Plane) -> Plane:
        difference = a - b
        smooth = difference * difference / (abs(difference) + np.float32(CROSSING))
        level: Plane = (a + b) / 2 + self.strength * (rule[0] * difference + rule[1] * smooth)
        return level


def _detail(rule: NDArray[np.float32], weight: Plane, a: Plane, b: Plane) -> Plane:
    alone = _halved(abs(a - b))
    alone /= _halved(abs(a) + abs(b)) + np.float32(NEGLIGIBLE)
    by_blocks = rule.shape[1:] == alone.shape
    first, second = (_doubled(gain * alone) for gain in rule) if by_blocks else rule * _doubled(alone)
    first += weight  # b + weight (a - b) + first a + second b
    first *= a
    second += 1 - weight
    second *= b
    first += second
    return first


def _bands(x: Plane, count: int) -> list[Plane]:
    """Decompose into `count` bands, fine to coarse; the last is the residual."""
    parts = []
    for _ in range(count):
        smaller = _halved(x)
        parts.append(x - _doubled(smaller))
        x = smaller
    return [*parts, x]


def _halved(x: Plane) -> Plane:
    """Means of 2 x 2 pixels."""
    height, width = x.shape
    return np.asarray(cv2.resize(x, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)


def _doubled(x: Plane) -> Plane:
    """Bilinear upsampling by 2."""
    height, width = x.shape
    return np.asarray(cv2.resize(x, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR), np.float32)


def _unfold(x: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Rearrange channels (c side side, h, w) into blocks of pixels (c, side h, side w)."""
    count, height, width = x.shape[0] // side**2, *x.shape[1:]
    planes = x.reshape(count, side, side, height, width)
    whole = np.empty((count, height, side, width, side), np.float32)
    for channel, row in np.ndindex(count, side):
        cv2.merge(list(planes[channel, row]), whole[channel, :, row])
    return whole.reshape(count, side * height, side * width)


class OnCpu(FusionModel):
    """A network on the CPU, for inference only."""

    def encode_context(self, a: Tensor, b: Tensor) -> Context:
        """Encode the context of a whole pair of lumas (n, 1, h, w)."""
        check_sources(a, b)
        return self.encode_context_from_stats(*(_grid_statistics(x, self.config.context_size) for x in (a, b)))


def _grid_statistics(x: Tensor, grid: int) -> Tensor:
    """`grid_statistics`, with a fast path if every cell contains whole pixels."""
    n, _, height, width = x.shape
    if height % math.lcm(grid, STEP) or width % math.lcm(grid, STEP):
        return grid_statistics(x, grid)
    cells = x.reshape(n, grid, height // grid, width)
    down = cells.mean(2, keepdim=True)
    within = (cells - down).square_().mean(2).reshape(n, grid, grid, -1).mean(-1)
    along = down.reshape(n, grid, grid, -1)
    mean = along.mean(-1)
    variance = (along - mean[..., None]).square_().mean(-1) + within
    return torch.stack([mean, root(variance)], 1)


class CpuModel(OnCpu):
    """A torch network on the CPU.

    Args:
        network: a network on the CPU, in evaluation mode.
    """

    def __init__(self, network: RefineFuse) -> None:
        self.config, self.network, self.head = network.config, network, CpuHead(network.config)

    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """Encode the context with the network."""
        return self.network.encode_context_from_stats(a, b)

    def predict_padded(self, a: Tensor, b: Tensor, context: Context) -> FusionOutput:
        """Fuse one image whose sides are multiples of the stride."""
        rules = self.network.rules(a, b, context, self.config.contrast)
        by_order = zip(rules, self.orders(a, b), strict=True)
        return self.mean_of_orders([self.head(rule, *pair) for rule, pair in by_order])
