"""Global context of a pair: tokens for each source, computed from statistics on a fixed grid.

All global information passes through here, so a region predicted with the context of the whole image equals the same
region of the full output. The statistics are sums over image rows, so they can be computed strip by strip for images
that do not fit into memory.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.filters import root


class Context(NamedTuple):
    """Tokens of the whole pair, (n, tokens, width) for each of `a` and `b`."""

    a: Float[Tensor, "n t d"]
    b: Float[Tensor, "n t d"]

    def pooled(self) -> Float[Tensor, "n e"]:
        """The mean tokens of `a` and `b`, concatenated: (n, 2 width)."""
        return torch.cat([self.a.mean(1), self.b.mean(1)], 1)


Cells: TypeAlias = tuple[Int[Tensor, "cells k"], Float[Tensor, "cells k"]]
"""Indices of the samples in each cell along one side, and their averaging weights."""
STEP = 16
"""Sides are rounded up to a multiple of this for the grid, so cropping one column does not change the context."""


def area_weights(length: int, cells: int) -> Float[Tensor, "cells length"]:
    """Float64 weights that average `length` samples into equal cells; samples on a cell border are shared.

    The last sample is repeated up to a multiple of `STEP`. Each row sums to 1.
    """
    whole = (length + STEP - 1) // STEP * STEP
    edges = torch.arange(cells + 1, dtype=torch.float64) * (whole / cells)
    start = torch.arange(length, dtype=torch.float64)
    end = torch.where(start == length - 1, whole, start + 1)
    overlap = torch.minimum(edges[1:, None], end) - torch.maximum(edges[:-1, None], start)
    return overlap.clamp(min=0) * (cells / whole)


def cell_samples(length: int, cells: int) -> Cells:
    """Sample indices and float64 weights of the cells along one side: a compact form of `area_weights`.

    Every cell has the same number of samples; padding samples have weight 0.
    """
    whole = (length + STEP - 1) // STEP * STEP
    edges = torch.arange(cells + 1) * whole  # in units of 1 / cells of a sample, to stay exact integers
    start = edges[:-1, None] // cells + torch.arange((whole + cells - 1) // cells + 1)
    overlap = torch.minimum(edges[1:, None], cells * (start + 1)) - torch.maximum(edges[:-1, None], cells * start)
    return start.clamp(max=length - 1), overlap.clamp(min=0).double() / whole


def grid_statistics(x: Float[Tensor, "n 1 h w"], grid: int) -> Float[Tensor, "n 2 grid grid"]:
    """Mean and standard deviation of the luma in [0, 1] in each cell of a fixed grid, for an image of any size.

    The standard deviation is computed from squared deviations, first down the columns, then along the rows: the mean of
    the squares minus the squared mean would lose most digits in float32 and all of them in bfloat16.
    """
    rows, columns = (cell_samples(side, grid) for side in x.shape[2:])
    return cell_statistics(x, rows, columns)


def cell_statistics(x: Float[Tensor, "n 1 h w"], rows: Cells, columns: Cells) -> Float[Tensor, "n 2 grid grid"]:
    """Compute `grid_statistics` for given cells along both sides."""
    (of_rows, row_weights), (of_columns, column_weights) = (
        (samples.to(x.device), weights.to(x.device, x.dtype)) for samples, weights in (rows, columns)
    )
    row_weights = row_weights[..., None]
    with torch.autocast(x.device.type, enabled=False):
        down = x[:, :, of_rows]
        mean = (down * row_weights).sum(3, keepdim=True)
        variance = down.sub_(mean).square_().mul_(row_weights).sum(3)  # in place is twice as fast; `down` is a copy
        along, within = mean[:, :, :, 0][..., of_columns], variance[..., of_columns]
        mean = (along * column_weights).sum(-1, keepdim=True)
        variance = (((along - mean).square() + within) * column_weights).sum(-1)
    return torch.cat([mean[..., 0], root(variance)], 1)


class StreamingGridStatistics:
    """`grid_statistics` of an image that is read strip by strip, accumulated in float64.

    Args:
        height: height of the whole image, in pixels.
        width: width of the whole image, in pixels.
        grid: cells per side.
    """

    def __init__(self, height: int, width: int, grid: int) -> None:
        self._rows = area_weights(height, grid)
        self._columns = area_weights(width, grid).T
        self._sums = torch.zeros(2, grid, grid, dtype=torch.float64)
        self._next = 0

    def add(self, strip: Float[Tensor, "1 1 h w"]) -> None:
        """Add the next rows from the top, as luma in [0, 1]."""
        start, self._next = self._next, self._next + strip.shape[2]
        values = strip[0, 0].cpu().double()
        for total, x in zip(self._sums, (values, values.square()), strict=True):
            total += self._rows[:, start : self._next] @ (x @ self._columns)

    def result(self) -> Float[Tensor, "1 2 g g"]:
        """Mean and standard deviation in each cell, as float64."""
        mean, squares = self._sums
        return torch.stack([mean, (squares - mean.square()).clamp(min=0).sqrt()])[None]


class ContextEncoder(nn.Module):
    """Three small convolutions that turn the grid statistics of one source into its tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, width // 2, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width // 2, width, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "n 2 g g"]) -> Float[Tensor, "n t d"]:
        """Map grid statistics (n, 2, grid, grid) to tokens (n, (grid / 4) ** 2, width)."""
        features = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        tokens: Tensor = features.flatten(2).transpose(1, 2)
        return tokens
