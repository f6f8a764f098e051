"""Metrics of edges: how much of the sources' edges the fused picture carries, and how much it invents."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from refinefuse.filters import Border, magnitude, sobel
from refinefuse.metrics.sharing import shared
from refinefuse.metrics.statistics import Image, Score, pixel_mean, pixel_sum


@shared
def _scaled(x: Image, peak: float) -> Image:
    """The picture on the scale 0..peak."""
    return x if peak == 255 else x / (255 / peak)


@shared
def derivatives(x: Image, border: Border) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives, remembered."""
    return sobel(x, border)


@shared
def edge_strength(x: Image, border: Border) -> Image:
    """The length of Sobel's gradient, remembered."""
    return magnitude(*derivatives(x, border))


def ei(fused: Image, a: Image, b: Image) -> Score:
    """Edge intensity: mean length of Sobel's gradient (not divided by 8) of the fused picture.

    Source: B. Rajalingam, R. Priya, "Hybrid multimodality medical image fusion technique for feature enhancement in
    medical diagnosis", International Journal of Engineering Science Invention 2, 2018.
    """
    return pixel_mean(edge_strength(fused, "replicate"))


def safe_quotient(x: Tensor, y: Tensor) -> Tensor:
    """The quotient, and 0 where the divisor is 0."""
    return x / torch.where(y == 0, 1.0, y) * (y != 0)


def _ratio(x: Tensor, y: Tensor) -> Tensor:
    """The smaller over the larger of two values that are not negative; 0 where both are 0."""
    return safe_quotient(torch.minimum(x, y), torch.maximum(x, y))


@shared
def _orientation(x: Image) -> Image:
    """The orientation of the edges, -pi/2 < orientation <= pi/2; pi/2 where nothing changes from left to right."""
    across, down = derivatives(x, "zero")
    upright = across == 0
    return torch.where(upright, math.pi / 2, torch.atan(-down / torch.where(upright, 1.0, across)))


def _transfer(x: Image, fused: Image, ties: str) -> Image:
    """How well the fused picture keeps each edge of x, in strength and in orientation."""
    strength_x, strength_f = edge_strength(x, "zero"), edge_strength(fused, "zero")
    strength = _ratio(strength_x, strength_f)
    if ties == "strength":
        strength = torch.where(strength_x == strength_f, strength_f, strength)
    alignment = 1 - (_orientation(x) - _orientation(fused)).abs() / (math.pi / 2)
    return 0.9994 * torch.sigmoid(15 * (strength - 0.5)) * (0.9879 * torch.sigmoid(22 * (alignment - 0.8)))


def qabf(fused: Image, a: Image, b: Image, *, ties: Literal["one", "strength"] = "one", peak: float = 255.0) -> Score:
    """Edge transfer: the edges of both sources that the fused picture keeps, weighted by their strength, 0..0.99.

    Two sources without any edge score 0.

    Source: C. S. Xydeas, V. Petrovic, "Objective image fusion performance measure", Electronics Letters 36(4), 2000.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        ties: where an edge has exactly the source's strength, most programs take the `strength` itself for the ratio
            that should be 1. On levels it hardly matters, on 0..1 it throws exact copies away.
        peak: the highest level of the scale on which the strength is taken, 255 or 1.
    """
    fused, a, b = _scaled(fused, peak), _scaled(a, peak), _scaled(b, peak)
    weight_a, weight_b = edge_strength(a, "zero"), edge_strength(b, "zero")
    kept = _transfer(a, fused, ties) * weight_a + _transfer(b, fused, ties) * weight_b
    return safe_quotient(pixel_sum(kept), pixel_sum(weight_a + weight_b))


@shared
def _signed_orientation(x: Image) -> Image:
    """The orientation of the edges, but -pi/2 where only a downward slope is, as the code of Liu et al. has it."""
    across, down = derivatives(x, "zero")
    return torch.atan(down / torch.where(across == 0, 1e-5, across))


def _transfer_liu(x: Image, fused: Image, corrected: bool) -> Image:
    strengths = [edge_strength(y, "zero") for y in (x, fused)]
    strength = _ratio(*(torch.where(g == 0, 1e-5, g) for g in strengths))
    turn = (_signed_orientation(x) - _signed_orientation(fused)).abs()
    if corrected:
        alignment = 1 - turn / (math.pi / 2)
        return 0.9994 * torch.sigmoid(15 * (strength - 0.5)) * (0.9879 * torch.sigmoid(22 * (alignment - 0.8)))
    alignment = (turn - math.pi / 2).abs() / (math.pi / 2)
    return torch.sigmoid(10 * (strength - 0.5)) * torch.sigmoid(20 * (alignment - 0.75))


