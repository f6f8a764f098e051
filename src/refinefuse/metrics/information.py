"""Information theory on histograms of 8-bit levels: entropy, mutual information and their relatives.

Levels are rounded half up and clipped to 0..255, one bin a level, so nothing here has a useful gradient.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score


@shared
def levels(x: Image) -> Int[Tensor, "n p"]:
    """The 8-bit level of each pixel."""
    return (x + 0.5).floor().clamp(0, 255).flatten(1).long()


def _frequencies(index: Tensor, bins: int) -> Tensor:
    """The share of pixels in each bin, float64 (n, bins)."""
    n, pixels = index.shape
    offset = torch.arange(n, device=index.device)[:, None] * bins
    counts = torch.bincount((index + offset).flatten(), minlength=n * bins)
    return counts.reshape(n, bins).double() / pixels


@shared
def histogram(x: Image) -> Float[Tensor, "n 256"]:
    """The share of pixels at each level."""
    return _frequencies(levels(x), 256)


@shared
def joint_histogram(x: Image, y: Image) -> Float[Tensor, "n 65536"]:
    """The share of pixels at each pair of levels, the level of `x` counting 256 bins."""
    return _frequencies(levels(x) * 256 + levels(y), 65536)


def bits(p: Float[Tensor, "n k"]) -> Score:
    """Shannon's entropy of a distribution in bits, 0 log 0 = 0."""
    return -torch.xlogy(p, p).sum(1) / math.log(2)


@shared
def mutual(x: Image, y: Image) -> Score:
    """The mutual information of two pictures in bits."""
    return bits(histogram(x)) + bits(histogram(y)) - bits(joint_histogram(x, y))


def en(fused: Image, a: Image, b: Image) -> Score:
    """Entropy of the fused picture's levels in bits, 0..8.

    Source: J. W. Roberts, J. A. van Aardt, F. B. Ahmed, Assessment of image fusion procedures using entropy, image quality, and
    multispectral classification, Journal of Applied Remote Sensing, 2008.
    """
    return bits(histogram(fused)).to(fused.dtype)


def mi(fused: Image, a: Image, b: Image, *, unit: Literal["bits", "nats"] = "bits") -> Score:
    """Mutual information of the fused picture with each source, summed; a copy of one source scores highest.

    Source: G. Qu, D. Zhang, P. Yan, Information measure for performance of image fusion, Electronics Letters, 2002.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        unit: `nats` is 0.693 times the bits.
    """
    total = mutual(a, fused) + mutual(b, fused)
    return (total * math.log(2) if unit == "nats" else total).to(fused.dtype)
