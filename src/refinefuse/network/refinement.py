"""Gradual refinement: semantic features refine shallow detail, from deep to shallow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.blocks import ResidualBlock


def upsample(x: Tensor, factor: int) -> Tensor:
    """Upsample bilinearly by an integer factor; the cells stay aligned with the image."""
    return _doubled(x) if factor == 2 and torch.onnx.is_in_onnx_export() else interpolate(x, factor)


def interpolate(x: Tensor, factor: int) -> Tensor:
    """Do the same with torch's operator, which is exported as `Resize`."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _doubled(x: Tensor) -> Tensor:
    """Upsample by a factor of 2 with sums only, for exported graphs.

    `Resize` is slow in OpenVINO and wrong for images of one row in OpenCV 5.0, and OpenVINO by default computes
    everything before it, including the images, in bfloat16.
    """
    n, channels, height, width = x.shape
    sixteenth = F.pad(x / 16, (1, 1, 1, 1), mode="replicate")
    near = 3 * sixteenth[:, :, 1:-1]
    rows = torch.cat([near + sixteenth[:, :, :-2], near + sixteenth[:, :, 2:]], 1)
    near = 3 * rows[..., 1:-1]
    both = torch.stack([near + rows[..., :-2], near + rows[..., 2:]], -1).reshape(n, 2, channels, height, 2 * width)
    return both.permute(0, 2, 3, 1, 4).reshape(n, channels, 2 * height, 2 * width)


class GradualRefinement(nn.Module):
    """One step from deep to shallow: the deep features gate the shallow ones, then are added to them.

    According to the paper's abstract, specific feature interaction modules gradually incorporate deep semantic
    information into shallow detail. Our choice: a gate per channel and pixel, computed from both, and a residual block.

    Args:
        shallow: channels of the shallow features.
        deep: channels of the deep features, which have half the size.
    """

    enlarge = staticmethod(upsample)

    def __init__(self, shallow: int, deep: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(deep, shallow, 1)
        self.gate = nn.Conv2d(2 * shallow, shallow, 1)
        self.block = ResidualBlock(shallow)

    def forward(self, shallow: Float[Tensor, "n c h w"], deep: Float[Tensor, "n d i j"]) -> Float[Tensor, "n c h w"]:
        """Refine shallow features (n, c, h, w) with deep ones (n, d, h / 2, w / 2)."""
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
        """Refine the fused features of every scale, shallow to deep; the deepest stay unchanged."""
        refined = [scales[-1]]
        for step, shallow in zip(reversed(self.steps), reversed(scales[:-1]), strict=True):
            refined.append(step(shallow, refined[-1]))
        return refined[::-1]


class DirectDecoder(nn.Module):
    """Ablation: add the deepest features, upsampled once, to the first scale and skip the scales in between."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels[-1], channels[0], 1)
        self.block = ResidualBlock(channels[0])
        self.factor = 2 ** (len(channels) - 1)

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        """Refine the first scale of the fused features, given shallow to deep."""
        refined: Tensor = self.block(scales[0] + upsample(self.reduce(scales[-1]), self.factor))
        return [refined, *scales[1:]]
