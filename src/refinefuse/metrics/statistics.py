"""Statistics of the fused image alone, and its pixel-wise distance to the sources.

The first group ignores the sources: noise, contrast stretching and sharpening raise all of these metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import magnitude, root
from refinefuse.metrics.caching import cached

Image: TypeAlias = Float[Tensor, "n 1 h w"]
MetricValue: TypeAlias = Float[Tensor, " n"]


def pixel_mean(x: Float[Tensor, "n c h w"]) -> MetricValue:
    """The mean over all pixels of each image."""
    return x.flatten(1).mean(1)


def pixel_sum(x: Float[Tensor, "n c h w"]) -> MetricValue:
    """The sum over all pixels of each image."""
    return x.flatten(1).sum(1)


def strips(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Iterate over strips of rows of maps (n, c, h, w) of the same size.

    Arithmetic on a strip stays in the CPU cache instead of waiting for memory. Maps that need a gradient, or that are
    on another device, are not cut.
    """
    n, _, h, w = maps[0].shape
    whole = maps[0].device.type != "cpu" or any(x.requires_grad for x in maps)
    yield from zip(*(torch.split(x, h if whole else max(1, 2**15 // (n * w)), -2) for x in maps), strict=True)


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    """The sum of several tensors."""
    return reduce(torch.add, parts)


def quantile(x: Float[Tensor, "n ..."], q: float) -> Float[Tensor, "n ..."]:
    """The q-th quantile (0..1) of each image's values, linearly interpolated, in a shape that broadcasts with `x`.

    Half-precision inputs are interpolated in float32.
    """
    flat = x.flatten(1)
    flat = flat if flat.dtype in _BITS else flat.float()
    rank = q * (flat.shape[1] - 1)
    low = int(rank)
    value = torch.stack([torch.lerp(*_ranked(row, low), rank - low) for row in flat])
    return value.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)


_BITS = {torch.float32: (torch.int32, 17), torch.float64: (torch.int64, 46)}
"""The integer type of the same width, and how many of its bits are dropped to get about 2^15 bins."""


def _ranked(row: Float[Tensor, " p"], rank: int) -> tuple[Tensor, Tensor]:
    """The value at a rank, counted from 0, and the next one; only values with similar leading bits are sorted."""
    integer, dropped = _BITS[row.dtype]
    stored = row.detach().view(integer)
    ordered = torch.where(stored < 0, stored ^ torch.iinfo(integer).max, stored)  # sorts as the values do
    keys = ordered >> dropped
    keys = keys - keys.min()
    upto = torch.bincount(keys).cumsum(0)
    after = min(rank + 1, len(row) - 1)
    first, last = torch.searchsorted(upto, torch.tensor([rank, after], device=row.device), right=True).tolist()
    near = row[(keys >= first) & (keys <= last)].sort().values
    start = int(upto[first - 1]) if first else 0
    return near[rank - start], near[after - start]


@cached
def centered(x: Image) -> Image:
    """Each image minus its own mean."""
    return x - pixel_mean(x)[:, None, None, None]


def sd(
    fused: Image, a: Image, b: Image, *, form: Literal["population", "uint8", "sum01"] = "population"
) -> MetricValue:
    """Standard deviation of the fused image, in levels.

    Source: Y.-J. Rao, "In-fibre Bragg grating sensors", Measurement Science and Technology 8(4), 1997, which the fusion
    literature cites for it.

    Args:
        fused: the fused image, levels 0..255.
        a: not used.
        b: not used.
        form: `uint8` uses saturating 8-bit arithmetic, which only counts pixels brighter than the mean;
            `sum01` is the root of the sum (not the mean) of squares on the range 0..1.
    """
    deviation = centered(fused)
    if form == "uint8":
        bright = torch.floor(deviation + 0.5).clamp(0, 255)
        return root(pixel_mean((bright**2).clamp(max=255)))
    spread = root(pixel_mean(deviation**2))
    return spread if form == "population" else spread * (math.sqrt(fused[0].numel()) / 255)


def var(fused: Image, a: Image, b: Image) -> MetricValue:
    """Variance: the square of SD, in squared levels.

    Source: as SD.
    """
    return pixel_mean(centered(fused) ** 2)


def sf(
    fused: Image, a: Image, b: Image, *, divisor: Literal["differences", "pixels"] = "differences", peak: float = 255.0
) -> MetricValue:
    """Spatial frequency: root of the mean squared horizontal plus vertical differences of neighbors, in levels.

    Source: A. M. Eskicioglu, P. S. Fisher, "Image quality measures and their performance", IEEE Trans. Communications
    43(12), 1995.

    Args:
        fused: the fused image, levels 0..255.
        a: not used.
        b: not used.
        divisor: what each of the two sums is divided by; the paper divides by the number of pixels.
        peak: the highest level on the scale of the result, 255 or 1.
    """
    across = fused[..., 1:] - fused[..., :-1]
    down = fused[..., 1:, :] - fused[..., :-1, :]
    if divisor == "differences":
        energy = pixel_mean(across**2) + pixel_mean(down**2)
    else:
        energy = (pixel_sum(across**2) + pixel_sum(down**2)) / fused[0].numel()
    return root(energy) * (peak / 255)


def central_differences(x: Tensor) -> Tensor:
    """Central differences along the rows; one-sided at both ends."""
    first, last = x[..., 1:2] - x[..., :1], x[..., -1:] - x[..., -2:-1]
    return torch.cat((first, (x[..., 2:] - x[..., :-2]) / 2, last), -1)


def ag(fused: Image, a: Image, b: Image, *, divisor: Literal["pixels", "inner"] = "pixels") -> MetricValue:
    """Average gradient: mean of sqrt((gx^2 + gy^2) / 2) with central differences, in levels per pixel.

    Source: G. Cui, H. Feng, Z. Xu, Q. Li, Y. Chen, "Detail preserved fusion of visible and infrared images using
    regional saliency extraction and multi-scale image decomposition", Optics Communications 341, 2015.

    Args:
        fused: the fused image, levels 0..255.
        a: not used.
        b: not used.
        divisor: `inner` divides the sum over all h w pixels by (h - 1)(w - 1), as most tools do.
    """
    across, down = central_differences(fused), central_differences(fused.transpose(-1, -2)).transpose(-1, -2)
    mean = pixel_mean(magnitude(across, down)) / 2**0.5
    h, w = fused.shape[-2:]
    return mean if divisor == "pixels" else mean * (h * w / ((h - 1) * (w - 1)))


@cached
def correlation(x: Image, y: Image) -> MetricValue:
    """Pearson's correlation of two images; 0 where one of them is constant."""
    energy_x, energy_y = pixel_mean(centered(x) ** 2), pixel_mean(centered(y) ** 2)
    # A constant image leaves the rounding of its mean, which must not be divided by itself.
    rounding = (8 * torch.finfo(x.dtype).eps) ** 2
    constant = (energy_x <= rounding * pixel_mean(x**2)) | (energy_y <= rounding * pixel_mean(y**2))
    return pixel_mean(centered(x) * centered(y)) / torch.where(constant, 1.0, energy_x * energy_y).sqrt() * ~constant


def cc(fused: Image, a: Image, b: Image) -> MetricValue:
    """Correlation coefficient: Pearson's correlation with each source, averaged, -1..1.

    The correlation with a constant image is 0.

    Source: M. Deshmukh, U. Bhosale, "Image fusion and image quality assessment of fused images", International Journal
    of Image Processing 4(5), 2010, which the fusion literature cites for it.
    """
    return (correlation(a, fused) + correlation(b, fused)) / 2


@cached
def _difference(x: Image, y: Image) -> Image:
    return x - y


def scd(fused: Image, a: Image, b: Image) -> MetricValue:
    """Sum of the correlations of differences, rho(fused - b, a) + rho(fused - a, b), -2..2.

    For a plain copy of one source, one of the differences is zero, and its correlation counts as 0.

    Source: V. Aslantas, E. Bendes, "A new image quality metric for image fusion: the sum of the correlations of
    differences", AEU International Journal of Electronics and Communications 69(12), 2015.
    """
    return correlation(_difference(fused, b), a) + correlation(_difference(fused, a), b)


def mse(fused: Image, a: Image, b: Image, *, peak: float = 255.0) -> MetricValue:
    """Mean squared error to each source, averaged, in squared levels.

    Source: P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image", Aquatic Procedia 4, 2015.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: the highest level on the scale of the result, 255 or 1.
    """
    error = pixel_mean(_difference(fused, a) ** 2) + pixel_mean(_difference(fused, b) ** 2)
    return error / 2 * (peak / 255) ** 2


def rmse(fused: Image, a: Image, b: Image) -> MetricValue:
    """Root of the mean squared error to both sources, in levels.

    Source: as MSE.
    """
    return root(mse(fused, a, b))


def rmse_vifb(fused: Image, a: Image, b: Image) -> MetricValue:
    """VIFB's RMSE: the root of the sum (not the mean) of squares, divided by the number of pixels; mean over sources.

    Source: X. Zhang, P. Ye, G. Xiao, "VIFB: a visible and infrared image fusion benchmark", CVPR Workshops, 2020.
    """
    error = root(pixel_mean(_difference(fused, a) ** 2)) + root(pixel_mean(_difference(fused, b) ** 2))
    return error / 2 / math.sqrt(fused[0].numel())


def psnr(
    fused: Image, a: Image, b: Image, *, peak: Literal["scale", "fused"] = "scale", gain: float = 0.0
) -> MetricValue:
    """Peak signal-to-noise ratio of the error to both sources, in dB; infinite if all three images are equal.

    Source: as MSE.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: the peak is 255, or the highest level of the fused image.
        gain: dB to add: 48.13 = 20 log10(255) if the error was measured on 0..1 but the peak was 255.
    """
    top = fused.flatten(1).amax(1) if peak == "fused" else fused.new_tensor(255.0)
    return _decibel(top**2, mse(fused, a, b)) + gain


def psnr_vifb(fused: Image, a: Image, b: Image) -> MetricValue:
    """VIFB's PSNR: 20 log10(255 / sqrt(RMSE)) with VIFB's own RMSE, in dB.

    Source: X. Zhang, P. Ye, G. Xiao, "VIFB: a visible and infrared image fusion benchmark", CVPR Workshops, 2020.
    """
    return _decibel(fused.new_tensor(255.0**2), rmse_vifb(fused, a, b))


def _decibel(signal: Tensor, error: Tensor) -> Tensor:
    exact = error <= 0
    ratio = signal / torch.where(exact, 1.0, error)
    return torch.where(exact, math.inf, 10 * torch.log10(ratio.clamp(min=torch.finfo(error.dtype).tiny)))
