"""Pixel-domain coupling: dual attention-based feature interaction at the shallow scales."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from refinefuse.network.context import Context


class PixelInteraction(nn.Module):
    """Channel and spatial attention, computed from both modalities and applied across them.

    According to the paper's abstract, "a dual attention-based feature interaction module" integrates the detail of both
    modalities into the shallow features. Our choice: channel attention reads the context of the whole pair (so it does
    not depend on the crop); spatial attention reads both feature maps and gates where each modality receives the values
    computed from both.

    Args:
        width: feature channels of each modality.
        context_channels: channels of the context tokens.
    """

    def __init__(self, width: int, context_channels: int) -> None:
        super().__init__()
        self.channel = nn.Linear(2 * context_channels, 2 * width)
        self.spatial = nn.Conv2d(2 * width, 2, 1)
        self.value = nn.Conv2d(2 * width, 2 * width, 1)

    def forward(self, pair: Float[Tensor, "n c h w"], context: Context) -> Float[Tensor, "n c h w"]:
        """Enrich the features of each modality of a pair, (n, 2 width, h, w), with those of the other."""
        gate = 2 * torch.sigmoid(self.channel(context.pooled()))[:, :, None, None]
        take = torch.sigmoid(self.spatial(pair))[:, :, None]
        taken: Tensor = (self.value(pair).unflatten(1, (2, -1)) * take).flatten(1, 2)
        return taken.addcmul_(pair, gate)
