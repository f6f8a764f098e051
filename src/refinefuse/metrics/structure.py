"""Structural similarity of the fused image to its sources, at one scale and at several."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from refinefuse.filters import Border, Kernel, blur, box, gaussian
from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue, pixel_mean, pixel_sum, strips, sum_of

GAUSS_11 = gaussian(11, 1.5)
UNIFORM_7 = box(7)


@lru_cache
def _gauss_single() -> Kernel:
    """The Gaussian window in single precision; its weights sum to 3e-8 less than 1."""
    weights = torch.tensor([math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)], dtype=torch.float32)
    return tuple((weights / weights.sum()).tolist())


@cached
def _in_single(x: Image) -> Image:
    return x.float()


@cached
def local_mean(x: Image, kernel: Kernel, border: Border) -> Image:
    """The mean under the window at each pixel."""
    return blur(x, kernel, border)


@cached
def local_product(x: Image, y: Image, kernel: Kernel, border: Border) -> Image:
    """The mean of the product of two images under the window at each pixel."""
    return blur(x * y, kernel, border)


@cached
def local_covariance(x: Image, y: Image, kernel: Kernel, border: Border) -> Image:
    """The covariance under the window at each pixel; for an image with itself the variance, not clipped at 0."""
    means = local_mean(x, kernel, border), local_mean(y, kernel, border)
    return torch.addcmul(local_product(x, y, kernel, border), *means, value=-1)


class Moments(NamedTuple):
    """The local moments of two images under the window at each pixel."""

    mean_x: Tensor
    mean_y: Tensor
    variance_x: Tensor
    variance_y: Tensor
    covariance: Tensor


def moments(x: Image, y: Image, kernel: Kernel, border: Border = "valid") -> Iterator[Moments]:
    """The local moments of two images, strip by strip."""
    mean_x, mean_y = local_mean(x, kernel, border), local_mean(y, kernel, border)
    products = [local_product(u, v, kernel, border) for u, v in ((x, x), (y, y), (x, y))]
    for mx, my, xx, yy, xy in strips(mean_x, mean_y, *products):
        variance_x, variance_y = torch.addcmul(xx, mx, mx, value=-1), torch.addcmul(yy, my, my, value=-1)
        yield Moments(mx, my, variance_x, variance_y, torch.addcmul(xy, mx, my, value=-1))


def _similarity(
    x: Image, y: Image, kernel: Kernel, border: Border, data_range: float, unbias: float = 1.0
) -> tuple[MetricValue, MetricValue]:
    """Structural similarity of two images, and its contrast and structure terms without the luminance term."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    whole, part = [], []
    count = 0
    for m in moments(x, y, kernel, border):
        light = (2 * m.mean_x * m.mean_y + c1) / (m.mean_x**2 + m.mean_y**2 + c1)
        structure = (2 * unbias * m.covariance + c2) / (unbias * (m.variance_x + m.variance_y) + c2)
        whole.append(pixel_sum(light * structure))
        part.append(pixel_sum(structure))
        count += light[0].numel()
    return sum_of(whole) / count, sum_of(part) / count


def ssim(
    fused: Image,
    a: Image,
    b: Image,
    *,
    window: Literal["gauss11", "gauss11 single", "uniform7"] = "gauss11",
    border: Border = "valid",
    data_range: float = 255.0,
    reduce: Literal["sum", "mean"] = "sum",
) -> MetricValue:
    """Structural similarity (SSIM) to the two sources, summed, -2..2; the mean over the sources is half of it.

    Source: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Trans. Image Processing 13(4), 2004, equation 13.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        window: the paper's Gaussian 11x11 with sigma 1.5; `single`: the same in single precision, as in PyTorch
            programs; or scikit-image's uniform 7x7 with sample (n - 1) covariances.
        border: how the image is padded.
        data_range: L in the constants (0.01 L)^2 and (0.03 L)^2. Many tables used 1 or 2 on levels 0..255 by mistake.
        reduce: how to combine the two sources.
    """
    kernel, unbias = (UNIFORM_7, 49 / 48) if window == "uniform7" else (GAUSS_11, 1.0)
    dtype = fused.dtype
    if window == "gauss11 single":
        kernel, fused, a, b = _gauss_single(), *(_in_single(x) for x in (fused, a, b))
    total = sum_of([_similarity(x, fused, kernel, border, data_range, unbias)[0] for x in (a, b)]).to(dtype)
    return total if reduce == "sum" else total / 2


_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@cached
def _halved(x: Image) -> Image:
    """Halve the size by averaging 2x2 pixels; an odd side is first padded with zeros at both ends."""
    h, w = x.shape[-2:]
    return F.avg_pool2d(x, 2, padding=(h % 2, w % 2))


