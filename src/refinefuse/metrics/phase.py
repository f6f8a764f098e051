"""Phase congruency, and Zhao's metric, which compares it between the images.

Phase congruency marks features (edges, lines, corners) where the Fourier components of all scales are in phase,
whatever their contrast; its two moments distinguish edges from corners.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import blur
from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue, pixel_sum, quantile, strips
from refinefuse.metrics.structure import GAUSS_11, local_mean, local_product

_SCALES, _ORIENTATIONS, _SHORTEST, _FACTOR = 4, 6, 3.0, 2.1
_BANDWIDTH, _SPREAD = 0.55, math.pi / _ORIENTATIONS / 1.2
_NOISE, _CUTOFF, _GAIN, _EPS = 2.0, 0.5, 10.0, 1e-4
_TINY = 1e-300


class _Features(NamedTuple):
    """Phase congruency and its larger and smaller moment."""

    congruency: Tensor
    edges: Tensor
    corners: Tensor


def _axis(n: int) -> Tensor:
    """Frequencies from -1/2 on, by Kovesi's rule for odd lengths, zero first."""
    middle = n // 2
    steps = torch.arange(n, dtype=torch.float64) - middle
    return (steps / (n if n % 2 == 0 else n - 1)).roll(-middle)


class _Filters(NamedTuple):
    """Filters over the spectrum: one per scale, one window per orientation, and the energies of their products."""

    radial: Float[Tensor, "s h w 2"]  # twice, for the real and the imaginary part
    angular: Float[Tensor, "o h w"]
    peak_energy: Float[Tensor, " o"]
    noise_energy: Float[Tensor, " o"]


@lru_cache(maxsize=2)
def _filters(h: int, w: int, device: torch.device) -> _Filters:
    rows, columns = _axis(h)[:, None], _axis(w)[None, :]
    radius = torch.hypot(rows, columns)
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1
    wavelengths = [_SHORTEST * _FACTOR**s for s in range(_SCALES)]
    radial = torch.stack(
        [low_pass * torch.exp(-(((radius * x).log() / math.log(_BANDWIDTH)) ** 2) / 2) for x in wavelengths]
    )
    radial[:, 0, 0] = 0
    theta = torch.atan2(-rows, columns.expand(h, w))
    angles = [theta - o * math.pi / _ORIENTATIONS for o in range(_ORIENTATIONS)]
    window = torch.stack([torch.exp(-(torch.atan2(x.sin(), x.cos()) ** 2) / (2 * _SPREAD**2)) for x in angles])
    # Noise is real: of each filter's kernel only the real part counts, whose spectrum is the filter's even part.
    even = (window + window.flip(1, 2).roll((1, 1), (1, 2))) / 2
    peak_energy, noise_energy = ((radial[0] * window) ** 2).sum((1, 2)), ((radial.sum(0) * even) ** 2).sum((1, 2))
    radial = radial[..., None].repeat(1, 1, 1, 2)
    return _Filters._make(x.to(device) for x in (radial, window, peak_energy, noise_energy))


def _noise_threshold(power: Image, filters: _Filters, orientation: int) -> Float[Tensor, "n 1 1 1"]:
    """The energy expected from noise alone in one orientation, estimated from the power at the finest scale."""
    tau = quantile(power, 0.5) / math.log(2) / filters.peak_energy[orientation] * filters.noise_energy[orientation]
    tau = tau.sqrt()
    return (tau * math.sqrt(math.pi / 2) + _NOISE * tau * math.sqrt(2 - math.pi / 2)) / 1.7