def qg(fused: Image, a: Image, b: Image, *, form: Literal["corrected", "liu2012"] = "corrected") -> Score:
    """Gradient metric of Liu et al.: Qabf with another sign of the orientation, 0..0.99.

    Source: Z. Liu, E. Blasch, Z. Xue, J. Zhao, R. Laganiere, W. Wu, "Objective assessment of multiresolution image
    fusion algorithms for context enhancement in night vision", IEEE TPAMI 34(1), 2012.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        form: `liu2012` has other constants and takes the mean over pixels, flat ones included, which score 1.
    """
    corrected = form == "corrected"
    weights = [torch.where(g == 0, 1e-5, g) for g in (edge_strength(a, "zero"), edge_strength(b, "zero"))]
    kept = _transfer_liu(a, fused, corrected) * weights[0] + _transfer_liu(b, fused, corrected) * weights[1]
    total = weights[0] + weights[1]
    return pixel_sum(kept) / pixel_sum(total) if corrected else pixel_mean(kept / total)


@shared
def _petrovic_edges(x: Image, peak: float) -> tuple[Tensor, Tensor]:
    """Strength a pixel, on the scale 0..peak, and orientation."""
    across, down = (d / 8 for d in derivatives(_scaled(x, peak), "mirror"))
    level = down == 0
    slope = torch.where(level, torch.sign(across) * math.pi / 2, torch.atan(across / torch.where(level, 1.0, down)))
    return magnitude(across, down), slope


@shared
def _petrovic_transfer(x: Image, fused: Image, peak: float) -> Image:
    (strength_x, slope_x), (strength_f, slope_f) = _petrovic_edges(x, peak), _petrovic_edges(fused, peak)
    strength = _ratio(strength_x, strength_f)
    alignment = ((slope_x - slope_f).abs() - math.pi / 2).abs() * (2 / math.pi)
    kept = 0.9999 * torch.sigmoid(19 * (strength - 0.5)) * (0.9995 * torch.sigmoid(22 * (alignment - 0.5)))
    return kept.sqrt()


def _petrovic_weight(x: Image, peak: float, floor: float) -> Image:
    strength = _petrovic_edges(x, peak)[0]
    strong = strength >= 2
    return torch.where(strong, torch.where(strong, strength, 2.0) ** 1.5, floor)


@shared
def _petrovic(fused: Image, a: Image, b: Image, peak: float, floor: float) -> tuple[Score, Score, Score, Score]:
    """The shares of edge weight that are kept, lost and invented, and Petrovic's own measure of what is invented."""
    quality_a, quality_b = _petrovic_transfer(a, fused, peak), _petrovic_transfer(b, fused, peak)
    weight_a, weight_b = _petrovic_weight(a, peak, floor), _petrovic_weight(b, peak, floor)
    total = pixel_sum(weight_a + weight_b)
    strength_a, strength_b, strength_f = (_petrovic_edges(x, peak)[0] for x in (a, b, fused))
    added = (strength_f > strength_a) & (strength_f > strength_b)
    missing = (1 - quality_a) * weight_a + (1 - quality_b) * weight_b
    doubled = (2 - quality_a - quality_b) * (weight_a + weight_b)
    parts = (quality_a * weight_a + quality_b * weight_b, missing * ~added, missing * added, doubled * added)
    kept, lost, artefacts, original = (safe_quotient(pixel_sum(part), total) for part in parts)
    return kept, lost, artefacts, original


def qabf_p(fused: Image, a: Image, b: Image, *, peak: float = 255.0) -> Score:
    """Petrovic's edge transfer: the share of the sources' edge weight that is kept, 0..1; 1 - Labf - Nabf.

    Source: V. Petrovic, C. Xydeas, "Objective image fusion performance characterisation", ICCV 2005.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        peak: the highest level of the scale on which an edge of 2 is strong; on 0..1 none ever is.
    """
    return _petrovic(fused, a, b, peak, 0.001)[0]


def labf(fused: Image, a: Image, b: Image, *, peak: float = 255.0) -> Score:
    """Fusion loss: the share of the sources' edge weight that is lost, 0..1.

    Source: as Qabf_p.

    Args:
        fused: the fused picture, levels 0..255.
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
    floor: float = 0.001,
    order: Literal["fused first", "fused last"] = "fused first",
) -> Score:
    """Fusion artefacts: the share of edge weight where the fused edge is stronger than both sources', 0..1.

    Source: B. K. Shreyamsha Kumar, "Multifocus and multispectral image fusion based on pixel significance using
    discrete cosine harmonic wavelet transform", Signal, Image and Video Processing 7, 2013.

    Args:
        fused: the fused picture, levels 0..255.
        a: the first source.
        b: the second source.
        peak: as in `qabf_p`.
        floor: the weight of an edge that is not strong.
        order: `fused last` scores `a` as the fused picture of `b` and `fused`, a slip in a well-known program.
    """
    pictures = (fused, a, b) if order == "fused first" else (a, b, fused)
    return _petrovic(*pictures, peak, floor)[2]


def nabf_p(fused: Image, a: Image, b: Image) -> Score:
    """Petrovic's own artefacts: as Nabf, but each source's loss counted with the weights of both.

    Source: as Qabf_p.
    """
    return _petrovic(fused, a, b, 255.0, 0.001)[3]
