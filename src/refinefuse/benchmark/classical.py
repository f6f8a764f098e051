"""Fusion without training: trivial baselines and classical methods.

Every function takes two lumas, float32 (h, w) in [0, 1], of any size from 1 x 1, and returns the fused luma of the same
size, which the caller clips to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.errors import optional

Luma = Float[np.ndarray, "h w"]
Rule = Callable[[Luma, Luma], Luma]


@dataclass(frozen=True)
class Classical:
    """A classical method.

    Attributes:
        fuse: function that computes the fused luma.
        sanity: whether it is a trivial baseline (a copy or an average).
    """

    fuse: Rule
    sanity: bool = False


def copy_of_a(a: Luma, b: Luma) -> Luma:
    """Copy the first source."""
    return a


def copy_of_b(a: Luma, b: Luma) -> Luma:
    """Copy the second source."""
    return b


def copy_of_larger_sd(a: Luma, b: Luma) -> Luma:
    """Copy the source with the larger standard deviation, the copy that ranks best in most tables."""
    return a if a.std() >= b.std() else b


def average(a: Luma, b: Luma) -> Luma:
    """Mean of both sources."""
    mean: Luma = (a + b) / 2
    return mean


def maximum(a: Luma, b: Luma) -> Luma:
    """Pixelwise maximum of both sources."""
    brighter: Luma = np.maximum(a, b)
    return brighter


def laplacian_pyramid(a: Luma, b: Luma, levels: int = 5) -> Luma:
    """Laplacian pyramid fusion: the larger band-pass coefficient per pixel and level, the mean at the coarsest level.

    Source: P. J. Burt, E. H. Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications
    31(4), 1983; for fusion: P. J. Burt, "The pyramid as a structure for efficient computation", in Multiresolution
    Image Processing and Analysis, 1984.
    """
    bands = []
    for _ in range(min(levels, min(a.shape).bit_length() - 1)):
        coarse = cv2.pyrDown(a), cv2.pyrDown(b)
        size = a.shape[::-1]
        bands.append(_stronger(a - cv2.pyrUp(coarse[0], dstsize=size), b - cv2.pyrUp(coarse[1], dstsize=size)))
        a, b = coarse
    fused: Luma = (a + b) / 2
    for band in reversed(bands):
        fused = cv2.pyrUp(fused, dstsize=band.shape[::-1]) + band
    return fused


def wavelet(a: Luma, b: Luma, levels: int = 3) -> Luma:
    """The rule of the Laplacian pyramid applied to the undecimated, shift-invariant wavelet transform.

    Needs PyWavelets (extra `benchmark`).

    Source: O. Rockinger, "Image sequence fusion using a shift-invariant wavelet transform", ICIP 1997. Differs from it
    in the wavelet: Daubechies with two vanishing moments instead of Haar.

    Raises:
        MissingDependencyError: PyWavelets is not installed.
    """
    with optional("benchmark", "The wavelet method"):
        import pywt

    (height, width), block = a.shape, 2**levels
    margins = ((0, -height % block), (0, -width % block))
    first, second = (
        pywt.swt2(np.pad(x, margins, mode="symmetric"), "db2", levels, trim_approx=True, norm=True) for x in (a, b)
    )
    details = [tuple(map(_stronger, one, two)) for one, two in zip(first[1:], second[1:], strict=True)]
    fused: Luma = pywt.iswt2([(first[0] + second[0]) / 2, *details], "db2", norm=True)
    return fused[:height, :width]


def guided_filter(a: Luma, b: Luma) -> Luma:
    """Fusion of two scales, each weighted by a saliency map that a guided filter aligns with the edges of the source.

    Source: S. Li, X. Kang, J. Hu, "Image fusion with guided filtering", IEEE Trans. Image Processing 22(7), 2013, with
    its parameters: 31 x 31 average, (r, eps) of (45, 0.3) for the base and (7, 1e-6) for the detail layer.
    """
    salient = [cv2.GaussianBlur(np.abs(cv2.Laplacian(x, cv2.CV_32F)), (11, 11), 5) for x in (a, b)]
    chosen = (salient[0] >= salient[1]).astype(np.float32)
    fused = np.zeros_like(a)
    bases = [cv2.blur(x, (31, 31)) for x in (a, b)]
    for layers, radius, eps in ((bases, 45, 0.3), ([a - bases[0], b - bases[1]], 7, 1e-6)):
        weights = [_guided(x, p, radius, eps).clip(0, 1) for x, p in ((a, chosen), (b, 1 - chosen))]
        weight = (weights[0] + 1e-9) / (weights[0] + weights[1] + 2e-9)
        fused += weight * layers[0] + (1 - weight) * layers[1]
    return fused


def saliency_wls(a: Luma, b: Luma) -> Luma:
    """Fusion of a base, weighted by visual saliency, and three detail layers, regularized toward those of `b`.

    Source: J. Ma, Z. Zhou, B. Wang, H. Zong, "Infrared and visible image fusion based on visual saliency map and
    weighted least square optimization", Infrared Physics & Technology 82, 2017, with its parameters (sigma 2, 4, 8
    pixels, range 0.05, lambda 0.01). Differs from it in the rolling guidance filter (Zhang et al., ECCV 2014), which
    uses a guided filter here instead of a joint bilateral filter.
    """
    layers_a, layers_b = _rolling_layers(a), _rolling_layers(b)
    weight = 0.5 + (_saliency(a) - _saliency(b)) / 2
    fused: Luma = weight * layers_a[-1] + (1 - weight) * layers_b[-1]
    fused += _stronger(layers_a[0], layers_b[0])
    for one, two in zip(layers_a[1:-1], layers_b[1:-1], strict=True):
        weight = cv2.GaussianBlur((np.abs(one) > np.abs(two)).astype(np.float32), (0, 0), 2)
        target = weight * one + (1 - weight) * two
        pull = 0.01 / (49 * np.abs(cv2.blur(two, (7, 7))) + 1e-4)  # the sum over 7 x 7; small where `b` is flat
        fused += (target + pull * two) / (1 + pull)
    return fused


CLASSICAL: Mapping[str, Classical] = {
    "copy-of-a": Classical(copy_of_a, sanity=True),
    "copy-of-b": Classical(copy_of_b, sanity=True),
    "copy-of-larger-sd": Classical(copy_of_larger_sd, sanity=True),
    "average": Classical(average, sanity=True),
    "maximum": Classical(maximum, sanity=True),
    "laplacian": Classical(laplacian_pyramid),
    "wavelet": Classical(wavelet),
    "guided-filter": Classical(guided_filter),
    "saliency-wls": Classical(saliency_wls),
}


def _stronger(one: Luma, two: Luma) -> Luma:
    chosen: Luma = np.where(np.abs(one) >= np.abs(two), one, two)
    return chosen


def _guided(guide: Luma, x: Luma, radius: int, eps: float) -> Luma:
    """Source: K. He, J. Sun, X. Tang, "Guided image filtering", IEEE TPAMI 35(6), 2013, equations 5, 6 and 8."""
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(values: Luma) -> Luma:
        return cv2.blur(values, side, borderType=cv2.BORDER_REFLECT)

    guide, x = guide.astype(np.float64), x.astype(np.float64)  # the variance is a small difference of large numbers
    mean_guide, mean_x = mean(guide), mean(x)
    slope = (mean(guide * x) - mean_guide * mean_x) / (mean(guide * guide) - mean_guide**2 + eps)
    filtered: Luma = (mean(slope) * guide + mean(mean_x - slope * mean_guide)).astype(np.float32)
    return filtered


def _rolling_layers(x: Luma, scales: int = 3, iterations: int = 4) -> list[Luma]:
    """Split into detail layers, fine to coarse, and a base, by rolling guidance and a Gaussian at the last scale."""
    layers, current = [], x
    for scale in range(scales):
        sigma = 2.0 * 2**scale
        smooth = cv2.GaussianBlur(current, (0, 0), sigma)
        for _ in range(iterations if scale < scales - 1 else 0):
            smooth = _guided(smooth, current, round(sigma), 0.05**2)
        layers.append(current - smooth)
        current = smooth
    return [*layers, current]


def _saliency(x: Luma) -> Luma:
    """Mean absolute difference of each pixel's level to all others in the image, scaled to a maximum of 1."""
    levels = (x * 255 + 0.5).astype(np.uint8)
    weight = np.bincount(levels.ravel(), minlength=256)
    distance = np.abs(np.arange(256)[:, None] - np.arange(256)) @ weight
    salient = distance[levels].astype(np.float32)
    low, high = salient.min(), salient.max()
    scaled: Luma = (salient - low) / max(high - low, 1)
    return scaled
