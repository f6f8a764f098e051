"""Coupling in the pixel domain: the dual attention-based feature interaction at the shallow scales."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from refinefuse.network.context import Context


class PixelInteraction(nn.Module):
    """Channel and spatial attention, computed from both modalities and applied across them.

    The paper's abstract fixes that "a dual attention-based feature interaction module" integrates the detail of
    both modalities into the shallow features. Our choice: the channel attention reads the context of the whole pair
    (so that it does not depend on the crop), the spatial attention reads both feature maps and says where each
    modality takes what the other offers.

    Args:
        width: channels of the features of each modality.
        context_width: channels of the context's tokens.
    """

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.channel = nn.Linear(2 * context_width, 2 * width)
        self.spatial = nn.Conv2d(2 * width, 2, 3, padding=1)
        self.offer_a = nn.Conv2d(width, width, 1)
        self.offer_b = nn.Conv2d(width, width, 1)

    def forward(
        self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], context: Context
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """The features of `a` and of `b` (n, c, h, w), each enriched by the other."""
        gate_a, gate_b = (2 * torch.sigmoid(self.channel(context.pooled())))[:, :, None, None].chunk(2, 1)
        take_a, take_b = torch.sigmoid(self.spatial(torch.cat([a, b], 1))).chunk(2, 1)
        return a * gate_a + take_a * self.offer_b(b), b * gate_b + take_b * self.offer_a(a)
