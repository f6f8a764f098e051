"""The last step: a mix of the sources and a bounded correction, both by pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Painting(NamedTuple):
    """What `RefineFuse.paint` returns: the fused luma, and the share of `a` in the mix; (n, 1, h, w) in [0, 1]."""

    fused: Float[Tensor, "n 1 h w"]
    share: Float[Tensor, "n 1 h w"]


class MixAndCorrection(nn.Module):
    """F = s A + (1 - s) B + c D: s in [0, 1], c in [-bound, bound], D the local difference of the sources.

    The picture's own values are kept: where the sources agree nearby, D is 0 and the result is their common value,
    whatever the weights. Before training s is 1/2 and c is 0. Our choice; the paper's abstract is silent here.

    Args:
        width: channels of the features.
        fold: side of the folded pixel blocks.
        bound: largest correction, in multiples of D.
    """

    def __init__(self, width: int, fold: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.reach = 2 * (4 // fold) + 1  # 10 to 12 pixels of the picture, a side
        self.predict = nn.Conv2d(width, 2 * fold**2, 3, padding=1)
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(self.predict.bias)  # type: ignore[arg-type]  # torch types an existing bias as optional

    def forward(
        self, features: Float[Tensor, "n c h w"], a: Float[Tensor, "n f h w"], b: Float[Tensor, "n f h w"]
    ) -> tuple[Float[Tensor, "n f h w"], Float[Tensor, "n f h w"]]:
        """The fused picture and the share of `a`, folded as `a` and `b` are; float32 whatever the features are."""
        bounded = torch.tanh(self.predict(features).to(a.dtype)).contiguous()  # by plane from here on, as `a` and `b`
        mix, correction = bounded.chunk(2, 1)
        share = (mix + 1) / 2
        difference = a - b
        apart = difference.abs().mean(1, keepdim=True)
        nearby = F.avg_pool2d(apart, self.reach, stride=1, padding=self.reach // 2, count_include_pad=False)
        fused = b + share * difference + self.bound * correction * nearby
        return fused.clamp(0, 1), share