def _ms_ssim(x: Image, y: Image, kernel: Kernel, data_range: float) -> MetricValue:
    product = x.new_ones(len(x))
    for scale, weight in enumerate(_MS_WEIGHTS):
        whole, part = _similarity(x, y, kernel, "valid", data_range)
        value = whole if scale == len(_MS_WEIGHTS) - 1 else part
        positive = value > 0  # a negative power has no real value; and 0 to the power of a half no finite slope
        product = product * torch.where(positive, value, 1.0) ** weight * positive
        x, y = _halved(x), _halved(y)
    return product


def ms_ssim(
    fused: Image,
    a: Image,
    b: Image,
    *,
    window: Literal["gauss11", "gauss11 single"] = "gauss11",
    data_range: float = 255.0,
    reduce: Literal["sum", "mean"] = "sum",
) -> MetricValue:
    """Multi-scale structural similarity (five scales) to the two sources, summed, 0..2.

    Source: Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar Conference, 2003.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        window: as in `ssim`.
        data_range: as in `ssim`.
        reduce: how to combine the two sources.
    """
    kernel, dtype = GAUSS_11, fused.dtype
    if window == "gauss11 single":
        kernel, fused, a, b = _gauss_single(), *(_in_single(x) for x in (fused, a, b))
    total = sum_of([_ms_ssim(x, fused, kernel, data_range) for x in (a, b)]).to(dtype)
    return total if reduce == "sum" else total / 2


def mef_ms_ssim(fused: Image, a: Image, b: Image) -> MetricValue:
    """Structural similarity for multi-exposure fusion: to the structure that both sources imply together, 0..1.

    Fusion tables computed in MATLAB call it MS_SSIM, which is a different metric.

    Source: K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE Trans. Image
    Processing 24(11), 2015.
    """
    weights = [w / sum(_MS_WEIGHTS[:3]) for w in _MS_WEIGHTS[:3]]
    product = fused.new_ones(len(fused))
    for weight in weights:
        value = pixel_mean(_joint_similarity(fused, a, b))
        positive = value > 0
        product = product * torch.where(positive, value, 1.0) ** weight * positive
        fused, a, b = _shrunk(fused), _shrunk(a), _shrunk(b)
    return product


@cached
def _shrunk(x: Image) -> Image:
    """Halve the size by averaging 2x2 pixels at every second pixel; the last row and column are repeated."""
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    rows = x[..., :-1:2, :] + x[..., 1::2, :]
    return (rows[..., :-1:2] + rows[..., 1::2]) / 4


def _joint_similarity(fused: Image, a: Image, b: Image) -> Image:
    """The similarity of the fused patch around each pixel to the desired patch, which the two source patches imply.

    The desired patch is never built: it is a weighted sum of the two source patches minus their means, so its moments
    follow from theirs.
    """
    eps = torch.finfo(fused.dtype).eps
    uniform = box(11)
    var_a, var_b = (121 * local_covariance(x, x, uniform, "valid").clamp(min=0) for x in (a, b))
    cov = 121 * local_covariance(a, b, uniform, "valid")
    contrast_a, contrast_b = var_a.sqrt() + 0.001, var_b.sqrt() + 0.001
    both = (var_a + var_b + 2 * cov).clamp(min=0).sqrt()
    agreement = (both / (contrast_a + contrast_b - 0.002).clamp(min=eps)).clamp(eps, 1 - eps)
    power = torch.tan(agreement * (math.pi / 2)).clamp(max=10)
    weight_a, weight_b = (contrast_a / 11) ** power + eps, (contrast_b / 11) ** power + eps
    part_a, part_b = weight_a / (weight_a + weight_b) / contrast_a, weight_b / (weight_a + weight_b) / contrast_b
    norm = (part_a**2 * var_a + part_b**2 * var_b + 2 * part_a * part_b * cov).clamp(min=0).sqrt()
    scale = torch.where(norm > 0, torch.maximum(contrast_a, contrast_b) / torch.where(norm > 0, norm, 1.0), 0.0)
    part_a, part_b = part_a * scale, part_b * scale

    def weighted(x: Image, y: Image) -> Tensor:
        return local_covariance(x, y, GAUSS_11, "valid")

    c2 = (0.03 * 255) ** 2
    with_fused = part_a * weighted(a, fused) + part_b * weighted(b, fused)
    of_patch = part_a**2 * weighted(a, a) + part_b**2 * weighted(b, b) + 2 * part_a * part_b * weighted(a, b)
    return (2 * with_fused + c2) / (of_patch + weighted(fused, fused) + c2)
