"""Fusion faults: what the usual metrics reward, or do not see.

A plain copy of one source beats published methods in VIF, Qabf and MI at once. These five see what such a picture loses and what a
picture optimised for those metrics gains wrongly; they belong beside every table. Luma, levels 0..255, gradients by Sobel / 8.
The thresholds are this project's own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import box, dilate, erode, magnitude, root
from refinefuse.metrics.gradient import derivatives
from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score
from refinefuse.metrics.structure import local_covariance


@shared
def _gradient(x: Image) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient in levels a pixel and its length."""
    across, down = (d / 8 for d in derivatives(x, "mirror"))
    return across, down, magnitude(across, down)


def percentile(x: Float[Tensor, "n ..."], share: float) -> Float[Tensor, "n ..."]:
    """The value below which `share` (0..1) of the pixels lie, with linear interpolation, shaped to compare with `x`."""
    flat = x.flatten(1)
    place = share * (flat.shape[1] - 1)
    low = int(place)
    ordered = flat.sort(1).values
    value = torch.lerp(ordered[:, low], ordered[:, min(low + 1, flat.shape[1] - 1)], place - low)
    return value.reshape(-1, *[1] * (x.ndim - 1))


def _percent(part: Tensor, whole: Tensor, otherwise: float, at_least: int = 1, dtype: torch.dtype = torch.float64) -> Score:
    """The share of the pixels of `whole` that are in `part`, in percent; `otherwise` where `whole` has fewer than `at_least`."""
    count = whole.flatten(1).sum(1)
    share = 100.0 * (part & whole).flatten(1).sum(1).to(dtype) / count.clamp(min=1)
    return torch.where(count >= at_least, share, otherwise)


def _kept(fused: Image, x: Image, other: Image) -> Score:
    """The share of the edges that x alone has and the fused picture keeps."""
    (fu, fv, _), (xu, xv, strength), (_, _, rival) = _gradient(fused), _gradient(x), _gradient(other)
    own = (strength > 6) & (strength > 2 * rival)
    return _percent(fu * xu + fv * xv >= 0.5 * strength**2, own, 100.0, at_least=51, dtype=fused.dtype)


def kept(fused: Image, a: Image, b: Image) -> Score:
    """Edges that one source has alone and the fused picture keeps, in percent: the worse of the two sources. A copy scores 0.

    An edge belongs to a source alone where its gradient is above 6 levels a pixel and more than twice the other's; it is kept where
    the fused gradient reaches half of it along it. A source with 50 such pixels or fewer counts as kept.
    """
    return torch.minimum(_kept(fused, a, b), _kept(fused, b, a))


def lost(fused: Image, a: Image, b: Image) -> Score:
    """Hot targets of `a` that are darker than half of the fused picture, in percent; 0 where nothing is hot.

    Hot is above the 95th percentile of `a` and more than 30 levels above its median: for infrared in which hot is white.
    """
    hot = (a > percentile(a, 0.95)) & (a > percentile(a, 0.5) + 30)
    return _percent(fused < percentile(fused, 0.5), hot, 0.0, dtype=fused.dtype)


def inversion(fused: Image, a: Image, b: Image) -> Score:
    """Strong edges of one source that the other does not contradict and that come out reversed, in percent.

    Strong is above 12 levels a pixel where the other source stays below 3; reversed is a fused gradient against it by a tenth.
    """
    (fu, fv, _), (au, av, sa), (bu, bv, sb) = _gradient(fused), _gradient(a), _gradient(b)
    first = sa >= sb
    u, v = torch.where(first, au, bu), torch.where(first, av, bv)
    strength, rival = torch.maximum(sa, sb), torch.minimum(sa, sb)
    clear = (strength > 12) & (rival < 3)
    return _percent(fu * u + fv * v < -0.1 * strength**2, clear, 0.0, dtype=fused.dtype)


def overshoot(fused: Image, a: Image, b: Image) -> Score:
    """Pixels more than 6 levels outside everything that either source shows in the 15x15 square around, in percent: halos, stretching."""
    above = fused > dilate(torch.maximum(a, b), 15) + 6
    below = fused < erode(torch.minimum(a, b), 15) - 6
    return _percent(above | below, torch.ones_like(above), 0.0, dtype=fused.dtype)


@shared
def _deviation(x: Image) -> Image:
    """The standard deviation over 7x7 pixels."""
    return root(local_covariance(x, x, box(7), "mirror").clamp(min=0))


def noise(fused: Image, a: Image, b: Image) -> Score:
    """Noise lift: how much rougher the fused picture is than the rougher source where both are flat; 1 is neutral, lower is better.

    Flat are the pixels whose deviation over 7x7 is within the lowest quarter of the larger of the two sources' (or within 1 level).
    """
    rough = torch.maximum(_deviation(a), _deviation(b))
    flat = rough <= percentile(rough, 0.25).clamp(min=1)
    lift = _deviation(fused) / rough.clamp(min=0.5)
    return torch.stack([one[chosen].quantile(0.5) for one, chosen in zip(lift, flat, strict=True)])
