"""Metrics of fine detail: wavelet bands and differences along four directions."""

from __future__ import annotations

import torch
from torch import Tensor

from refinefuse.filters import root
from refinefuse.metrics.caching import cached
from refinefuse.metrics.gradient import safe_quotient
from refinefuse.metrics.statistics import Image, MetricValue, pixel_sum, sum_of


@cached
def _haar(x: Image) -> tuple[Image, tuple[Image, Image, Image]]:
    """One level of the orthonormal Haar transform: the coarse image and its three bands; odd ends are dropped."""
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    top, bottom = x[..., 0:h:2, :w], x[..., 1:h:2, :w]
    total, fall = (top + bottom) / 2, (top - bottom) / 2
    bands = fall[..., ::2] + fall[..., 1::2], total[..., ::2] - total[..., 1::2], fall[..., ::2] - fall[..., 1::2]
    return total[..., ::2] + total[..., 1::2], bands


def qm(fused: Image, a: Image, b: Image) -> MetricValue:
    """Wang's multi-scale quality: how exactly two levels of Haar bands are preserved, weighted by energy, 0..3.

    Source: P.-W. Wang, B. Liu, "A novel image fusion metric based on multi-scale analysis", ICSP 2008.
    """
    product = fused.new_ones(len(fused))
    for power in (2 / 3, 1 / 3):
        (fused, bands_f), (a, bands_a), (b, bands_b) = _haar(fused), _haar(a), _haar(b)
        kept, total = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
        for bands in (bands_a, bands_b):
            energy = sum_of([band**2 for band in bands])
            exactness = sum_of([torch.exp(-(x - y).abs()) for x, y in zip(bands, bands_f, strict=True)])
            kept, total = kept + pixel_sum(exactness * energy), total + pixel_sum(energy)
        quality = safe_quotient(kept, total)
        positive = quality > 0
        product = product * torch.where(positive, quality, 1.0) ** power * positive
    return product


@cached
def _directional(x: Image) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Differences of neighbors in a row, in a column and along the two diagonals."""
    return (
        x[..., 1:] - x[..., :-1],
        x[..., 1:, :] - x[..., :-1, :],
        x[..., 1:, 1:] - x[..., :-1, :-1],
        x[..., 1:, :-1] - x[..., :-1, 1:],
    )


def qsf(fused: Image, a: Image, b: Image) -> MetricValue:
    """Zheng's spatial-frequency error: how much more detail the fused image has than the sharper source; 0 is neutral.

    Negative if detail is lost, positive if detail or noise is added; 0 for two flat sources.

    Source: Y. Zheng, E. A. Essock, B. C. Hansen, A. M. Haun, "A new metric based on extended spatial frequency and its
    application to DWT based fusion algorithms", Information Fusion 8(2), 2007.
    """
    weights = (1.0, 1.0, 0.5**0.5, 0.5**0.5)
    of_fused, reference = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for weight, f, x, y in zip(weights, _directional(fused), _directional(a), _directional(b), strict=True):
        of_fused = of_fused + weight * pixel_sum(f**2)
        reference = reference + weight * pixel_sum(torch.maximum(x.abs(), y.abs()) ** 2)
    return safe_quotient(root(of_fused) - root(reference), root(reference))
