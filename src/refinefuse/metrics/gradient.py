"""Metrics of edges: how much of the sources' edges the fused image carries, and how much it invents."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from refinefuse.filters import Border, magnitude, pad, sobel
from refinefuse.metrics.caching import cached
from refinefuse.metrics.statistics import Image, MetricValue, pixel_mean, pixel_sum, strips, sum_of

_WEAKEST = 1e-12  # a weaker edge is none


@cached
def derivatives(x: Image, border: Border) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives, remembered."""
    return sobel(x, border)


@cached
def _slopes(x: Image, border: Border, peak: float) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives on the scale 0..peak.

    On 0..1 rounding decides which edges are equal, so that the terms are added in the order of the programs: that
    of Octave's `conv2` where the border is zero, sums of the columns of each neighborhood where it is mirrored.
    """
    if peak == 255:
        return derivatives(x, border)
    h, w = x.shape[-2:]
    x = pad(x / (255 / peak), 1, border)
    (t0, t1, t2), (m0, _, m2), (b0, b1, b2) = ([x[..., i : i + h, j : j + w] for j in range(3)] for i in range(3))
    if border == "zero":
        return -b0 - 2 * m0 - t0 + b2 + 2 * m2 + t2, b0 - t0 + 2 * b1 - 2 * t1 + b2 - t2
    return (t2 + 2 * m2 + b2) - (t0 + 2 * m0 + b0), (b0 - t0) + 2 * (b1 - t1) + (b2 - t2)


@cached
def edge_strength(x: Image, border: Border) -> Image:
    """The length of Sobel's gradient, remembered."""
    return magnitude(*derivatives(x, border))


def ei(fused: Image, a: Image, b: Image) -> MetricValue:
    """Edge intensity: mean length of Sobel's gradient (not divided by 8) of the fused image.

    Source: B. Rajalingam, R. Priya, "Hybrid multimodality medical image fusion technique for feature enhancement in
    medical diagnosis", International Journal of Engineering Science Invention 2, 2018.
    """
    return pixel_mean(edge_strength(fused, "replicate"))


def safe_quotient(x: Tensor, y: Tensor) -> Tensor:
    """The quotient, and 0 where the divisor is 0."""
    return x / torch.where(y == 0, 1.0, y) * (y != 0)


def _ratio(x: Tensor, y: Tensor) -> Tensor:
    """The smaller over the larger of two values that are not negative; 0 where both are 0."""
    return torch.minimum(x, y) / torch.maximum(x, y).clamp(min=_WEAKEST)


