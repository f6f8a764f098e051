"""Feature mutual information: the mutual information of small neighborhoods of the images.

In each 3x3 window, the nine feature values, rescaled to sum to 1, are treated as a distribution over the nine
positions. The joint distribution of two windows is the mixture of independence and the strongest possible dependence
that has their correlation. That dependence is a staircase of 17 cells, so the entropy is that of independence,
corrected in 17 cells. The corners of the staircase are the running sums of both windows, in sorted order. A merging
network of eight minima and maxima sorts them; the last bit of each number, which is not needed, marks which of the two
windows it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from refinefuse.filters import Kernel, sobel
from refinefuse.metrics.caching import cached
from refinefuse.metrics.gradient import safe_quotient
from refinefuse.metrics.statistics import Image, MetricValue, central_differences, sum_of

_LEAST = 1e-150  # instead of a fraction of 0: its logarithm is finite, and so is that of its square
_WEAKEST = 1e-12  # a dependence that can be no stronger is none
_AT_ONCE = 2**13  # windows: the tables of a block of them stay in the processor's cache
_ABREAST = 128  # columns of a transform that are computed together, for the same reason

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


@cached
def _gradient(x: Image) -> Image:
    return central_differences(x)


@cached
def _edges(x: Image) -> Image:
    """The thinned edges of a Sobel detector, as in MATLAB's `edge`: 1 on an edge, else 0."""
    across, down = (d / 8 for d in sobel(x, "replicate"))
    strength = across**2 + down**2
    cut = 4 * strength.mean((1, 2, 3), keepdim=True)
    around = torch.nn.functional.pad(strength, (1, 1, 1, 1), value=-math.inf)
    left, right = around[..., 1:-1, :-2], around[..., 1:-1, 2:]
    up, below = around[..., :-2, 1:-1], around[..., 2:, 1:-1]
    slack = 100 * torch.finfo(x.dtype).eps
    display_orientation = (across.abs() >= down.abs() - slack) & (left <= strength) & (strength > right)
    lying = (down.abs() >= across.abs() - slack) & (up <= strength) & (strength > below)
    return ((strength > cut) & (display_orientation | lying)).to(x.dtype)


@cached
def _cosines(x: Image) -> Image:
    """The orthonormal discrete cosine transform (type II) of the whole image."""
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
    """Indices of a line of n values with a margin of repeated reflections, including the end values."""
    index = torch.arange(-margin, n + margin, device=device) % (2 * n)
    return torch.minimum(index, 2 * n - 1 - index)


