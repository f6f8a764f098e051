"""Diagnostic metrics: what the common metrics reward, or do not see.

A plain copy of one source beats published methods in VIF, Qabf and MI at once. These see what such an image loses
and what an image optimized for those metrics gains wrongly; they belong beside every table. Luma, levels 0..255,
gradients by Sobel / 8 with a mirrored border. The thresholds are this project's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from refinefuse.filters import blur, box, dilate, erode, magnitude, pad, root
from refinefuse.metrics.caching import cached
from refinefuse.metrics.gradient import derivatives
from refinefuse.metrics.statistics import Image, MetricValue, quantile
from refinefuse.metrics.structure import local_covariance


@cached
def _gradient(x: Image) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient in levels per pixel and its length."""
    across, down = (d / 8 for d in derivatives(x, "mirror"))
    return across, down, magnitude(across, down)


def _percentage(part: Tensor, whole: Tensor, like: Tensor, otherwise: float, at_least: int = 1) -> MetricValue:
    """The pixels of `whole` that are in `part`, in percent; `otherwise` where there are fewer than `at_least`."""
    count = whole.flatten(1).sum(1)
    fraction = 100.0 * (part & whole).flatten(1).sum(1).to(like.dtype) / count.clamp(min=1)
    return torch.where(count >= at_least, fraction, otherwise)


def edge_recall_of(fused: Image, x: Image, other: Image) -> MetricValue:
    """Percentage of the edges unique to x that survive in the fused image: `edge_recall` for one source."""
    (fu, fv, _), (xu, xv, strength), (_, _, rival) = _gradient(fused), _gradient(x), _gradient(other)
    own = (strength > 6) & (strength > 2 * rival)
    return _percentage(fu * xu + fv * xv >= 0.5 * strength**2, own, fused, otherwise=100.0, at_least=51)


def edge_recall(fused: Image, a: Image, b: Image) -> MetricValue:
    """Edges that one source has alone and the fused image keeps, in percent, of the worse source; a copy scores 0.

    An edge belongs to a source alone where its gradient is above 6 levels per pixel and more than twice the other's; it
    is kept where the fused gradient reaches half of it along it. A source with 50 such pixels or fewer counts as kept.

    Source: this package, 2026.
    """
    return torch.minimum(edge_recall_of(fused, a, b), edge_recall_of(fused, b, a))


def missed_targets(fused: Image, a: Image, b: Image) -> MetricValue:
    """Hot targets of `a` that are darker than half of the fused image, in percent; 0 where nothing is hot.

    Hot is above the 95th percentile of `a` and more than 30 levels above its median: for infrared with hot as white.

    Source: this package, 2026.
    """
    hot = (a > quantile(a, 0.95)) & (a > quantile(a, 0.5) + 30)
    return _percentage(fused < quantile(fused, 0.5), hot, fused, otherwise=0.0)


def gradient_reversal(fused: Image, a: Image, b: Image) -> MetricValue:
    """Strong edges of one source that the other does not contradict and that come out reversed, in percent.

    Strong is above 12 levels per pixel where the other source stays below 3; reversed is a fused gradient that goes
    against it by a tenth of its length or more.

    Source: this package, 2026.
    """
    (fu, fv, _), (au, av, sa), (bu, bv, sb) = _gradient(fused), _gradient(a), _gradient(b)
    first = sa >= sb
    u, v = torch.where(first, au, bu), torch.where(first, av, bv)
    strength, rival = torch.maximum(sa, sb), torch.minimum(sa, sb)
    clear = (strength > 12) & (rival < 3)
    return _percentage(fu * u + fv * v < -0.1 * strength**2, clear, fused, otherwise=0.0)


