"""Feature mutual information: what the small neighbourhoods of the pictures say about each other.

In each 3x3 window the nine feature values, rescaled to sum 1, are taken for a distribution over the nine places. The
joint distribution of two windows is the mixture of independence and of the strongest possible dependence that has their
correlation. That dependence is a staircase of 17 cells, so the entropy is that of independence, corrected in 17 cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import Kernel, blur, sobel
from refinefuse.metrics.gradient import safe_quotient
from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score, central_differences

_LEAST = 1e-300  # keeps the logarithm of 0 finite; times 0 it is 0
_AT_ONCE = 2**13  # windows: the tables of a block of them stay in the processor's cache

# Half of the 61 weights of the discrete Meyer wavelet's scaling filter, the middle one last; it is symmetric.
# Source: filter `dmey` of the Wavelet Toolbox (MATLAB) and of PyWavelets.
_MEYER = (
    -1.009999956941423e-12, 8.519459636796214e-09, -1.111944952595278e-08, -1.0798819539621958e-08,
    6.066975741351135e-08, -1.0866516536735883e-07, 8.200680650386481e-08, 1.1783004497663934e-07,
    -5.506340565252278e-07, 1.1307947017916706e-06, -1.489549216497156e-06, 7.367572885903746e-07,
    3.20544191334478e-06, -1.6312699734552807e-05, 6.554305930575149e-05, -0.0006011502343516092,
    -0.002704672124643725, 0.002202534100911002, 0.006045814097323304, -0.006387718318497156,
    -0.011061496392513451, 0.015270015130934803, 0.017423434103729693, -0.03213079399021176,
    -0.024348745906078023, 0.0637390243228016, 0.030655091960824263, -0.13284520043622938,
    -0.035087555656258346, 0.44459300275757724, 0.7445855923188063,
)  # fmt: skip
_LOW: Kernel = (*_MEYER, *_MEYER[-2::-1], 0.0)
_HIGH: Kernel = tuple(w if i % 2 else -w for i, w in enumerate(_LOW))[::-1]


@shared
def _gradient(x: Image) -> Image:
    return central_differences(x)


@shared
def _edges(x: Image) -> Image:
    """The edges of a thinned Sobel detector as MATLAB's `edge` has it: 1 on an edge, else 0."""
    across, down = (d / 8 for d in sobel(x, "replicate"))
    strength = across**2 + down**2
    cut = 4 * strength.mean((1, 2, 3), keepdim=True)
    around = torch.nn.functional.pad(strength, (1, 1, 1, 1), value=-math.inf)
    left, right = around[..., 1:-1, :-2], around[..., 1:-1, 2:]
    up, below = around[..., :-2, 1:-1], around[..., 2:, 1:-1]
    slack = 100 * torch.finfo(x.dtype).eps
    upright = (across.abs() >= down.abs() - slack) & (left <= strength) & (strength > right)
    lying = (down.abs() >= across.abs() - slack) & (up <= strength) & (strength > below)
    return ((strength > cut) & (upright | lying)).to(x.dtype)


@shared
def _cosines(x: Image) -> Image:
    """The orthonormal discrete cosine transform (type II) of the whole picture."""
    for axis in (-1, -2):
        n = x.shape[axis]
        spectrum = torch.fft.rfft(torch.cat((x, x.flip(axis)), axis), dim=axis).narrow(axis, 0, n)
        turn = torch.arange(n, dtype=x.dtype, device=x.device) * (math.pi / (2 * n))
        scale = torch.full_like(turn, math.sqrt(1 / (2 * n)))
        scale[0] = math.sqrt(1 / n) / 2
        shape = (-1, 1) if axis == -2 else (-1,)
        x = spectrum.real * (turn.cos() * scale).reshape(shape) + spectrum.imag * (turn.sin() * scale).reshape(shape)
    return x


def _symmetric(n: int, margin: int, device: torch.device) -> Tensor:
    """Indices of a line of n values with a margin that mirrors it again and again, the ends repeated."""
    index = torch.arange(-margin, n + margin, device=device) % (2 * n)
    return torch.minimum(index, 2 * n - 1 - index)


