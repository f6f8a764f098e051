"""Information theory on histograms of 8-bit levels: entropy, mutual information and related metrics.

Levels are rounded half up and clipped to 0..255, with one bin per level, so these metrics have no gradient.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue


@cached
def levels(x: Image) -> Int[Tensor, "n p"]:
    """The 8-bit level of each pixel."""
    return (x.detach() + 0.5).clamp_(0, 255).flatten(1).to(torch.int32)


@cached
def stretched(x: Image) -> Image:
    """The image stretched so that its darkest pixel is 0 and its brightest 255, and rounded; 0 if it is constant."""
    low, high = x.flatten(1).aminmax(dim=1)
    span = torch.where(high > low, high - low, 1.0)
    return ((x - low[:, None, None, None]) / span[:, None, None, None] * 255 + 0.5).trunc()


def _frequencies(index: Tensor, bins: int) -> Tensor:
    """The fraction of pixels in each bin, float64 (n, bins)."""
    counts = torch.stack([torch.bincount(row, minlength=bins) for row in index])
    return counts.double() / index.shape[1]


@cached
def histogram(x: Image) -> Float[Tensor, "n 256"]:
    """The fraction of pixels at each level."""
    return _frequencies(levels(x), 256)


@cached
def joint_histogram(x: Image, y: Image) -> Float[Tensor, "n 256 256"]:
    """The fraction of pixels at each pair of levels, those of `x` first."""
    return _frequencies(levels(x) * 256 + levels(y), 65536).reshape(-1, 256, 256)


def bits(p: Float[Tensor, "n k"]) -> MetricValue:
    """Shannon's entropy of a distribution in bits, 0 log 0 = 0."""
    p = p.flatten(1)
    return -(p * torch.log2(torch.where(p > 0, p, 1.0))).sum(1)


@cached
def _entropy(x: Image) -> MetricValue:
    return bits(histogram(x))


@cached
def mutual(x: Image, y: Image) -> MetricValue:
    """The mutual information of two images in bits."""
    return _entropy(x) + _entropy(y) - bits(joint_histogram(x, y))


def _merge_top(joint: Tensor) -> Tensor:
    """The joint histogram with level 255 counted as 254, as with a saturating 8-bit index that starts at 1."""
    joint = torch.cat((joint[:, :254], joint[:, 254:].sum(1, keepdim=True)), 1)
    return torch.cat((joint[:, :, :254], joint[:, :, 254:].sum(2, keepdim=True)), 2)


def en(fused: Image, a: Image, b: Image, *, offset: float = 0.0) -> MetricValue:
    """Entropy of the histogram of the fused image, in bits, 0..8.

    Source: J. W. Roberts, J. A. van Aardt, F. B. Ahmed, "Assessment of image fusion procedures using entropy, image
    quality, and multispectral classification", Journal of Applied Remote Sensing 2(1), 2008.

    Args:
        fused: the fused image, levels 0..255.
        a: not used.
        b: not used.
        offset: added to the probabilities inside the logarithm.
    """
    if offset:
        p = histogram(fused)
        return -(p * torch.log2(p + offset)).sum(1).to(fused.dtype)
    return _entropy(fused).to(fused.dtype)


def mi(
    fused: Image,
    a: Image,
    b: Image,
    *,
    base: float = 2.0,
    stretch: bool = False,
    merge_top: bool = False,
) -> MetricValue:
    """Mutual information of the fused image with each source, summed; a copy of one source scores highest.

    Source: G. Qu, D. Zhang, P. Yan, "Information measure for performance of image fusion", Electronics Letters 38(7),
    2002.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        base: of the logarithm; 2 gives bits, `math.e` nats.
        stretch: stretch each image to 0..255 first.
        merge_top: level 255 counts as 254 in the joint histograms, but not in the marginal ones.
    """
    if stretch:
        fused, a, b = stretched(fused), stretched(a), stretched(b)
    total = mutual(a, fused) + mutual(b, fused)
    if merge_top:
        total = total + sum(bits(h) - bits(_merge_top(h)) for h in (joint_histogram(x, fused) for x in (a, b)))
    return (total / math.log2(base)).to(fused.dtype)


def mi_twice_entropy(fused: Image, a: Image, b: Image) -> MetricValue:
    """Twice the entropy of the fused image, regardless of the sources: what the DenseFuse MATLAB code prints as MI."""
    return 2 * en(fused, a, b)


