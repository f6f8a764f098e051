"""Structural similarity of the fused picture to its sources."""

from __future__ import annotations

from typing import Literal

from refinefuse.filters import Border, Kernel, blur, box, gaussian
from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score, pixel_mean
from refinefuse.metrics.statistics import scd as scd

GAUSS_11 = gaussian(11, 1.5)
UNIFORM_7 = box(7)


@shared
def local_mean(x: Image, kernel: Kernel, border: Border) -> Image:
    """The mean under the window at each pixel."""
    return blur(x, kernel, border)


@shared
def local_covariance(x: Image, y: Image, kernel: Kernel, border: Border) -> Image:
    """The covariance under the window at each pixel."""
    return blur(x * y, kernel, border) - local_mean(x, kernel, border) * local_mean(y, kernel, border)


def ssim_map(x: Image, y: Image, kernel: Kernel, border: Border, data_range: float, correction: float = 1.0) -> Image:
    """The structural similarity of two pictures at each pixel; `correction` multiplies the variances and the covariance."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = local_mean(x, kernel, border), local_mean(y, kernel, border)
    vx, vy = local_covariance(x, x, kernel, border), local_covariance(y, y, kernel, border)
    cov = local_covariance(x, y, kernel, border)
    light = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return light * ((2 * correction * cov + c2) / (correction * (vx + vy) + c2))


def ssim(
    fused: Image,
    a: Image,
    b: Image,
    *,
    window: Literal["gauss11", "uniform7", "uniform11"] = "gauss11",
    border: Border = "valid",
    data_range: float = 255.0,
    reduce: Literal["sum", "mean"] = "sum",
) -> Score:
    """Structural similarity to the two sources, summed: -2..2; for their mean, halve it.

    Source: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, Image quality assessment: from error visibility to structural
    similarity, IEEE Trans. Image Processing, 2004, equation 13.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        window: the Gaussian 11x11 of sigma 1.5 of the paper, or scikit-image's uniform 7x7 with sample (n - 1) covariances.
        border: what lies outside the picture.
        data_range: L of the constants (0.01 L)^2 and (0.03 L)^2. Many tables were computed with 1 or 2 on levels 0..255 by accident.
        reduce: over the two sources.
    """
    kernel = {"gauss11": GAUSS_11, "uniform7": UNIFORM_7, "uniform11": box(11)}[window]
    correction = 49 / 48 if window == "uniform7" else 1.0
    to_a, to_b = (pixel_mean(ssim_map(x, fused, kernel, border, data_range, correction)) for x in (a, b))
    total = to_a + to_b
    return total if reduce == "sum" else total / 2
