"""Edge metrics: how many of the sources' edges the fused image preserves, and how many it adds."""

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
    """Sobel derivatives, cached."""
    return sobel(x, border)


@cached
def _slopes(x: Image, border: Border, peak: float) -> tuple[Tensor, Tensor]:
    """Sobel derivatives on the scale 0..peak.

    On 0..1, rounding decides which edges are equal. Terms are therefore added in the same order as in the original
    programs: that of Octave's `conv2` with a zero border, and by columns of each neighborhood with a mirrored one.
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
    """The Sobel gradient magnitude, cached."""
    return magnitude(*derivatives(x, border))


def ei(fused: Image, a: Image, b: Image) -> MetricValue:
    """Edge intensity: mean Sobel gradient magnitude (not divided by 8) of the fused image.

    Source: B. Rajalingam, R. Priya, "Hybrid multimodality medical image fusion technique for feature enhancement in
    medical diagnosis", International Journal of Engineering Science Invention 2, 2018.
    """
    return pixel_mean(edge_strength(fused, "replicate"))


def safe_quotient(x: Tensor, y: Tensor) -> Tensor:
    """The quotient, and 0 where the divisor is 0."""
    return x / torch.where(y == 0, 1.0, y) * (y != 0)


def _ratio(x: Tensor, y: Tensor) -> Tensor:
    """The smaller of two nonnegative values divided by the larger; 0 where both are 0."""
    return torch.minimum(x, y) / torch.maximum(x, y).clamp(min=_WEAKEST)


def _edges(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and orientation; where there is no horizontal derivative, the orientation is -pi/2."""
    is_vertical = across == 0
    turn = torch.atan(down / torch.where(is_vertical, 1.0, across))
    return magnitude(across, down), torch.where(is_vertical, -math.pi / 2, turn)


def _transfer(strength: Tensor, turn: Tensor) -> Tensor:
    """How well an edge is preserved, from its strength ratio and the change of its orientation."""
    kept = torch.sigmoid(15 * strength - 7.5) * torch.sigmoid(4.4 - (44 / math.pi) * turn)
    return (0.9994 * 0.9879) * kept


def qabf(
    fused: Image, a: Image, b: Image, *, ties: Literal["one", "strength"] = "one", peak: float = 255.0
) -> MetricValue:
    """Edge transfer: how well the fused image preserves the edges of both sources, weighted by strength, 0..0.99.

    Two sources without any edge score 0.

    Source: C. S. Xydeas, V. Petrovic, "Objective image fusion performance measure", Electronics Letters 36(4), 2000.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        ties: where an edge is exactly as strong as in the source, most programs use the `strength` itself instead of
            the ratio, which should be 1. On levels 0..255 this hardly matters; on 0..1 it discards exact copies.
        peak: the highest level of the scale on which strength is measured, 255 or 1.
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
    """Strength, never 0, and signed orientation, as in Liu et al.'s code."""
    strength = magnitude(across, down)
    return torch.where(strength == 0, 1e-5, strength), torch.atan(down / torch.where(across == 0, 1e-5, across))


def _transfer_liu(strength: Tensor, turn: Tensor) -> Tensor:
    """The same with the constants of Liu et al."""
    alignment = (turn - math.pi / 2).abs() / (math.pi / 2)
    return torch.sigmoid(10 * (strength - 0.5)) * torch.sigmoid(20 * (alignment - 0.75))


def qg(fused: Image, a: Image, b: Image, *, form: Literal["corrected", "liu2012"] = "corrected") -> MetricValue:
    """Gradient metric of Liu et al.: Qabf with the opposite sign of the orientation, 0..0.99.

    Source: Z. Liu, E. Blasch, Z. Xue, J. Zhao, R. Laganiere, W. Wu, "Objective assessment of multiresolution image
    fusion algorithms for context enhancement in night vision", IEEE TPAMI 34(1), 2012.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        form: `liu2012` uses other constants and averages over all pixels, including flat ones, which score 1.
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
    """Strength per pixel, and orientation."""
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
    """The fractions of edge weight preserved, lost and added, and Petrovic's own measure of added edges."""
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
    """Petrovic's edge transfer: the fraction of the sources' edge weight that is preserved, 0..1; 1 - Labf - Nabf.

    Source: V. Petrovic, C. Xydeas, "Objective image fusion performance characterization", ICCV 2005.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: the highest level of the scale, 255 or 1. An edge is strong from 2 on; on 0..1 none ever is.
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
    """Fusion artifacts: the fraction of edge weight where the fused edge is stronger than in both sources, 0..1.

    Source: B. K. Shreyamsha Kumar, "Multifocus and multispectral image fusion based on pixel significance using
    discrete cosine harmonic wavelet transform", Signal, Image and Video Processing 7, 2013.

    Args:
        fused: the fused image, levels 0..255.
        a: the first source.
        b: the second source.
        peak: as in `qabf_p`.
        weak_weight: the weight of edges that are not strong.
        order: `fused last` scores `a` as the fused image of `b` and `fused`, a mistake in a well-known program.
    """
    images = (fused, a, b) if order == "fused first" else (a, b, fused)
    return _petrovic(*images, peak, weak_weight)[2]


def nabf_p(fused: Image, a: Image, b: Image) -> MetricValue:
    """Petrovic's own artifact measure: as Nabf, but each source's loss is counted with the weights of both.

    Source: as Qabf_p.
    """
    return _petrovic(fused, a, b, 255.0, 0.001)[3]