def _in_step(real: Tensor, imaginary: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted energy of the filter responses (s, n, 1, h, w) that are in phase, and the sum of all amplitudes."""
    amplitudes = (real * real).addcmul_(imaginary, imaginary).sqrt_()
    amplitude, largest = amplitudes.sum(0), amplitudes.amax(0)
    real_sum, imaginary_sum = real.sum(0), imaginary.sum(0)
    out_of_step = (imaginary * real_sum).addcmul_(real, imaginary_sum, value=-1).abs_().sum(0)
    square = (real_sum * real_sum).addcmul_(imaginary_sum, imaginary_sum)
    energy = (square - out_of_step).div_(square.sqrt_().add_(_EPS)).sub_(threshold).clamp_(min=0)
    width = amplitude / largest.add_(_EPS)
    return energy.mul_(width.mul_(_GAIN / _SCALES).sub_(_GAIN * _CUTOFF).sigmoid_()), amplitude


@cached
def _features(x: Image) -> _Features:
    h, w = x.shape[-2:]
    filters = _filters(h, w, x.device)
    spectrum = torch.fft.fft2(x.double())
    energy, amplitude, xx, yy, xy = torch.zeros(5, *x.shape, dtype=torch.float64, device=x.device)
    rows = max(1, 2**14 // (len(x) * w))  # so that a strip of all waves stays in the processor's cache
    for o in range(_ORIENTATIONS):
        filtered = torch.view_as_real(spectrum * filters.angular[o])
        waves = [torch.fft.ifft2(torch.view_as_complex(filtered * radial)) for radial in filters.radial]
        threshold = _noise_threshold(waves[0].real ** 2 + waves[0].imag ** 2, filters, o)
        cos, sin = math.cos(o * math.pi / _ORIENTATIONS), math.sin(o * math.pi / _ORIENTATIONS)
        for top in range(0, h, rows):
            strip = (..., slice(top, top + rows), slice(None))
            real, imaginary = (torch.stack([part(wave[strip]) for wave in waves]) for part in (torch.real, torch.imag))
            in_step, height = _in_step(real, imaginary, threshold)
            energy[strip] += in_step
            amplitude[strip] += height
            power = in_step.div_(height.clamp_(min=_TINY)).square_()
            xx[strip].add_(power, alpha=cos**2 / (_ORIENTATIONS / 2))
            yy[strip].add_(power, alpha=sin**2 / (_ORIENTATIONS / 2))
            xy[strip].add_(power, alpha=cos * sin / _ORIENTATIONS)
    spread = torch.hypot(xy, xx - yy) + _EPS
    return _Features(energy / (amplitude + _EPS), (xx + yy + spread) / 2, (xx + yy - spread) / 2)


def _agreement(x: Image, fused: Image) -> Image:
    """The local correlation of two feature maps."""
    maps = [blur(z, GAUSS_11, "zero") for z in (x, x * x, x * fused)]
    whole = torch.empty_like(x)
    mean_f, square_f = local_mean(fused, GAUSS_11, "zero"), local_product(fused, fused, GAUSS_11, "zero")
    for part, mean, square, product, mean_y, square_y in strips(whole, *maps, mean_f, square_f):
        variance = torch.addcmul(square, mean, mean, value=-1)
        variance_y = torch.addcmul(square_y, mean_y, mean_y, value=-1)
        covariance = torch.addcmul(product, mean, mean_y, value=-1)
        torch.div(covariance.add_(1e-4), variance.mul_(variance_y).abs_().sqrt_().add_(1e-4), out=part)
    return whole


def qp(fused: Image, a: Image, b: Image) -> MetricValue:
    """Zhao's phase congruency metric: local correlation of the phase features with those of the sources, 0..1.

    Computed in float64, without a gradient. Images without features score 0.

    Source: J. Zhao, R. Laganiere, Z. Liu, "Performance assessment of combinative pixel-level image fusion based on an
    absolute feature measurement", International Journal of Innovative Computing, Information and Control 3(6A), 2007;
    phase congruency from P. Kovesi, "Image features from phase congruency", Videre 1(3), 1999.
    """
    of_f, of_a, of_b = _features(fused.detach()), _features(a.detach()), _features(b.detach())
    first = of_a.congruency > of_b.congruency
    stronger = torch.where(first, of_a.congruency, of_b.congruency)
    masks = [(x > 0.1).double() for x in (of_a.congruency, of_b.congruency, stronger)]
    count = pixel_sum(masks[2])
    product = torch.ones_like(count)
    for of_fused, x, y in zip(of_f, of_a, of_b, strict=True):
        maps = (x, y, torch.where(first, x, y))
        parts = [_agreement(z * mask, of_fused).mul_(mask) for z, mask in zip(maps, masks, strict=True)]
        best = torch.maximum(torch.maximum(parts[0], parts[1]), parts[2])
        product = product * pixel_sum(best) / count.clamp(min=1)
    return product.to(fused.dtype)
