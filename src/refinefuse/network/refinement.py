"""From deep to shallow: how semantic features enter detail."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.blocks import ResidualBlock


def upsample(x: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement by a whole factor; the grid of cells stays aligned with the image."""
    return _doubled(x) if factor == 2 and torch.onnx.is_in_onnx_export() else interpolate(x, factor)


def interpolate(x: Tensor, factor: int) -> Tensor:
    """The same by the operator of torch, which is a `Resize` in exported graphs too."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _doubled(x: Tensor) -> Tensor:
    """The same by a factor of 2, by sums alone, for exported graphs.

    Other programs are slow at `Resize` (OpenVINO), wrong on one row (OpenCV 5.0), or compute what comes before it in
    bfloat16 (OpenVINO by default), the images among it.
    """
    n, channels, height, width = x.shape
    sixteenth = F.pad(x / 16, (1, 1, 1, 1), mode="replicate")
    near = 3 * sixteenth[:, :, 1:-1]
    rows = torch.cat([near + sixteenth[:, :, :-2], near + sixteenth[:, :, 2:]], 1)
    near = 3 * rows[..., 1:-1]
    both = torch.stack([near + rows[..., :-2], near + rows[..., 2:]], -1).reshape(n, 2, channels, height, 2 * width)
    return both.permute(0, 2, 3, 1, 4).reshape(n, channels, 2 * height, 2 * width)


class GradualRefinement(nn.Module):
    """One step from deep to shallow: the deep features open or close the shallow ones, then join them.

    The paper's abstract fixes that deep semantic information is gradually incorporated into shallow detail by
    specific feature interaction modules. Our choice: a gate for every channel and pixel, read from both, and a
    residual block.

    Args:
        shallow: channels of the shallow features.
        deep: channels of the deep features, at half the size.
    """

    enlarge = staticmethod(upsample)

    def __init__(self, shallow: int, deep: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(deep, shallow, 1)
        self.gate = nn.Conv2d(2 * shallow, shallow, 1)
        self.block = ResidualBlock(shallow)

    def forward(self, shallow: Float[Tensor, "n c h w"], deep: Float[Tensor, "n d i j"]) -> Float[Tensor, "n c h w"]:
        """Shallow features (n, c, h, w) refined by deep ones (n, d, h / 2, w / 2)."""
        meaning = self.enlarge(self.reduce(deep), 2)
        gate = torch.sigmoid(self.gate(torch.cat([shallow, meaning], 1)))
        refined: Tensor = self.block(shallow * gate + meaning)
        return refined


class GradualDecoder(nn.Module):
    """`GradualRefinement` at every scale, from the deepest to the first."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GradualRefinement(s, d) for s, d in pairwise(channels))

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        """Fused features of every scale, shallow to deep, to refined ones; the deepest stay as they are."""
        refined = [scales[-1]]
        for step, shallow in zip(reversed(self.steps), reversed(scales[:-1]), strict=True):
            refined.append(step(shallow, refined[-1]))
        return refined[::-1]


class DirectDecoder(nn.Module):
    """The ablation: the deepest features are upsampled once and join the first scale; those between are left out."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels[-1], channels[0], 1)
        self.block = ResidualBlock(channels[0])
        self.factor = 2 ** (len(channels) - 1)

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        """Fused features of every scale, shallow to deep, with refined ones at the first scale."""
        refined: Tensor = self.block(scales[0] + upsample(self.reduce(scales[-1]), self.factor))
        return [refined, *scales[1:]]
