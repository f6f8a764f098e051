"""Visual information fidelity in the domain of a steerable pyramid, on 0..1: the VIF of H. Li's tables.

The default VIF is the authors' simpler form in the pixel domain. This one models each 3x3 neighborhood of the
horizontal and vertical band of four levels as a Gaussian scale mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from refinefuse.filters import Kernel, blur, box, pad
from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue, pixel_sum, sum_of

SMALLEST = 65
"""The smallest side at which the coarsest level has a complete neighborhood inside its margins."""

_LEVELS, _BLOCK, _NOISE, _TINY = 4, 3, 0.4, 1e-15

Filter: TypeAlias = tuple[Kernel, ...]

# A quarter of each symmetric low pass and the left upper part of the band filter of order 5, whose middle column is 0.
# Source: filters `sp5` of E. P. Simoncelli's matlabPyrTools (New York University, 1996).
_FIRST: Filter = (
    (0.00341614, -0.01551246, -0.03848215),
    (-0.01551246, 0.05586982, 0.15925570),
    (-0.03848215, 0.15925570, 0.40304148),
)
_LOW: Filter = (
    (0.00170808, -0.00489834, -0.00775624, -0.01888864, -0.01924108),
    (-0.00489834, -0.01046562, -0.01322234, 0.00821200, 0.02005976),
    (-0.00775624, -0.01322234, 0.02793492, 0.06554076, 0.07962786),
    (-0.01888864, 0.00821200, 0.06554076, 0.12852666, 0.16339236),
    (-0.01924108, 0.02005976, 0.07962786, 0.16339236, 0.20193080),
)
_BAND: Filter = (
    (0.00277643, -0.00986904, -0.01021852, 0.0),
    (0.00496194, -0.00893064, -0.03075356, 0.0),
    (0.01026699, 0.01189859, -0.08226445, 0.0),
    (0.01455399, 0.02755155, -0.11732297, 0.0),
)


@lru_cache
def _separated(quarter: Filter, sign: int) -> tuple[tuple[Kernel, Kernel], ...]:
    """The filter as a sum of separable filters, each given by a column and a row; `sign` is that of the right half."""
    upper = torch.tensor(quarter, dtype=torch.float64)
    upper = torch.cat((upper, sign * upper[:, :-1].flip(1)), 1)
    columns, strengths, rows = torch.linalg.svd(torch.cat((upper, upper[:-1].flip(0))))
    kept = [i for i, strength in enumerate(strengths.tolist()) if strength > 1e-12]
    return tuple((tuple((columns[:, i] * strengths[i]).tolist()), tuple(rows[i].tolist())) for i in kept)


def _filtered(x: Image, parts: Sequence[tuple[Kernel, Kernel]], step: int = 1) -> Image:
    return sum_of([blur(x, column, "mirror", across=row, step=step) for column, row in parts])


@cached
def _bands(x: Image) -> list[Image]:
    """The horizontal and vertical bands of each level, finest first, cropped to whole blocks."""
    low = _filtered(x / 255, _separated(_FIRST, 1))
    display_orientation, lying = _separated(_BAND, -1), tuple((row, column) for column, row in _separated(_BAND, -1))
    bands = []
    for _ in range(_LEVELS):
        h, w = (side // _BLOCK * _BLOCK for side in low.shape[-2:])
        bands += [_filtered(low, parts)[..., :h, :w].contiguous() for parts in (display_orientation, lying)]
        low = _filtered(low, _separated(_LOW, 1), step=2)
    return bands


def _energy(x: Image, y: Image, window: int) -> Image:
    """The sum of products of what two bands have beyond their means, around the middle of each block."""
    product, mean_x, mean_y = (
        blur(pad(z, window // 2, "mirror")[..., 1:, 1:], box(window), step=_BLOCK) for z in (x * y, x, y)
    )
    return window**2 * (product - mean_x * mean_y)


def _channel(x: Image, fused: Image, window: int) -> tuple[Image, Image]:
    """The gain from a band of the source to that of the fused image in each block, and the variance it adds."""
    common = _energy(x, fused, window)
    source, result = (_energy(z, z, window).clamp(min=0) for z in (x, fused))
    flat, gone = source < _TINY, result < _TINY
    gain = common / (source + _TINY) * ~(flat | gone)
    added = torch.where(flat | (gain < 0), result, (result - gain * common) / window**2) * ~gone
    return gain.clamp(min=0), added.clamp(min=_TINY)


def _scale_mixture(x: Image) -> tuple[Image, Tensor]:
    """The local strength of each block of a band, and the variances (n, 9) of blocks along their main axes."""
    around = F.unfold(x, _BLOCK)
    around = around - around.mean(2, keepdim=True)
    variances, axes = torch.linalg.eigh(around @ around.mT / around.shape[2])
    present = variances > 1e-12 * variances[:, -1:].clamp(min=_TINY)
    blocks = axes.mT @ F.unfold(x, _BLOCK, stride=_BLOCK)
    strength = (blocks**2 * (present / torch.where(present, variances, 1.0))[..., None]).mean(1)
    return strength.reshape(len(x), 1, x.shape[2] // _BLOCK, x.shape[3] // _BLOCK), variances * present


def _fidelity(x: Image, fused: Image) -> MetricValue:
    kept, held = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for i, (band, band_f) in enumerate(zip(_bands(x), _bands(fused), strict=True)):
        window = 2 ** (_LEVELS - i // 2) + 1
        margin = -(-(window // 2) // _BLOCK)
        inner = (..., slice(margin, -margin), slice(margin, -margin))
        gain, added = (z[inner] for z in _channel(band, band_f, window))
        strength, variances = _scale_mixture(band)
        signal = strength[inner] * variances[:, :, None, None]
        kept = kept + pixel_sum(torch.log1p(gain**2 * signal / (added + _NOISE)))
        held = held + pixel_sum(torch.log1p(signal / _NOISE))
    empty = held <= 0
    return torch.where(empty, 1.0, kept / torch.where(empty, 1.0, held))


def vif_steerable(fused: Image, a: Image, b: Image) -> MetricValue:
    """Visual information fidelity in the wavelet domain, on 0..1, averaged over the sources.

    The noise of the visual system is meant for levels 0..255; on 0..1 it is so strong that the coarsest bands dominate.

    Source: H. R. Sheikh, A. C. Bovik, "Image information and visual quality", IEEE Trans. Image Processing 15(2), 2006.
    """
    return (_fidelity(a, fused) + _fidelity(b, fused)) / 2
