"""The last step: a mix of the sources by pixel, and what it leaves out, added band by band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.refinement import upsample

FAINT = 1 / 255
"""Detail below one level of 8 bits is taken for none where that of two sources is compared."""


class FusionOutput(NamedTuple):
    """What `RefineFuse.predict` returns: the fused luma, and the weight_map of `a` in the mix; (n, 1, h, w) in [0, 1]."""

    fused: Float[Tensor, "n 1 h w"]
    weight_map: Float[Tensor, "n 1 h w"]


def bands(x: Float[Tensor, "n c h w"], count: int) -> list[Float[Tensor, "n c i j"]]:
    """The image as differences between scales, fine to coarse, each half the size of the one before, and the rest.

    Source: Burt, Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications 31(4), 1983.
    Differs: 2 x 2 means and bilinear enlargement, which keep the cells where they are.
    """
    parts = []
    for _ in range(count - 1):
        smaller = F.avg_pool2d(x, 2)
        parts.append(x - upsample(smaller, 2))
        x = smaller
    return [*parts, x]


class FusionHead(nn.Module):
    """F = s A + (1 - s) B + the sum over the bands of r (u A + v B); s in [0, 1], u and v in [-1, 1].

    A mix keeps one source's detail and loses the other's, or halves both. So the detail of both may be added again,
    band by band of a Laplacian pyramid, as far as the sources do not weight_map it: r is their mean difference over the sum
    of their mean strengths nearby, 0 where they agree and 1 where one alone has anything. What is coarser than the last
    band is moved by u (A - B) + v |A - B|. So the image's own values are kept: where the sources agree nearby, the
    result is their common value, whatever the weights. Before training s is 1/2, u and v are 0.

    The features of each scale decide on the band of its size, so detail is refined scale by scale; those of the first
    decide on the finer bands too, by pixel on s and by 2 x 2 pixels on the finest band. Our choice; the paper's
    abstract is silent here.

    Args:
        channels: channels of the features of each scale, shallow to deep.
        patch_size: side of the folded pixel blocks.
        bound: largest move of what is coarser than the bands, as a multiple of the difference between the sources.
    """

    def __init__(self, channels: Sequence[int], patch_size: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        finest = max(1, patch_size // 2)
        self.sides = [patch_size, *(max(1, finest >> max(0, band - 1)) for band in range(patch_size.bit_length()))]
        self.counts = [patch_size**2, *(2 * side**2 for side in self.sides[1:])]
        self.predict = nn.ModuleList(
            nn.Conv2d(width, count, 3, padding=1)
            for width, count in zip(channels, (sum(self.counts), *[2] * (len(channels) - 1)), strict=True)
        )
        for layer in self.predict:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]  # torch types a module of a list as any module
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, features: Sequence[Tensor], a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]
    ) -> FusionOutput:
        """The output, from the features of every scale, shallow to deep; float32 whatever the features are."""
        bounded = [
            torch.tanh(layer(x).to(a.dtype)).contiguous() for layer, x in zip(self.predict, features, strict=True)
        ]
        by_block = zip(torch.split(bounded[0], self.counts, 1), self.sides, strict=True)
        mix, *fine = (F.pixel_shuffle(x, side) for x, side in by_block)
        weight_map = (mix + 1) / 2
        fused = b + weight_map * (a - b) + self._detail([*fine, *bounded[1:]], a, b)
        return FusionOutput(fused.clamp(0, 1), weight_map)

    def _detail(self, rules: Sequence[Tensor], a: Tensor, b: Tensor) -> Tensor:
        """What is added to the mix, from the coarsest band to the finest; `rules` are u and v of each band."""
        of_a, of_b = (bands(x, len(rules)) for x in (a, b))
        difference = of_a[-1] - of_b[-1]
        detail = self.bound * (rules[-1][:, :1] * difference + rules[-1][:, 1:] * difference.abs())
        for rule, x, y in zip(rules[-2::-1], of_a[-2::-1], of_b[-2::-1], strict=True):
            apart, strength = (F.avg_pool2d(z, 2) for z in ((x - y).abs(), x.abs() + y.abs()))
            alone = apart / (strength + FAINT)
            by_blocks = rule.shape[2:] == alone.shape[2:]  # the finest band, by 2 x 2 pixels
            gain = upsample(rule * alone, 2) if by_blocks else rule * upsample(alone, 2)
            detail = upsample(detail, 2) + gain[:, :1] * x + gain[:, 1:] * y
        return detail
