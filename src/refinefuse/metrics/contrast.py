"""Metrics that filter the images with a contrast sensitivity function: Chen-Varshney and Chen-Blum.

Both first stretch each image to 0..255, as the programs of Liu et al. and VIFB do.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import blur
from refinefuse.metrics.caching import cached
from refinefuse.metrics.gradient import edge_strength, safe_quotient
from refinefuse.metrics.information import stretched
from refinefuse.metrics.statistics import Image, MetricValue, pixel_mean, pixel_sum


def _frequency(like: Image, divisor: float) -> Float[Tensor, "h half"]:
    """Radial frequency h/divisor u, w/divisor v with u, v in [-1, 1), in the layout of a real Fourier transform."""
    h, w = like.shape[-2:]
    options = {"dtype": like.dtype, "device": like.device}
    rows = torch.fft.fftfreq(h, **options) * (2 * h / divisor)
    columns = torch.fft.rfftfreq(w, **options) * (2 * w / divisor)
    return torch.hypot(rows[:, None], columns)


def _filtered(x: Image, response: Float[Tensor, "h half"]) -> Image:
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * response, s=x.shape[-2:])
    return filtered


def _blocks(x: Image) -> Image:
    """The sum over each 16x16 block; the last blocks are padded with zeros."""
    h, w = x.shape[-2:]
    return F.avg_pool2d(F.pad(x, (0, -w % 16, 0, -h % 16)), 16) * 256


def qcv(fused: Image, a: Image, b: Image) -> MetricValue:
    """Chen-Varshney metric: visible difference to the sources in 16x16 blocks, weighted by their edge strength.

    Lower is better. Two sources without any edge score 0.

    Source: H. Chen, P. K. Varshney, "A human perception inspired quality metric for image fusion based on regional
    information", Information Fusion 8(2), 2007.
    """
    fused, a, b = stretched(fused), stretched(a), stretched(b)
    r = 0.144 * _frequency(fused, 8)
    response = 2.6 * (0.0192 + r) * torch.exp(-(r**1.1))
    weighted, total = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for x in (a, b):
        salience = _blocks(edge_strength(x, "zero") ** 5)
        difference = _blocks(_filtered(x - fused, response) ** 2) / 256
        weighted, total = weighted + pixel_sum(salience * difference), total + pixel_sum(salience)
    return safe_quotient(weighted, total)


def _gauss_cut(sigma: float) -> tuple[float, ...]:
    """One row of a 31x31 Gaussian; the weights are not normalized and sum to slightly less than 1."""
    return tuple(math.exp(-(i**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) for i in range(-15, 16))


@cached
def _visible_contrast(x: Image) -> Image:
    """Perceived contrast: the masked local contrast of the image after the contrast sensitivity filter."""
    x = stretched(x)
    r = _frequency(x, 30)
    seen = _filtered(x, torch.exp(-((r / 15.3870) ** 2)) - 0.7622 * torch.exp(-((r / 1.3456) ** 2)))
    around = blur(seen, _gauss_cut(4), "zero")
    contrast = (blur(seen, _gauss_cut(2), "zero") / torch.where(around == 0, 1.0, around) - 1).abs()
    contrast = torch.where(around == 0, 0.0, contrast)
    return contrast**3 / (contrast**2 + 1e-4)


def qcb(fused: Image, a: Image, b: Image) -> MetricValue:
    """Chen-Blum metric: how well the perceived contrast of the sources is preserved, weighted by that contrast, 0..1.

    On a black background it divides one rounding error by another, so its third digit is arbitrary on medical images.

    Source: Y. Chen, R. S. Blum, "A new automated quality assessment algorithm for image fusion", Image and Vision
    Computing 27(10), 2009.
    """
    of_f, of_a, of_b = _visible_contrast(fused), _visible_contrast(a), _visible_contrast(b)
    energy = of_a**2 + of_b**2
    fraction = torch.where(energy > 0, of_a**2 / torch.where(energy > 0, energy, 1.0), 0.5)
    quality = [safe_quotient(torch.minimum(x, of_f), torch.maximum(x, of_f)) for x in (of_a, of_b)]
    return pixel_mean(fraction * quality[0] + (1 - fraction) * quality[1])