def _halved(x: Tensor, kernel: Kernel) -> Tensor:
    """Every second row after correlation along the columns, with rows and columns swapped.

    Computed term by term, starting with the last: in flat regions the result depends on rounding, and a matrix product
    rounds differently on each machine.
    """
    x = x[..., _symmetric(x.shape[-2], len(kernel) - 1, x.device)[1:], :]
    positions = (x.shape[-2] - len(kernel)) // 2 + 1
    done = []
    for part in torch.split(x, _ABREAST, -1):
        even, odd = part[..., ::2, :].contiguous(), part[..., 1::2, :].contiguous()
        total, term = torch.zeros_like(even[..., :positions, :]), torch.empty_like(even[..., :positions, :])
        for i in reversed(range(len(kernel))):
            torch.mul((odd if i % 2 else even)[..., i // 2 : i // 2 + positions, :], kernel[i], out=term)
            total += term
        done.append(total.mT)
    return torch.cat(done, -2)


@cached
def _wavelets(x: Image) -> Image:
    """One level of the discrete Meyer wavelet transform, its four bands in one image, rescaled to 0..1."""
    halves = [_halved(x, kernel) for kernel in (_LOW, _HIGH)]
    bands = torch.cat([torch.cat([_halved(half, kernel) for half in halves], -1) for kernel in (_LOW, _HIGH)], -2)
    low, high = bands.amin((1, 2, 3), keepdim=True), bands.amax((1, 2, 3), keepdim=True)
    return safe_quotient(bands - low, high - low)


def _least(x: Float[Tensor, "h w"]) -> Float[Tensor, " m"]:
    """The minimum of each 3x3 window."""
    rows = torch.minimum(torch.minimum(x[:-2], x[1:-1]), x[2:])
    return torch.minimum(torch.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]).flatten()


class _Tables(NamedTuple):
    """Matrices that sum the nine fractions or the sixteen corners of a staircase."""

    sums: Float[Tensor, "11 9"]  # running sums but the last; mean squared and mean position; distances of the sums
    falling: Float[Tensor, "8 9"]  # the running sums, the last first
    steps: Float[Tensor, "18 16"]  # differences of neighbors, but for the 1 at the end; distances of all from all
    before: Float[Tensor, "17 16"]  # how many are passed at each cell


@lru_cache
def _tables(device: torch.device) -> _Tables:
    position, corner, cell = (torch.arange(1.0, n + 1, dtype=torch.float64) for n in (9, 16, 17))
    running = (position <= position[:8, None]).double()
    sums = torch.cat((running, torch.stack((position**2, position, (2 * position[:8] - 9) @ running))))
    steps = (cell[:, None] == corner).double() - (cell[:, None] == corner + 1).double()
    before = (corner < cell[:, None]).double()
    tables = sums, running.flip(0), torch.cat((steps, 17 - 2 * corner[None])), before
    return _Tables._make(x.to(device) for x in tables)


@lru_cache(maxsize=4)
def _columns(m: int, device: torch.device) -> tuple[Float[Tensor, " m"], Int[Tensor, " 17*m"]]:
    """The index of each column in a table of m columns, and the sum of the indices of each cell in two of them."""
    column = torch.arange(m, device=device)
    return column.double(), (torch.arange(17, device=device)[:, None] * m + 2 * column).flatten().int()


class _Windows(NamedTuple):
    """The precomputed properties of each window."""

    fraction: Float[Tensor, "9 m"]  # rescaled to 0..1 and then to sum 1; uniform if it is constant
    upto: Float[Tensor, "8 m"]  # its running sums, but for the last, which is 1
    reach: Float[Tensor, " m"]  # their sum
    apart: Float[Tensor, " m"]  # the sum of their distances
    scale: Float[Tensor, " m"]  # deviation of the position, 1..9, over that of the fraction; 0 if it is constant
    negentropy: Float[Tensor, " m"]


def _described(values: Float[Tensor, "9 m"], low: Float[Tensor, " m"], high: Float[Tensor, " m"]) -> _Windows:
    constant = (high == low).double()
    fraction = values - (low - constant)  # a constant window becomes all ones
    fraction = fraction.div_(fraction.sum(0)).clamp_(min=_LEAST)
    sums = _tables(values.device).sums @ fraction
    deviation = torch.addcmul(sums[8], sums[9], sums[9], value=-1).clamp_(min=0)
    spread = (fraction * fraction).sum(0).sub_(1 / 9).clamp_(min=_LEAST)
    scale = (deviation / spread).sqrt_().mul_(1 - constant)
    return _Windows(fraction, sums[:8], 9 - sums[9], sums[10], scale, fraction.log().mul_(fraction).sum(0))


def _windows(x: Float[Tensor, "h w"]) -> _Windows:
    """All 3x3 windows of an image, each as nine values column by column."""
    h, w = x.shape[0] - 2, x.shape[1] - 2
    values = torch.stack([x[i : i + h, j : j + w] for j in range(3) for i in range(3)]).flatten(1)
    return _described(values, _least(x), -_least(-x))


def _in_order(falling: Float[Tensor, "8 m"], rising: Float[Tensor, "8 m"]) -> Float[Tensor, "16 m"]:
    """Both merged in ascending order, by Batcher's bitonic merge."""
    m = falling.shape[1]
    done, free = falling.new_empty(16, m), falling.new_empty(16, m)
    torch.minimum(falling, rising, out=done[:8])
    torch.maximum(falling, rising, out=done[8:])
    for distance in (4, 2, 1):
        left, right = done.view(-1, 2, distance, m).unbind(1)
        least, most = free.view(-1, 2, distance, m).unbind(1)
        torch.minimum(left, right, out=least)
        torch.maximum(left, right, out=most)
        done, free = free, done
    return done


def _information(x: _Windows, f: _Windows) -> Float[Tensor, " m"]:
    """The normalized mutual information of each pair of windows."""
    tables, (column, cell) = _tables(x.fraction.device), _columns(*x.fraction.shape[1:], x.fraction.device)
    covariance = (x.fraction * f.fraction).sum(0).sub_(1 / 9)
    against = (covariance < 0).double()  # then one window is read backwards
    fraction, reach = torch.lerp(x.fraction, x.fraction.flip(0), against), torch.lerp(x.reach, 8 - x.reach, against)
    falling, rising = (tables.falling @ fraction).view(torch.int64) | 1, f.upto.view(torch.int64) & -2
    corners = _in_order(falling.view(torch.float64), rising.view(torch.float64))

    ours = (corners.view(torch.int64) & 1).double()
    position = torch.addmm(column, tables.before * len(column), ours).int().flatten()
    product = fraction.view(-1).index_select(0, position).mul_(f.fraction.view(-1).index_select(0, cell - position))
    product = product.view(17, -1)
    *_, distances = steps = tables.steps @ corners
    mass = steps[:17]
    mass[16].add_(1)

    limit = (reach + f.reach).mul_(8).add_(x.apart).add_(f.apart).add_(distances)
    limit = limit.div_(2).addcmul_(reach, f.reach, value=-1)
    dependence = covariance.abs_().mul_(x.scale).mul_(f.scale).div_(limit.clamp_(min=_WEAKEST))
    rest = 1 - dependence
    independent = (1 - product.sum(0)).mul_(rest.abs().clamp_(min=_LEAST).log_())
    independent = independent.sub_(product.log().mul_(product).sum(0))
    joint = mass.mul_(dependence).addcmul_(product, rest)
    joint = joint.abs().clamp_(min=_LEAST).log_().mul_(joint).sum(0)
    single = x.negentropy + f.negentropy
    return (single - rest * (single + independent) - joint).mul_(2).div_(single)


def _mean_information(fused: Float[Tensor, "h w"], *sources: Float[Tensor, "h w"]) -> Tensor:
    h, w = fused.shape[0] - 2, fused.shape[1] - 2
    at_once = _AT_ONCE if fused.device.type == "cpu" else 32 * _AT_ONCE
    rows = max(1, at_once // w)
    total = fused.new_zeros(())
    for top in range(0, h, rows):
        strip = slice(top, top + rows + 2)
        of_fused = _windows(fused[strip])
        for x in sources:
            equal = _least((x[strip] == fused[strip]).double())
            total = total + torch.lerp(_information(_windows(x[strip]), of_fused), torch.ones_like(equal), equal).sum()
    return total / (len(sources) * h * w)


def _codes(x: Float[Tensor, "h w"]) -> Int[Tensor, " m"]:
    """The nine values of each window, all 0 or 1, as the bits of a number."""
    h, w = x.shape[0] - 2, x.shape[1] - 2
    bits = [x[i : i + h, j : j + w] * 2.0 ** (3 * j + i) for j in range(3) for i in range(3)]
    return sum_of(bits).flatten().long()


def _mean_binary(fused: Float[Tensor, "h w"], *sources: Float[Tensor, "h w"]) -> Tensor:
    """The same for binary features: each distinct pair of windows is computed once."""
    counts = sum_of([torch.bincount(_codes(x) * 512 + _codes(fused), minlength=2**18) for x in sources])
    kinds = counts.nonzero()[:, 0]
    bit = torch.arange(9, device=fused.device)[:, None]
    sides = [(side >> bit & 1).double() for side in (kinds // 512, kinds % 512)]
    values = _information(*(_described(side, *side.aminmax(dim=0)) for side in sides))
    values = torch.where(kinds // 512 == kinds % 512, 1.0, values)
    mean: Tensor = (values * counts[kinds]).sum() / counts.sum()
    return mean


def _fmi(feature: Callable[[Image], Image], fused: Image, a: Image, b: Image) -> MetricValue:
    mean = _mean_binary if feature is _edges else _mean_information
    features = [feature(x.detach().double())[:, 0] for x in (fused, a, b)]
    return torch.stack([mean(*images) for images in zip(*features, strict=True)]).to(fused.dtype)


def fmi_pixel(fused: Image, a: Image, b: Image) -> MetricValue:
    """Feature mutual information of the gray levels in 3x3 windows, 0..1.

    Source: M. Haghighat, M. A. Razian, "Fast-FMI: non-reference image fusion metric", AICT 2014; M. Haghighat,
    A. Aghagolzadeh, H. Seyedarabi, "A non-reference image fusion metric based on mutual information of image features",
    Computers and Electrical Engineering 37(5), 2011.
    Differs from what papers call FMI_pixel, which is FMI_edge, the default of the authors' program.
    """
    return _fmi(lambda x: x, fused, a, b)


def fmi_gradient(fused: Image, a: Image, b: Image) -> MetricValue:
    """Feature mutual information of the horizontal gradient, 0..1.

    Source: as FMI_pixel.
    """
    return _fmi(_gradient, fused, a, b)


def fmi_edge(fused: Image, a: Image, b: Image) -> MetricValue:
    """Feature mutual information of the edges found by a Sobel detector, 0..1; tables call it FMI_pixel.

    Source: as FMI_pixel.
    """
    return _fmi(_edges, fused, a, b)


def fmi_dct(fused: Image, a: Image, b: Image) -> MetricValue:
    """Feature mutual information of the cosine transform of the whole image, 0..1.

    Source: as FMI_pixel.
    """
    return _fmi(_cosines, fused, a, b)


def fmi_wavelet(fused: Image, a: Image, b: Image) -> MetricValue:
    """Feature mutual information of one level of the discrete Meyer wavelet transform, 0..1.

    In flat regions, such as the black background of medical images, the wavelet coefficients are rounding errors, which
    the rescaling of each window magnifies: programs that add in another order differ in the third digit there.

    Source: as FMI_pixel.
    """
    return _fmi(_wavelets, fused, a, b)
