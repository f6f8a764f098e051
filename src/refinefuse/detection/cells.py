"""The grid cells of YOLOX and the decoding of its boxes.

Source: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

STRIDES = (8, 16, 32)


class Cells(NamedTuple):
    """Centers and strides, in pixels, of the grid cells of all scales."""

    centers: Float[Tensor, "n 2"]
    strides: Float[Tensor, " n"]

    def to(self, device: torch.device) -> Cells:
        """Copy to a device."""
        return Cells(self.centers.to(device), self.strides.to(device))


def cells_of(height: int, width: int) -> Cells:
    """Return the grid cells of an image in the order of the network's output."""
    centers, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centers.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((x.numel(),), float(stride)))
    return Cells(torch.cat(centers), torch.cat(strides))


def decode(output: Float[Tensor, "*b n c"], cells: Cells) -> Float[Tensor, "*b n 4"]:
    """Decode the predictions of the cells into box corners in pixels."""
    stride = cells.strides[:, None]
    center = cells.centers + (output[..., :2] - 0.5) * stride
    half = output[..., 2:4].clamp(max=8).exp() * stride / 2
    return torch.cat([center - half, center + half], -1)
