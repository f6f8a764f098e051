"""The fusion head: the level of the image, its detail band by band, and its contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.refinement import upsample

CROSSING = 20 / 255
"""Difference between the source levels below which the pull toward the brighter source fades out."""
NEGLIGIBLE = 1 / 255
"""Detail below one 8-bit level is ignored when the detail of the two sources is compared."""


class FusionOutput(NamedTuple):
    """What `RefineFuse.predict` returns: the fused luma and the weight map of `a`; (n, 1, h, w) in [0, 1]."""

    fused: Float[Tensor, "n 1 h w"]
    weight_map: Float[Tensor, "n 1 h w"]


def bands(x: Float[Tensor, "n c h w"], count: int) -> list[Float[Tensor, "n c i j"]]:
    """Decompose an image into Laplacian bands, fine to coarse, each half the size of the previous one.

    Source: Burt, Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications 31(4), 1983.
    Differs: 2 x 2 means and bilinear upsampling, which keep the cells aligned with the image. The last one is the
    residual.
    """
    parts = []
    for _ in range(count - 1):
        smaller = F.avg_pool2d(x, 2)
        parts.append(x - upsample(smaller, 2))
        x = smaller
    return [*parts, x]


class FusionHead(nn.Module):
    """Level, detail and contrast: the coarsest band of a Laplacian pyramid, its finer bands, and one number.

    **Level.** The coarsest band is predicted at its own scale: with d = A - B it is
    M + c (u d + v d^2 / (|d| + 20 levels)), where M is the mean of the sources, u and v in [-1, 1] times `bound`, and
    c in [0, 1] the contrast. The second term moves toward the brighter (v > 0) or the darker source and vanishes
    smoothly where they cross; plain |d| has a kink there, visible as a dark curve that neither source has.

    **Detail.** Each finer band is w A + (1 - w) B + r (u A + v B): w is the per-pixel weight of `a`, averaged to the
    size of the band, so it causes no jumps in the level. A weighted average keeps one source's detail and loses the
    other's, or halves both; so detail that is not common to both may be added back: r is their local mean difference
    divided by the sum of their local mean strengths, 0 where they agree and 1 where only one source has detail.

    **Contrast.** c = 0 keeps the mean of the sources as the level, free of artifacts but low in contrast; c = 1 applies
    the full offset. The amount of added detail may depend on c.

    Where the sources agree locally, the result is their common value for any weights. Before training it is their
    average. The features of each scale control the band of the same size; those of the first scale also control the
    finer bands: w per pixel, and the finest band per 2 x 2 pixels. Our choice; the paper's abstract does not cover
    this.

    Args:
        channels: feature channels at each scale, shallow to deep.
        patch_size: side of the pixel blocks that form one cell of the first scale.
        bound: largest offset of the level, as a multiple of the difference between the sources.
    """

    def __init__(self, channels: Sequence[int], patch_size: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        finest = max(1, patch_size // 2)
        self.sides = [patch_size, *(max(1, finest >> max(0, band - 1)) for band in range(patch_size.bit_length()))]
        self.counts = [patch_size**2, *(2 * side**2 for side in self.sides[1:])]
        outputs = (sum(self.counts), *[2] * (len(channels) - 1))
        self.predict = nn.ModuleList(nn.Conv2d(c, n, 3, padding=1) for c, n in zip(channels, outputs, strict=True))
        self.by_contrast = nn.ParameterList(torch.zeros(n, 1, 1) for n in outputs[:-1])
        for layer in self.predict:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]  # torch types a module of a list as any module
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def rules(
        self, features: Sequence[Tensor], contrast: Float[Tensor, "n 1 1 1"] | float, dtype: torch.dtype = torch.float32
    ) -> list[Tensor]:
        """Map the features of every scale, shallow to deep, to control values in [-1, 1] for each cell."""
        rules = [layer(x).to(dtype) for layer, x in zip(self.predict, features, strict=True)]
        by_contrast = zip(rules, self.by_contrast, strict=False)  # the level is already scaled by `contrast`
        rules[: len(self.by_contrast)] = [rule + contrast * slope for rule, slope in by_contrast]
        return [torch.tanh(rule).contiguous() for rule in rules]

    def forward(
        self,
        rules: Sequence[Tensor],
        a: Float[Tensor, "n 1 h w"],
        b: Float[Tensor, "n 1 h w"],
        contrast: Float[Tensor, "n 1 1 1"] | float,
    ) -> FusionOutput:
        """Fuse the images as controlled by `rules`."""
        by_block = zip(torch.split(rules[0], self.counts, 1), self.sides, strict=True)
        mix, *fine = (F.pixel_shuffle(x, side) if side > 1 else x for x, side in by_block)
        weight = (mix + 1) / 2
        *gains, level = *fine, *rules[1:]
        *detail_a, base_a = bands(a, len(gains) + 1)
        *detail_b, base_b = bands(b, len(gains) + 1)
        fused = self._level(level, base_a, base_b, contrast)
        weights = [weight]
        for _ in gains[1:]:
            weights.append(F.avg_pool2d(weights[-1], 2))
        for gain, w, x, y in zip(gains[::-1], weights[: len(gains)][::-1], detail_a[::-1], detail_b[::-1], strict=True):
            fused = upsample(fused, 2) + _detail(gain, w, x, y)
        return FusionOutput(fused.clamp(0, 1), weight)

    def _level(self, rule: Tensor, a: Tensor, b: Tensor, contrast: Tensor | float) -> Tensor:
        difference = a - b
        smooth = difference.square() / (difference.abs() + CROSSING)
        push = rule[:, :1] * difference + rule[:, 1:] * smooth
        if isinstance(contrast, Tensor):  # training: keep the offset from growing to reach the mean contrast
            push = torch.where(contrast < 1, push.detach(), push)
        return (a + b) / 2 + contrast * self.bound * push


def _detail(rule: Tensor, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Fuse one band: the weighted average, plus the detail of one source only that averaging loses."""
    difference = a - b
    apart, strength = (F.avg_pool2d(z, 2) for z in (difference.abs(), a.abs() + b.abs()))
    alone = apart / (strength + NEGLIGIBLE)
    by_blocks = rule.shape[2:] == alone.shape[2:]  # the finest band, per 2 x 2 pixels
    gain = upsample(rule * alone, 2) if by_blocks else rule * upsample(alone, 2)
    return b + weight * difference + gain[:, :1] * a + gain[:, 1:] * b
