"""Diagnostic metrics: errors that the common metrics miss or even reward.

A plain copy of one source beats published methods in VIF, Qabf and MI at the same time. These metrics measure what such
an image loses, and which artifacts appear when an image is optimized for the common metrics; report them next to every
table. They use luma on levels 0..255 and gradients by Sobel / 8 with a mirrored border. The thresholds are our own.
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
    """The gradient in levels per pixel and its magnitude."""
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
    """Percentage of the edges unique to one source that survive, for the worse source; a copy of one source scores 0.

    An edge is unique to a source where its gradient is above 6 levels per pixel and more than twice that of the other
    source. It survives where the fused gradient, projected onto its direction, is at least half as strong. A source
    with 50 such pixels or fewer scores 100.

    Source: this package, 2026.
    """
    return torch.minimum(edge_recall_of(fused, a, b), edge_recall_of(fused, b, a))


def missed_targets(fused: Image, a: Image, b: Image) -> MetricValue:
    """Percentage of the hot pixels of `a` that are darker than the median of the fused image; 0 if nothing is hot.

    A pixel is hot if it is above the 95th percentile of `a` and more than 30 levels above its median. This assumes
    white-hot infrared.

    Source: this package, 2026.
    """
    hot = (a > quantile(a, 0.95)) & (a > quantile(a, 0.5) + 30)
    return _percentage(fused < quantile(fused, 0.5), hot, fused, otherwise=0.0)


def gradient_reversal(fused: Image, a: Image, b: Image) -> MetricValue:
    """Percentage of the strong edges present in only one source whose direction is reversed in the fused image.

    An edge is strong if its gradient is above 12 levels per pixel and that of the other source is below 3. It is
    reversed if the fused gradient points against it with more than a tenth of its magnitude.

    Source: this package, 2026.
    """
    (fu, fv, _), (au, av, sa), (bu, bv, sb) = _gradient(fused), _gradient(a), _gradient(b)
    first = sa >= sb
    u, v = torch.where(first, au, bu), torch.where(first, av, bv)
    strength, rival = torch.maximum(sa, sb), torch.minimum(sa, sb)
    clear = (strength > 12) & (rival < 3)
    return _percentage(fu * u + fv * v < -0.1 * strength**2, clear, fused, otherwise=0.0)


def overshoot(fused: Image, a: Image, b: Image) -> MetricValue:
    """Percentage of pixels more than 6 levels outside the range of both sources in the surrounding 15x15 square.

    Such pixels are halos or come from contrast stretching.

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
    """Noise gain: deviation of the fused image over that of the noisier source where both are flat; 1 is neutral.

    A pixel is flat if the larger of the two sources' standard deviations over 7x7 pixels is in its lowest quartile or
    at most 1 level. The metric is the median of the ratio over the flat pixels.

    Source: this package, 2026.
    """
    rough = torch.maximum(_deviation(a), _deviation(b))
    flat = rough <= quantile(rough, 0.25).clamp(min=1)
    lift = _deviation(fused) / rough.clamp(min=0.5)
    return torch.stack([quantile(one[chosen][None], 0.5)[0, 0] for one, chosen in zip(lift, flat, strict=True)])


BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def _halved(x: Image) -> Image:
    """The next level of a Gaussian pyramid: every second row and column, starting with the first (as `cv2.pyrDown`)."""
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
    """The gradient magnitude at levels 1 to 3."""
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
    """The strength of the fused image beyond the sum of both sources, in percent of the stronger source's."""
    excess = (fused - a - b).relu().flatten(1).sum(1)
    whole = torch.maximum(a, b).flatten(1).sum(1)
    return 100.0 * excess / torch.where(whole > 0, whole, 1.0) * (whole > 0)


def spurious_edges(fused: Image, a: Image, b: Image) -> MetricValue:
    """Edges that neither source has, as a percentage of the stronger source's edge strength; an average scores 0.

    The part of the fused gradient magnitude that exceeds the sum of both sources' magnitudes, divided by the larger of
    the two, averaged over levels 1 to 3 of a Gaussian pyramid. Typical causes are halos, clouding, and dark curves
    where the levels of the sources cross.

    Source: this package, 2026.
    """
    levels = zip(_slopes(fused), _slopes(a), _slopes(b), strict=True)
    return torch.stack([_excess(*level) for level in levels]).mean(0)


def spurious_curvature(fused: Image, a: Image, b: Image) -> MetricValue:
    """Coarse-scale curvature that neither source has, as a percentage of the stronger source's; an average scores 0.

    As `spurious_edges`, but for second differences at level 4: it finds visible dark bands whose edges are no steeper
    than those of the sources.

    Source: this package, 2026.
    """
    return _excess(_curvature(fused), _curvature(a), _curvature(b))