def overshoot(fused: Image, a: Image, b: Image) -> MetricValue:
    """Pixels more than 6 levels outside of what either source shows in the 15x15 square around, in percent.

    They are halos, or the mark of a stretch.

    Source: this package, 2026.
    """
    above = fused > dilate(torch.maximum(a, b), 15) + 6
    below = fused < erode(torch.minimum(a, b), 15) - 6
    return _percentage(above | below, torch.ones_like(above), fused, otherwise=0.0)


@cached
def _deviation(x: Image) -> Image:
    """The standard deviation over 7x7 pixels."""
    return root(local_covariance(x, x, box(7), "mirror").clamp(min=0))


def noise_gain(fused: Image, a: Image, b: Image) -> MetricValue:
    """Noise gain: how much rougher the fused image is than the rougher source where both are flat; 1 is neutral.

    Flat are the pixels where the larger deviation of the two sources over 7x7 is within its lowest quarter, or within
    1 level; the median of the ratio over them.

    Source: this package, 2026.
    """
    rough = torch.maximum(_deviation(a), _deviation(b))
    flat = rough <= quantile(rough, 0.25).clamp(min=1)
    lift = _deviation(fused) / rough.clamp(min=0.5)
    return torch.stack([quantile(one[chosen][None], 0.5)[0, 0] for one, chosen in zip(lift, flat, strict=True)])


BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def _halved(x: Image) -> Image:
    """The next level of a Gaussian pyramid, every second row and column from the first on (OpenCV's `pyrDown`)."""
    return blur(x, BINOMIAL, "mirror", step=2)


@cached
def _pyramid(x: Image) -> tuple[Image, ...]:
    """Levels 1 to 4."""
    levels = [_halved(x)]
    while len(levels) < 4:
        levels.append(_halved(levels[-1]))
    return tuple(levels)


@cached
def _slopes(x: Image) -> tuple[Tensor, ...]:
    """The length of the gradient at levels 1 to 3."""
    return tuple(_gradient(level)[2] for level in _pyramid(x)[:3])


@cached
def _curvature(x: Image) -> Tensor:
    """The Frobenius norm of the second differences at level 4."""
    wide = pad(_pyramid(x)[3], 1, "mirror")
    middle = wide[..., 1:-1, 1:-1]
    across = wide[..., 1:-1, 2:] - 2 * middle + wide[..., 1:-1, :-2]
    down = wide[..., 2:, 1:-1] - 2 * middle + wide[..., :-2, 1:-1]
    twisted = (wide[..., 2:, 2:] - wide[..., 2:, :-2] - wide[..., :-2, 2:] + wide[..., :-2, :-2]) / 4
    return root(across.square() + down.square() + 2 * twisted.square())


def _excess(fused: Tensor, a: Tensor, b: Tensor) -> MetricValue:
    """By how much the strength of the fused image exceeds both sources together, over the sum of the stronger's."""
    excess = (fused - a - b).relu().flatten(1).sum(1)
    whole = torch.maximum(a, b).flatten(1).sum(1)
    return 100.0 * excess / torch.where(whole > 0, whole, 1.0) * (whole > 0)


def spurious_edges(fused: Image, a: Image, b: Image) -> MetricValue:
    """Edges that neither source has, in percent of the strength of the stronger source's; an average scores 0.

    The mean over levels 1 to 3 of a Gaussian pyramid of the part of the fused gradient that is longer than both
    sources' together, over the longer of the two. Dark curves where the sources cross, clouds and halos have them.

    Source: this package, 2026.
    """
    levels = zip(_slopes(fused), _slopes(a), _slopes(b), strict=True)
    return torch.stack([_excess(*level) for level in levels]).mean(0)


def spurious_curvature(fused: Image, a: Image, b: Image) -> MetricValue:
    """Curves at a coarse scale that neither source has, in percent of the stronger source's; an average scores 0.

    As `spurious_edges`, of second differences at level 4: the eye sees dark bands whose sides are no steeper than the
    sources.

    Source: this package, 2026.
    """
    return _excess(_curvature(fused), _curvature(a), _curvature(b))
