"""A small auxiliary segmentation network, trained jointly with the fusion network and discarded afterwards."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.data.crops import UNLABELED

STRIDE = 8
"""The sides of its input are multiples of this."""
BACKGROUND_WEIGHT = 0.1
"""Loss weight of background pixels relative to object pixels, as nearly all pixels are background."""


class Segmenter(nn.Module):
    """A U-Net on luma: three downsampling steps, 16 to 64 channels, output at half resolution.

    Source: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    Differs: group normalization, which needs no batch statistics, and no learned upsampling at the end.

    Args:
        classes: number of classes of the label maps, including 0 (background).
        channels: channels at each of the four resolutions.
    """

    def __init__(self, classes: int, channels: tuple[int, ...] = (16, 24, 40, 64)) -> None:
        super().__init__()
        self.stem = _block(1, channels[0])
        self.down = nn.ModuleList(_block(c, d) for c, d in pairwise(channels))
        self.up = nn.ModuleList(_block(c + d, c) for c, d in pairwise(channels[1:]))
        self.head = nn.Conv2d(channels[1], classes, 1)

    def forward(self, luma: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n k i j"]:
        """Class logits at half resolution, for luma in [0, 1]."""
        x = self.stem(luma - 0.5)
        scales = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2))
            scales.append(x)
        x = scales.pop()
        for block in reversed(self.up):
            x = block(torch.cat([scales.pop(), F.interpolate(x, scale_factor=2.0, mode="bilinear")], 1))
        logits: Tensor = self.head(x)
        return logits


def _block(given: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c in (given, channels):
        layers += [nn.Conv2d(c, channels, 3, padding=1, bias=False), nn.GroupNorm(8, channels), nn.SiLU()]
    return nn.Sequential(*layers)


def segmentation_loss(logits: Float[Tensor, "n k i j"], labels: UInt8[Tensor, "n 1 h w"]) -> Tensor:
    """Cross entropy over the labeled pixels, with a lower weight for the background; 0 if nothing is labeled."""
    wanted = labels[:, 0, ::2, ::2].long()
    costs = logits.new_ones(logits.shape[1])
    costs[0] = BACKGROUND_WEIGHT
    entropy = F.cross_entropy(logits.float(), wanted, costs, ignore_index=UNLABELED, reduction="sum")
    labeled = costs[wanted.clamp(max=logits.shape[1] - 1)] * (wanted != UNLABELED)
    return entropy / labeled.sum().clamp(min=1)
