"""Local similarity to the source that matters at each pixel: the metrics of Piella, Cvejic and Yang.

Each metric weights the similarity to the two sources pixel by pixel, by properties of the sources or of the fused
image. By default they use the universal quality index on a uniform 8x8 window, as defined in the papers and computed
by Yu Liu's programs; `liu2012` reproduces the programs of Liu et al., with other windows and constants.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from refinefuse.filters import Kernel, box, gaussian, magnitude
from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue, pixel_mean, pixel_sum
from refinefuse.metrics.structure import GAUSS_11, local_covariance, local_mean

Formulation: TypeAlias = Literal["corrected", "liu2012"]

_UNIFORM_8 = box(8)
_GAUSS_7 = gaussian(7, 1.5)


@cached
def _variance(x: Image, kernel: Kernel) -> Image:
    """The variance under the window; rounding errors of a flat window are set to 0, so that they affect no ratio."""
    variance = local_covariance(x, x, kernel, "valid")
    return torch.where(variance < 1e-9, 0.0, variance)


def _index(x: Image, y: Image, kernel: Kernel, c1: float, c2: float) -> Image:
    """Structural similarity at each pixel, with the given constants."""
    mean_x, mean_y = local_mean(x, kernel, "valid"), local_mean(y, kernel, "valid")
    variance_x, variance_y = _variance(x, kernel), _variance(y, kernel)
    flat = (variance_x == 0) | (variance_y == 0)
    covariance = torch.where(flat, 0.0, local_covariance(x, y, kernel, "valid"))
    light = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return light * ((2 * covariance + c2) / (variance_x + variance_y + c2))


def _fraction(part: Tensor, rest: Tensor, otherwise: float) -> Tensor:
    """The part divided by the whole, or `otherwise` where both are 0."""
    whole = part + rest
    return torch.where(whole == 0, otherwise, part / torch.where(whole == 0, 1.0, whole))


@cached
def _piella_constants(form: Formulation) -> tuple[Kernel, float, float]:
    if form == "corrected":
        return _UNIFORM_8, (1e-6 * 255) ** 2, (1e-6 * 255) ** 2
    return GAUSS_11, (0.01 * 255) ** 2, (0.03 * 255) ** 2


@cached
def _piella_map(fused: Image, a: Image, b: Image, form: Formulation) -> Image:
    """The similarity to both sources, weighted by their fractions of the variance."""
    kernel, c1, c2 = _piella_constants(form)
    fraction = _fraction(_variance(a, kernel), _variance(b, kernel), 0.5)
    return fraction * _index(a, fused, kernel, c1, c2) + (1 - fraction) * _index(b, fused, kernel, c1, c2)


def qs(fused: Image, a: Image, b: Image, *, form: Formulation = "corrected") -> MetricValue:
    """Piella's fusion quality: similarity to the sources, weighted by their local variances, -1..1.

    Source: G. Piella, H. Heijmans, "A new quality metric for image fusion", ICIP 2003.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: the paper's index on a uniform 8x8 window, or SSIM with its constants on a Gaussian 11x11 window.
    """
    return pixel_mean(_piella_map(fused, a, b, form))


def qw(fused: Image, a: Image, b: Image, *, form: Formulation = "corrected") -> MetricValue:
    """Piella's weighted quality: as QS, but windows with more variance count more, -1..1.

    A window that is flat in both sources is given a variance of 0.5, as in the programs of Liu et al.

    Source: as QS.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: as in `qs`.
    """
    kernel = _piella_constants(form)[0]
    salience = torch.maximum(_variance(a, kernel), _variance(b, kernel))
    salience = torch.where(salience == 0, 0.5, salience)
    return pixel_sum(salience * _piella_map(fused, a, b, form)) / pixel_sum(salience)


@cached
def _edge_image(x: Image) -> Image:
    """The Prewitt gradient magnitude, with a zero border."""
    x = torch.nn.functional.pad(x, (1, 1, 1, 1))
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    columns = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    return magnitude(rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :])


def qe(fused: Image, a: Image, b: Image, *, form: Formulation = "corrected") -> MetricValue:
    """Piella's edge-dependent quality: QW of the images times QW of their edges, -1..1.

    Source: as QS.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: as in `qs`.
    """
    return qw(fused, a, b, form=form) * qw(_edge_image(fused), _edge_image(a), _edge_image(b), form=form)


def qc(fused: Image, a: Image, b: Image, *, form: Formulation = "corrected") -> MetricValue:
    """Cvejic's quality: similarity to the sources, weighted by their covariance with the fused image, -1..1.

    Source: N. Cvejic, A. Loza, D. Bull, N. Canagarajah, "A similarity metric for assessment of image fusion
    algorithms", International Journal of Signal Processing 2(3), 2005.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: `liu2012` uses a Gaussian 7x7 window, scores windows whose weight is outside 0..1 as 0 or 1, and is NaN if
            a window is flat in all images.
    """
    kernel = _UNIFORM_8 if form == "corrected" else _GAUSS_7
    cov_a, cov_b = local_covariance(a, fused, kernel, "valid"), local_covariance(b, fused, kernel, "valid")
    index_a, index_b = _index(a, fused, kernel, 2e-16, 2e-16), _index(b, fused, kernel, 2e-16, 2e-16)
    if form == "corrected":
        fraction = _fraction(cov_a, cov_b, 0.5).clamp(0, 1)
        return pixel_mean(fraction * index_a + (1 - fraction) * index_b)
    fraction = _fraction(cov_a, cov_b, float("nan"))
    quality = fraction * index_a + (1 - fraction) * index_b
    return pixel_mean(torch.where(fraction < 0, 0.0, torch.where(fraction > 1, 1.0, quality)))


def qy(fused: Image, a: Image, b: Image, *, form: Formulation = "corrected") -> MetricValue:
    """Yang's quality: as QS where the sources are similar, else the similarity to the more similar source, -1..1.

    Source: C. Yang, J.-Q. Zhang, X.-R. Wang, X. Liu, "A novel similarity based quality metric for image fusion",
    Information Fusion 9(2), 2008.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: `liu2012` is NaN if a window is flat in both sources.
    """
    otherwise = 0.5 if form == "corrected" else float("nan")
    fraction = _fraction(_variance(a, _GAUSS_7), _variance(b, _GAUSS_7), otherwise)
    index_a, index_b = _index(a, fused, _GAUSS_7, 2e-16, 2e-16), _index(b, fused, _GAUSS_7, 2e-16, 2e-16)
    agree = _index(a, b, _GAUSS_7, 2e-16, 2e-16) >= 0.75
    quality = torch.where(agree, fraction * index_a + (1 - fraction) * index_b, torch.maximum(index_a, index_b))
    return pixel_mean(quality)