@shared
def _wavelets(x: Image) -> Image:
    """One level of the discrete Meyer wavelet transform, its four bands in one picture, rescaled to 0..1."""
    margin = len(_LOW) - 1
    x = x[..., _symmetric(x.shape[-2], margin, x.device), :][..., _symmetric(x.shape[-1], margin, x.device)]
    coarse, horizontal, vertical, diagonal = (
        blur(x, down, across=across)[..., 1::2, 1::2] for across in (_LOW, _HIGH) for down in (_LOW, _HIGH)
    )
    bands = torch.cat((torch.cat((coarse, horizontal), -1), torch.cat((vertical, diagonal), -1)), -2)
    low, high = bands.amin((1, 2, 3), keepdim=True), bands.amax((1, 2, 3), keepdim=True)
    return safe_quotient(bands - low, high - low)


def _windows(x: Float[Tensor, "h w"]) -> Iterator[Float[Tensor, "9 m"]]:
    """All 3x3 windows, some rows of them at a time, each as nine values column by column."""
    h, w = x.shape[0] - 2, x.shape[1] - 2
    step = max(1, _AT_ONCE // w)
    for top in range(0, h, step):
        rows = min(step, h - top)
        yield torch.stack([x[top + i : top + i + rows, j : j + w] for j in range(3) for i in range(3)]).flatten(1)


def _log_sum(x: Tensor) -> Tensor:
    """The sum of x log |x| over the first axis, 0 log 0 = 0."""
    return x.abs().add_(_LEAST).log_().mul_(x).sum(0)


def _staircase(p: Float[Tensor, "9 m"], q: Float[Tensor, "9 m"]) -> tuple[Tensor, Tensor, Tensor]:
    """The cells of the joint distribution in which p and q rise together: its mass and that of independence, (17, m).

    The third value is the sum over all i, j of the smaller of the running sums P_i and Q_j. Choices are made by `lerp`
    with weights of exactly 0 or 1, which is several times faster than `where`.
    """
    m = p.shape[1]
    table, running = torch.cat((p, q)), torch.cat((p.cumsum(0), q.cumsum(0)))
    running[[8, 17]] = 2.0  # above every other running sum, so that the last value is never passed
    width_p, width_q, upto_p, upto_q = p[0], q[0], running[0], running[9]
    next_p = torch.arange(m, 2 * m, dtype=p.dtype, device=p.device)  # places in the tables, exact as numbers
    next_q = next_p + 9 * m
    left_p = torch.full_like(p[0], 9.0)
    masses, products, smaller = p.new_empty(17, m), p.new_empty(17, m), torch.zeros_like(p[0])
    reached = torch.zeros_like(p[0])
    for step in range(17):
        upto = torch.minimum(upto_p, upto_q).clamp_(max=1)
        torch.sub(upto, reached, out=masses[step])
        torch.mul(width_p, width_q, out=products[step])
        smaller.addcmul_(masses[step], left_p * (18 - step - left_p))
        reached = upto
        if step == 16:
            break
        moved = (upto_p <= upto_q).to(p.dtype)  # p moves on to its next value, else q
        place = torch.lerp(next_q, next_p, moved).long()
        width, end = table.take(place), running.take(place)
        width_p, width_q = torch.lerp(width_p, width, moved), torch.lerp(width, width_q, moved)
        upto_p, upto_q = torch.lerp(upto_p, end, moved), torch.lerp(end, upto_q, moved)
        next_p.add_(moved, alpha=m)
        next_q.add_(moved, alpha=-m).add_(m)
        left_p -= moved
    return masses, products, smaller


class _Windows(NamedTuple):
    """What is to know of each window by itself."""

    values: Float[Tensor, "9 m"]
    share: Float[Tensor, "9 m"]  # rescaled to 0..1 and then to sum 1; uniform if it is constant
    varied: Float[Tensor, " m"]  # 0 if it is constant, else 1
    from_mean: Float[Tensor, "9 m"]
    spread: Float[Tensor, " m"]
    deviation: Float[Tensor, " m"]  # of the place, 1..9
    running_sum: Float[Tensor, " m"]  # the sum of the nine running sums
    entropy: Float[Tensor, " m"]


def _described(x: Float[Tensor, "9 m"]) -> _Windows:
    low, high = x.aminmax(dim=0)
    constant = (high == low).to(x.dtype)
    share = (x - low) / (high - low + constant) + constant
    share = share / share.sum(0)
    from_mean = share - share.mean(0)
    place = torch.arange(1, 10, dtype=x.dtype, device=x.device)
    deviation = ((place**2 @ share) - (place @ share) ** 2).clamp(min=0).sqrt()
    spread = (from_mean**2).sum(0)
    return _Windows(x, share, 1 - constant, from_mean, spread, deviation, (10 - place) @ share, -_log_sum(share))


def _information(x: _Windows, f: _Windows) -> Float[Tensor, " m"]:
    """The normalised mutual information of each pair of windows."""
    covariance = (x.from_mean * f.from_mean).sum(0) * (x.varied * f.varied)
    correlation = safe_quotient(covariance, (x.spread * f.spread).sqrt())
    reached = correlation * x.deviation * f.deviation
    against = correlation < 0
    p = torch.lerp(x.share, x.share.flip(0), against.to(correlation.dtype))
    masses, products, smaller = _staircase(p, f.share)
    limit = torch.where(against, 10 * f.running_sum - smaller, smaller) - x.running_sum * f.running_sum
    dependence = safe_quotient(reached, limit)
    rest = 1 - dependence
    independent = rest * products
    total = x.entropy + f.entropy
    everywhere = rest * ((rest.abs() + _LEAST).log() - total)
    joint = _log_sum(independent) - _log_sum(independent.addcmul(masses, dependence)) - everywhere
    value = 2 * safe_quotient(total - joint, total)
    return torch.where((x.values - f.values).abs().amax(0) == 0, 1.0, value)


def _mean_information(fused: Float[Tensor, "h w"], *sources: Float[Tensor, "h w"]) -> Tensor:
    total, count = fused.new_zeros(()), 0
    for f, *windows in zip(*(_windows(x) for x in (fused, *sources)), strict=True):
        of_fused = _described(f)
        for x in windows:
            values = _information(_described(x), of_fused)
            total, count = total + values.sum(), count + len(values)
    return total / count


def _mean_binary(fused: Float[Tensor, "h w"], *sources: Float[Tensor, "h w"]) -> Tensor:
    """The same for features of 0 and 1: each of the pairs of windows that occur is computed once."""
    weights = 2 ** torch.arange(9, dtype=fused.dtype, device=fused.device)
    pairs = (pair for x in sources for pair in zip(_windows(x), _windows(fused), strict=True))
    codes = torch.cat([((weights @ x) * 512 + weights @ f).long() for x, f in pairs])
    kinds, counts = torch.unique(codes, return_counts=True)
    bit = torch.arange(9, device=fused.device)[:, None]
    values = _information(*(_described((side >> bit & 1).to(fused.dtype)) for side in (kinds // 512, kinds % 512)))
    mean: Tensor = (values * counts).sum() / counts.sum()
    return mean


def _fmi(feature: Callable[[Image], Image], fused: Image, a: Image, b: Image) -> Score:
    mean = _mean_binary if feature is _edges else _mean_information
    features = [feature(x.detach())[:, 0] for x in (fused, a, b)]
    return torch.stack([mean(*pictures) for pictures in zip(*features, strict=True)])


def fmi_pixel(fused: Image, a: Image, b: Image) -> Score:
    """Feature mutual information of the levels themselves, in 3x3 windows, 0..1.

    Source: M. Haghighat, M. A. Razian, "Fast-FMI: non-reference image fusion metric", AICT 2014; M. Haghighat,
    A. Aghagolzadeh, H. Seyedarabi, "A non-reference image fusion metric based on mutual information of image features",
    Computers and Electrical Engineering 37(5), 2011.
    Differs from what papers call FMI_pixel, which is FMI_edge: the default of the authors' program.
    """
    return _fmi(lambda x: x, fused, a, b)


def fmi_gradient(fused: Image, a: Image, b: Image) -> Score:
    """Feature mutual information of the horizontal gradient, 0..1.

    Source: as FMI_pixel.
    """
    return _fmi(_gradient, fused, a, b)


def fmi_edge(fused: Image, a: Image, b: Image) -> Score:
    """Feature mutual information of the edges that a Sobel detector finds, 0..1; tables call it FMI_pixel.

    Source: as FMI_pixel.
    """
    return _fmi(_edges, fused, a, b)


def fmi_dct(fused: Image, a: Image, b: Image) -> Score:
    """Feature mutual information of the cosine transform of the whole picture, 0..1.

    Source: as FMI_pixel.
    """
    return _fmi(_cosines, fused, a, b)


def fmi_wavelet(fused: Image, a: Image, b: Image) -> Score:
    """Feature mutual information of one level of the discrete Meyer wavelet transform, 0..1.

    Source: as FMI_pixel.
    """
    return _fmi(_wavelets, fused, a, b)