def _edges(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Strength, and orientation from -pi/2 on, which it is where nothing changes from left to right."""
    is_vertical = across == 0
    turn = torch.atan(down / torch.where(is_vertical, 1.0, across))
    return magnitude(across, down), torch.where(is_vertical, -math.pi / 2, turn)


def _transfer(strength: Tensor, turn: Tensor) -> Tensor:
    """How well an edge is kept whose strength has that ratio and whose orientation has changed by so much."""
    kept = torch.sigmoid(15 * strength - 7.5) * torch.sigmoid(4.4 - (44 / math.pi) * turn)
    return (0.9994 * 0.9879) * kept


def qabf(
    fused: Image, a: Image, b: Image, *, ties: Literal["one", "strength"] = "one", peak: float = 255.0
) -> MetricValue:
    """Edge transfer: the edges of both sources that the fused image keeps, weighted by their strength, 0..0.99.

    Two sources without any edge score 0.

    Source: C. S. Xydeas, V. Petrovic, "Objective image fusion performance measure", Electronics Letters 36(4), 2000.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        ties: where an edge has exactly the source's strength, most programs take the `strength` itself for the ratio
            that should be 1. On levels it hardly matters, on 0..1 it throws exact copies away.
        peak: the highest level of the scale on which the strength is taken, 255 or 1.
    """
    slopes = [d for x in (fused, a, b) for d in _slopes(x, "zero", peak)]
    kept, total = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for strip in strips(*slopes):
        strength_f, turn_f = _edges(*strip[:2])
        for strength, turn in (_edges(*strip[2:4]), _edges(*strip[4:])):
            ratio = _ratio(strength, strength_f)
            if ties == "strength":
                ratio = torch.where(strength == strength_f, strength_f, ratio)
            kept = kept + pixel_sum(_transfer(ratio, (turn - turn_f).abs()) * strength)
            total = total + pixel_sum(strength)
    return safe_quotient(kept, total)


def _signed_edges(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Strength, never 0, and orientation, -pi/2 where only a downward slope is, as the code of Liu et al. has it."""
    strength = magnitude(across, down)
    return torch.where(strength == 0, 1e-5, strength), torch.atan(down / torch.where(across == 0, 1e-5, across))


def _transfer_liu(strength: Tensor, turn: Tensor) -> Tensor:
    """The same with the constants of Liu et al."""
    alignment = (turn - math.pi / 2).abs() / (math.pi / 2)
    return torch.sigmoid(10 * (strength - 0.5)) * torch.sigmoid(20 * (alignment - 0.75))


def qg(fused: Image, a: Image, b: Image, *, form: Literal["corrected", "liu2012"] = "corrected") -> MetricValue:
    """Gradient metric of Liu et al.: Qabf with another sign of the orientation, 0..0.99.

    Source: Z. Liu, E. Blasch, Z. Xue, J. Zhao, R. Laganiere, W. Wu, "Objective assessment of multiresolution image
    fusion algorithms for context enhancement in night vision", IEEE TPAMI 34(1), 2012.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: `liu2012` has other constants and takes the mean over pixels, flat ones included, which score 1.
    """
    transfer = _transfer if form == "corrected" else _transfer_liu
    slopes = [d for x in (fused, a, b) for d in derivatives(x, "zero")]
    kept, total, fraction = (fused.new_zeros(len(fused)) for _ in range(3))
    for strip in strips(*slopes):
        strength_f, turn_f = _signed_edges(*strip[:2])
        part, whole = torch.zeros_like(turn_f), torch.zeros_like(turn_f)
        for strength, turn in (_signed_edges(*strip[2:4]), _signed_edges(*strip[4:])):
            part = part + transfer(_ratio(strength, strength_f), (turn - turn_f).abs()) * strength
            whole = whole + strength
        kept, total, fraction = kept + pixel_sum(part), total + pixel_sum(whole), fraction + pixel_sum(part / whole)
    return kept / total if form == "corrected" else fraction / fused[0].numel()


def _petrovic_edges(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Strength a pixel, and orientation."""
    level = down == 0
    turn = torch.where(level, torch.sign(across) * math.pi / 2, torch.atan(across / torch.where(level, 1.0, down)))
    return magnitude(across, down) / 8, turn


def _petrovic_transfer(strength: Tensor, turn: Tensor) -> Tensor:
    alignment = (turn - math.pi / 2).abs() * (2 / math.pi)
    return (0.9999 * 0.9995 * torch.sigmoid(19 * (strength - 0.5)) * torch.sigmoid(22 * (alignment - 0.5))).sqrt()


def _petrovic_weight(strength: Tensor, weak_weight: float) -> Tensor:
    strong = strength >= 2
    return torch.where(strong, torch.where(strong, strength, 2.0) ** 1.5, weak_weight)


@cached
def _petrovic(
    fused: Image, a: Image, b: Image, peak: float, weak_weight: float
) -> tuple[MetricValue, MetricValue, MetricValue, MetricValue]:
    """The fractions of edge weight that are kept, lost and invented, and Petrovic's own measure of what is invented."""
    slopes = [d for x in (fused, a, b) for d in _slopes(x, "mirror", peak)]
    sums = []
    for strip in strips(*slopes):
        (sf, turn_f), (sa, turn_a), (sb, turn_b) = (_petrovic_edges(*strip[i : i + 2]) for i in (0, 2, 4))
        quality_a = _petrovic_transfer(_ratio(sa, sf), (turn_a - turn_f).abs())
        quality_b = _petrovic_transfer(_ratio(sb, sf), (turn_b - turn_f).abs())
        weight_a, weight_b = _petrovic_weight(sa, weak_weight), _petrovic_weight(sb, weak_weight)
        total = weight_a + weight_b
        added = (sf > sa) & (sf > sb)
        kept = quality_a * weight_a + quality_b * weight_b
        missing = total - kept
        doubled = (2 - quality_a - quality_b) * total
        sums.append([pixel_sum(x) for x in (total, kept, missing * ~added, missing * added, doubled * added)])
    total, *parts = (sum_of(part) for part in zip(*sums, strict=True))
    kept, lost, artifacts, original = (safe_quotient(part, total) for part in parts)
    return kept, lost, artifacts, original


def qabf_p(fused: Image, a: Image, b: Image, *, peak: float = 255.0) -> MetricValue:
    """Petrovic's edge transfer: the fraction of the sources' edge weight that is kept, 0..1; 1 - Labf - Nabf.

    Source: V. Petrovic, C. Xydeas, "Objective image fusion performance characterization", ICCV 2005.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: the highest level of the scale on which an edge of 2 is strong; on 0..1 none ever is.
    """
    return _petrovic(fused, a, b, peak, 0.001)[0]


def labf(fused: Image, a: Image, b: Image, *, peak: float = 255.0) -> MetricValue:
    """Fusion loss: the fraction of the sources' edge weight that is lost, 0..1.

    Source: as Qabf_p.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: as in `qabf_p`.
    """
    return _petrovic(fused, a, b, peak, 0.001)[1]


def nabf(
    fused: Image,
    a: Image,
    b: Image,
    *,
    peak: float = 255.0,
    weak_weight: float = 0.001,
    order: Literal["fused first", "fused last"] = "fused first",
) -> MetricValue:
    """Fusion artifacts: the fraction of edge weight where the fused edge is stronger than both sources', 0..1.

    Source: B. K. Shreyamsha Kumar, "Multifocus and multispectral image fusion based on pixel significance using
    discrete cosine harmonic wavelet transform", Signal, Image and Video Processing 7, 2013.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: as in `qabf_p`.
        weak_weight: the weight of an edge that is not strong.
        order: `fused last` scores `a` as the fused image of `b` and `fused`, a slip in a well-known program.
    """
    images = (fused, a, b) if order == "fused first" else (a, b, fused)
    return _petrovic(*images, peak, weak_weight)[2]


def nabf_p(fused: Image, a: Image, b: Image) -> MetricValue:
    """Petrovic's own artifacts: as Nabf, but each source's loss counted with the weights of both.

    Source: as Qabf_p.
    """
    return _petrovic(fused, a, b, 255.0, 0.001)[3]
