"""What training asks of a fused picture, one function a term; every term is smaller where the picture is better.

The usual fusion metrics are differentiable, and a network that is trained on them alone learns to copy one source.
`kept` and `hot` are the terms that forbid it; `overshoot` forbids the halos that win contrast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import dilate, erode, sobel
from refinefuse.metrics import qabf, scd, ssim, vif
from refinefuse.metrics.sharing import sharing
from refinefuse.metrics.statistics import percentile

Levels = Float[Tensor, "n 1 h w"]


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; 0 leaves a term out."""

    intensity: float = 3.0
    gradient: float = 20.0
    structure: float = 0.3
    visual: float = 0.25
    edges: float = 0.6
    complement: float = 0.4
    kept: float = 0.6
    hot: float = 3.0
    overshoot: float = 60.0


CLEARANCE = 10
"""Levels by which a hot pixel should be brighter than half of the fused picture."""
POOLED = ("visual", "edges", "complement", "hot")
"""Terms that look at all crops of a pair together, one above the other: what they compare is a property of the whole
picture. Visual information and edges are ratios of sums, and over a single crop in which a source is flat they grow
without bound when its noise is amplified."""


def intensity(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """Mean distance to the brighter source, in units of the range.

    Source: Tang, Yuan, Ma, "Image fusion in the loop of high-level vision tasks" (SeAFusion), Information Fusion
    82, 2022, eq. 4.
    """
    return (fused - torch.maximum(a, b)).abs().mean() / 255


def gradient(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """Mean distance of each signed slope to that of the source where it is steeper, in units of the range.

    Source: SeAFusion (see `intensity`), eq. 5. Differs: the responses keep their sign, so an edge cannot be turned
    over.
    """
    total = fused.new_zeros(())
    for of_fused, of_a, of_b in zip(slopes(fused), slopes(a), slopes(b), strict=True):
        total = total + (of_fused - torch.where(of_a.abs() >= of_b.abs(), of_a, of_b)).abs().mean()
    return total / 255


def structure(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """Minus the structural similarity to both sources.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13(4), 2004.
    """
    return -ssim(fused, a, b).mean()


def visual(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """Minus the visual information that the fused picture holds of both sources.

    Source: Sheikh, Bovik, "Image information and visual quality", IEEE TIP 15(2), 2006, in the pixel domain.
    """
    return -vif(fused, a, b).mean()


def edges(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """Minus the share of the sources' edges that arrive with strength and direction.

    Source: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 36(4), 2000.
    """
    return -qabf(fused, a, b).mean()


def complement(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """Minus the correlation of what was added to one source with the other.

    Source: Aslantas, Bendes, "A new image quality metric for image fusion: the sum of the correlations of
    differences", AEU 69(12), 2015.
    """
    return -scd(fused, a, b).mean()


def kept(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """How far edges that one source alone has fall short of nine tenths of their strength, on the mean.

    An edge belongs to one source alone where its gradient exceeds 6 levels a pixel and twice the other's: the
    differentiable form of the fusion fault `kept`. Our choice.
    """
    total = fused.new_zeros(())
    of_fused, of_a, of_b = slopes(fused), slopes(a), slopes(b)
    for own, other in ((of_a, of_b), (of_b, of_a)):
        strength = own[0].square() + own[1].square()
        alone = (strength > 36) & (strength > 4 * (other[0].square() + other[1].square()))
        arrived = (of_fused[0] * own[0] + of_fused[1] * own[1]) / strength.clamp(min=1)
        total = total + ((0.9 - arrived).relu() * alone).sum() / _count(alone)
    return total / 2


def hot(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """How far hot pixels fall below the brighter source, or below the middle of the fused picture, if that is higher.

    The mean over them, in units of the range. Hot are the pixels of `a` above its 95th percentile and more than 30
    levels above its median; the middle is the fused median and `CLEARANCE`: the differentiable form of the fusion
    fault `lost`. Our choice.
    """
    targets = (a > percentile(a, 0.95)) & (a > percentile(a, 0.5) + 30)
    floor = percentile(fused.detach(), 0.5) + CLEARANCE
    missing: Tensor = ((torch.maximum(torch.maximum(a, b), floor) - fused).relu() * targets).sum()
    return missing / _count(targets) / 255


def overshoot(fused: Levels, a: Levels, b: Levels) -> Tensor:
    """How far levels are outside of what either source shows in the 15x15 square around, on the mean over all pixels.

    In units of the range, beyond a margin of 3 levels: the differentiable form of the fusion fault `overshoot`, of
    halos. Our choice.
    """
    above = fused - dilate(torch.maximum(a, b), 15) - 3
    below = erode(torch.minimum(a, b), 15) - 3 - fused
    return (above.relu() + below.relu()).mean() / 255


def _count(mask: Tensor) -> Tensor:
    """Pixels of a mask, at least 1; where several processes share a batch, their mean.

    So the gradients of the processes, of which training takes the mean, are together that of the whole batch.
    """
    count, processes = mask.sum(), 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes = torch.distributed.get_world_size()
        torch.distributed.all_reduce(count)
    return count.clamp(min=1) / processes


def slopes(x: Levels) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical slope in levels a pixel, by Sobel's operator."""
    along_x, along_y = sobel(x)
    return along_x / 8, along_y / 8


TERMS: dict[str, Callable[[Levels, Levels, Levels], Tensor]] = {
    "intensity": intensity,
    "gradient": gradient,
    "structure": structure,
    "visual": visual,
    "edges": edges,
    "complement": complement,
    "kept": kept,
    "hot": hot,
    "overshoot": overshoot,
}
"""By the field of `LossWeights` that weighs it."""


def fusion_loss(
    fused: Float[Tensor, "n 1 h w"],
    a: Float[Tensor, "n 1 h w"],
    b: Float[Tensor, "n 1 h w"],
    weights: LossWeights,
    crops_per_pair: int = 1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the terms, and each term before it was weighted.

    Args:
        fused: fused luma in [0, 1].
        a: luma of the first sources.
        b: luma of the second sources.
        weights: how much each term counts.
        crops_per_pair: so many crops, one after another, are of one pair. The terms `POOLED` see them together: within
            single crops a network learns to shift the level of every crop by itself, and correlates less over the whole
            picture.
    """
    planes = fused * 255, a * 255, b * 255
    together = tuple(x.reshape(-1, 1, crops_per_pair * x.shape[2], x.shape[3]) for x in planes)
    counts = asdict(weights)
    with sharing():  # the local moments of the fused picture, and its gradients, serve several terms
        terms = {
            name: TERMS[name](*(together if name in POOLED else planes)) for name, weight in counts.items() if weight
        }
    total = sum((counts[name] * term for name, term in terms.items()), fused.new_zeros(()))
    return total, {name: term.detach() for name, term in terms.items()}
