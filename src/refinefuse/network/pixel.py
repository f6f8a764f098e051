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
    modality takes what it is offered, an offer being made of the features of both.

    Args:
        width: channels of the features of each modality.
        context_channels: channels of the context's tokens.
    """

    def __init__(self, width: int, context_channels: int) -> None:
        super().__init__()
        self.channel = nn.Linear(2 * context_channels, 2 * width)
        self.spatial = nn.Conv2d(2 * width, 2, 1)
        self.value = nn.Conv2d(2 * width, 2 * width, 1)

    def forward(self, pair: Float[Tensor, "n c h w"], context: Context) -> Float[Tensor, "n c h w"]:
        """The features of the pair (n, 2 width, h, w), each modality's enriched by the other."""
        gate = 2 * torch.sigmoid(self.channel(context.pooled()))[:, :, None, None]
        take = torch.sigmoid(self.spatial(pair))[:, :, None]
        taken: Tensor = (self.value(pair).unflatten(1, (2, -1)) * take).flatten(1, 2)
        return taken.addcmul_(pair, gate)