def qmi(fused: Image, a: Image, b: Image, *, stretch: bool = False) -> MetricValue:
    """Normalized mutual information: 2 MI(x, fused) / (H(x) + H(fused)), summed over the two sources, 0..2.

    The term of two constant images, whose entropies are 0, counts as 0.

    Source: M. Hossny, S. Nahavandi, D. Creighton, "Comments on 'Information measure for performance of image fusion'",
    Electronics Letters 44(18), 2008.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        stretch: stretch each image to 0..255 first.
    """
    if stretch:
        fused, a, b = stretched(fused), stretched(a), stretched(b)
    parts = [mutual(x, fused) / (_entropy(x) + _entropy(fused)).clamp(min=1e-12) for x in (a, b)]
    return (2 * (parts[0] + parts[1])).to(fused.dtype)


def qncie(fused: Image, a: Image, b: Image) -> MetricValue:
    """Nonlinear correlation information entropy of all three images, 0..1; usually 0.80 to 0.83.

    Source: Q. Wang, Y. Shen, J. Jin, "Performance evaluation of image fusion techniques", in Image Fusion: Algorithms
    and Applications, 2008.
    """
    fused, a, b = stretched(fused), stretched(a), stretched(b)
    matrix = torch.eye(3, dtype=torch.float64, device=fused.device).repeat(len(fused), 1, 1)
    for (i, x), (j, y) in (((0, a), (1, b)), ((0, a), (2, fused)), ((1, b), (2, fused))):
        matrix[:, i, j] = matrix[:, j, i] = mutual(x, y) / 8
    fraction = torch.linalg.eigvalsh(matrix).clamp(min=0) / 3
    return (1 - bits(fraction) / 8).to(fused.dtype)


def _tsallis(x: Image, y: Image, q: float, swapped: bool) -> MetricValue:
    """Tsallis mutual information of order q."""
    rows, columns = (histogram(y), histogram(x)) if swapped else (histogram(x), histogram(y))
    expected = rows[:, :, None] * columns[:, None, :]
    possible = expected > 0
    terms = joint_histogram(x, y) ** q / torch.where(possible, expected, 1.0) ** (q - 1) * possible
    return (1 - terms.flatten(1).sum(1)) / (1 - q)


def qte(
    fused: Image, a: Image, b: Image, *, q: float = 0.43137, normalized: bool = True, swapped: bool = False
) -> MetricValue:
    """Tsallis entropy metric: normalized Tsallis mutual information with the two sources.

    Source: R. Nava, G. Cristobal, B. Escalante-Ramirez, "Mutual information improves image fusion quality assessments",
    SPIE Newsroom, 2007; N. Cvejic, C. N. Canagarajah, D. R. Bull, "Image fusion metric based on mutual information and
    Tsallis entropy", Electronics Letters 42(11), 2006.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        q: the order; Cvejic uses 1.85.
        normalized: normalize as Nava does; Cvejic's sum is unbounded.
        swapped: swap the two marginal histograms, as Liu's MATLAB code does.
    """
    fused, a, b = stretched(fused), stretched(a), stretched(b)
    total = _tsallis(a, fused, q, swapped) + _tsallis(b, fused, q, swapped)
    if normalized:
        scale = _entropy(a) ** q + _entropy(b) ** q + _tsallis(a, b, q, swapped)
        total = total / torch.where(scale > 0, scale, 1.0)
    return total.to(fused.dtype)


def _divergence(x: Image, y: Image) -> MetricValue:
    """Kullback-Leibler divergence in bits, over the levels that occur in both images."""
    p, q = histogram(x), histogram(y)
    both = (p > 0) & (q > 0)
    return (p * torch.log2(torch.where(both, p, 1.0) / torch.where(both, q, 1.0))).sum(1)


def ce(fused: Image, a: Image, b: Image) -> MetricValue:
    """Cross entropy: divergence of each source's histogram from that of the fused image, averaged, in bits.

    Levels that do not occur in the fused image are skipped, so it is not a true divergence and can be negative.

    Source: D. M. Bulanon, T. F. Burks, V. Alchanatis, "Image fusion of visible and thermal images for fruit detection",
    Biosystems Engineering 103(1), 2009.
    """
    return ((_divergence(a, fused) + _divergence(b, fused)) / 2).to(fused.dtype)
