"""Visual information fidelity: how much of the visible information of the sources the fused image preserves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from refinefuse.filters import blur, gaussian
from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue, pixel_sum
from refinefuse.metrics.structure import local_mean, moments

_KERNELS = tuple(gaussian(size, size / 5) for size in (17, 9, 5, 3))
_SMALLEST = (17, 25, 33, 41)  # the smallest side at which each scale has a full window
_TINY = 1e-10


class _Channel(NamedTuple):
    """The distortion channel from a source to the fused image, at each pixel of one scale."""

    gain: Tensor
    source: Tensor  # variance of the source
    distortion: Tensor  # variance that the channel adds


@cached
def _coarser(x: Image, scale: int) -> Image:
    """The image at one of the four scales: blurred without padding, then every second row and column."""
    return x if scale == 0 else blur(_coarser(x, scale - 1), _KERNELS[scale], step=2)


def _channels(x: Image, fused: Image, scale: int) -> Iterator[_Channel]:
    """The channel at one scale, strip by strip."""
    for m in moments(_coarser(x, scale), _coarser(fused, scale), _KERNELS[scale]):
        yield _channel(m.variance_x, m.variance_y, m.covariance)


def _saturated_channels(x: Image, fused: Image) -> Iterator[_Channel]:
    """The channel at the finest scale, with products of levels clipped at 255."""
    kernel = _KERNELS[0]

    def covariance(u: Image, v: Image) -> Image:
        return blur((u * v).clamp(max=255), kernel) - local_mean(u, kernel, "valid") * local_mean(v, kernel, "valid")

    yield _channel(covariance(x, x), covariance(fused, fused), covariance(x, fused))


def _channel(variance_x: Tensor, variance_f: Tensor, covariance: Tensor) -> _Channel:
    # A flat window, and one that comes out reversed, has no gain: all of its variance is distortion.
    related = (variance_x >= _TINY) & (variance_f >= _TINY)
    source = variance_x * (variance_x >= _TINY)
    gain = covariance.clamp(min=0) / (source + _TINY) * related
    return _Channel(gain, source, torch.addcmul(variance_f, gain, covariance, value=-1).clamp(min=_TINY))


def _scales(x: Image) -> range:
    """The scales that fit at least one window; all four from 41 pixels on. MATLAB also skips the others."""
    return range(max(1, sum(side <= min(x.shape[-2:]) for side in _SMALLEST)))


def _fidelity(x: Image, fused: Image, saturated: bool) -> MetricValue:
    """Pixel-domain visual information fidelity of the fused image as a rendering of x."""
    noise = 2.0
    kept, held = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for scale in _scales(x):
        strips = _saturated_channels(x, fused) if saturated and scale == 0 else _channels(x, fused, scale)
        for gain, source, distortion in strips:
            kept = kept + pixel_sum(torch.log1p(gain * gain * source / (distortion + noise)))
            held = held + pixel_sum(torch.log1p(source / noise))
    empty = held <= 0
    return torch.where(empty, 1.0, kept / torch.where(empty, 1.0, held))


def vif(fused: Image, a: Image, b: Image, *, saturated: bool = False) -> MetricValue:
    """Visual information fidelity in the pixel domain, summed over the sources; an exact copy of a source adds 1.

    A constant source has no information and counts as 1. The metric needs sides of at least 17 pixels; below 41 pixels
    the coarser ones of the four scales are skipped.

    Source: H. R. Sheikh, A. C. Bovik, "Image information and visual quality", IEEE Trans. Image Processing 15(2), 2006;
    the authors' simpler pixel-domain form, `vifp_mscale`.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        saturated: clip products of levels at 255 at the finest scale, as happens with 8-bit images in MATLAB.
    """
    return _fidelity(a, fused, saturated) + _fidelity(b, fused, saturated)


def viff(fused: Image, a: Image, b: Image) -> MetricValue:
    """Visual information fidelity for fusion: at each pixel, that of the source with the smaller gain, 0..1.

    A scale at which neither source has information counts as fully preserved.

    Source: Y. Han, Y. Cai, Y. Cao, X. Xu, "A new image fusion performance metric based on visual information fidelity",
    Information Fusion 14(2), 2013.
    Differs from what most tables call VIFF, which is VIF.
    """
    noise, eps, weights = 0.005 * 255**2, 1e-7, (1.0, 0.0, 0.15, 1.0)
    total = fused.new_zeros(len(fused))
    for scale, weight in enumerate(weights):
        if not weight:
            continue
        kept, held = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
        for first, second in zip(_channels(a, fused, scale), _channels(b, fused, scale), strict=True):
            chosen = first.gain < second.gain
            gain, source, distortion = (torch.where(chosen, x, y) for x, y in zip(first, second, strict=True))
            kept = kept + pixel_sum(torch.log10(1 + gain**2 * source / (distortion + noise)) + eps)
            held = held + pixel_sum(torch.log10(1 + source / noise) + eps)
        total = total + weight * kept / held
    return total / sum(weights)
