"""Metrics of edges and gradients: how much of the sources' edges the fused picture carries."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from refinefuse.filters import Border, magnitude, sobel
from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score


@shared
def derivatives(x: Image, border: Border) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives, remembered."""
    return sobel(x, border)


@shared
def _edges(x: Image) -> tuple[Tensor, Tensor]:
    """Strength and orientation of the edges; -pi/2 < orientation <= pi/2."""
    across, down = derivatives(x, "zero")
    upright = across == 0
    angle = torch.where(upright, math.pi / 2, torch.atan(-down / torch.where(upright, 1.0, across)))
    return magnitude(across, down), angle


def _ratio(x: Tensor, y: Tensor) -> Tensor:
    """The smaller over the larger of two values that are not negative; 0 where both are 0."""
    larger = torch.maximum(x, y)
    return torch.minimum(x, y) / torch.where(larger > 0, larger, 1.0)


def _preserved(x: Image, fused: Image, ties: str) -> Tensor:
    """How well the fused picture keeps each edge of x, in strength and in orientation."""
    (gx, ax), (gf, af) = _edges(x), _edges(fused)
    strength = _ratio(gx, gf)
    if ties == "strength":
        strength = torch.where(gx == gf, gf, strength)
    alignment = 1 - (ax - af).abs() / (math.pi / 2)
    return 0.9994 * torch.sigmoid(15 * (strength - 0.5)) * 0.9879 * torch.sigmoid(22 * (alignment - 0.8))


def qabf(fused: Image, a: Image, b: Image, *, ties: Literal["one", "strength"] = "one") -> Score:
    """Edge transfer: the edges of both sources that the fused picture keeps, weighted by their strength, 0..0.99.

    Source: C. S. Xydeas, V. Petrovic, Objective image fusion performance measure, Electronics Letters, 2000.
    Two sources without any edge score 0.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        ties: what an edge of exactly the source's strength counts: `one`, or its strength in levels, a slip that is found in most
            implementations; on levels it raises the score by at most 3e-4.
    """
    weights = [_edges(x)[0] for x in (a, b)]
    kept = sum(_preserved(x, fused, ties) * w for x, w in zip((a, b), weights, strict=True))
    total = (weights[0] + weights[1]).flatten(1).sum(1)
    return torch.as_tensor(kept).flatten(1).sum(1) / torch.where(total > 0, total, 1.0)
