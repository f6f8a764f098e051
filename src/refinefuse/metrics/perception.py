"""Metrics built on models of vision: visual information fidelity and its relatives."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from refinefuse.filters import blur, gaussian
from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score
from refinefuse.metrics.structure import local_covariance

_SCALES = tuple(gaussian(size, size / 5) for size in (17, 9, 5, 3))
_SMALLEST = (17, 25, 33, 41)  # the smallest side at which a scale has a full window; MATLAB leaves out the others without a word


@shared
def _coarser(x: Image, scale: int) -> Image:
    """The picture at one of the four scales of VIF: blurred without a border, then every second row and column."""
    return x if scale == 0 else blur(_coarser(x, scale - 1), _SCALES[scale])[..., ::2, ::2].contiguous()


def _gains(x: Image, fused: Image) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """At each scale the gain k of the channel from x to the fused picture, the variance a of x and the variance v of the distortion."""
    tiny = 1e-10
    for scale, kernel in enumerate(_SCALES):
        if min(x.shape[-2:]) < _SMALLEST[scale]:
            return
        x_j, f_j = _coarser(x, scale), _coarser(fused, scale)
        a = local_covariance(x_j, x_j, kernel, "valid").clamp(min=0)
        b = local_covariance(f_j, f_j, kernel, "valid").clamp(min=0)
        c = local_covariance(x_j, f_j, kernel, "valid")
        k = c / (a + tiny)
        v = b - k * c
        flat_x, flat_f = a < tiny, b < tiny
        k, v, a = torch.where(flat_x, 0.0, k), torch.where(flat_x, b, v), torch.where(flat_x, 0.0, a)
        k, v = torch.where(flat_f, 0.0, k), torch.where(flat_f, 0.0, v)
        v = torch.where(k < 0, b, v)
        yield k.clamp(min=0), a, v.clamp(min=tiny)


def _vifp(x: Image, fused: Image, noise: float) -> Score:
    """Pixel-domain visual information fidelity of the fused picture as a rendering of x; 1 where x holds no information at all."""
    kept, held = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for k, a, v in _gains(x, fused):
        kept = kept + torch.log1p(k * k * a / (v + noise)).flatten(1).sum(1)
        held = held + torch.log1p(a / noise).flatten(1).sum(1)
    empty = held <= 0
    return torch.where(empty, 1.0, kept / torch.where(empty, 1.0, held))


def vif(fused: Image, a: Image, b: Image) -> Score:
    """Visual information fidelity in the pixel domain, summed over the two sources; 1 for each of them that is copied.

    Source: H. R. Sheikh, A. C. Bovik, Image information and visual quality, IEEE Trans. Image Processing, 2006; the pixel-domain
    multi-scale form of the authors' `vifp_mscale`, noise variance 2.
    A constant source holds no information, and counts as 1.
    """
    return _vifp(a, fused, 2.0) + _vifp(b, fused, 2.0)
