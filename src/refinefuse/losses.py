"""Training loss terms, one function per term; lower is better.

The common fusion metrics are differentiable, but a network trained on them alone learns to copy one source.
`edge_recall` and `hot_target` prevent that; `overshoot` prevents the halos that raise contrast, and
`spurious_edges` and `spurious_curvature` the curves and blotches that neither source has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from refinefuse.filters import blur, dilate, erode, gaussian, sobel
from refinefuse.metrics import qabf, scd, spurious_curvature, spurious_edges, ssim, vif
from refinefuse.metrics.caching import caching
from refinefuse.metrics.statistics import quantile

Image255 = Float[Tensor, "n 1 h w"]


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss term; 0 disables a term.

    `detection` needs a detector, which the recipe names; `object_recall` and `segmentation` need label maps.
    """

    intensity: float = 3.0
    gradient: float = 20.0
    ssim: float = 0.3
    vif: float = 0.25
    qabf: float = 0.6
    scd: float = 0.4
    edge_recall: float = 0.6
    hot_target: float = 3.0
    overshoot: float = 60.0
    spurious_edges: float = 20.0
    spurious_curvature: float = 5.0
    detection: float = 0.0
    object_recall: float = 0.0
    segmentation: float = 0.0
    coarse_level: float = 0.0


_SMOOTH = gaussian(25, 4.0)
HOT_TARGET_MARGIN = 10
"""Gray levels by which a hot pixel should be brighter than half of the fused image."""
PER_PAIR_TERMS = ("vif", "qabf", "scd", "hot_target", "spurious_edges", "spurious_curvature", "coarse_level")
"""Terms computed over all crops of a pair together, stacked vertically, because they compare properties of the whole
image. VIF and Qabf are ratios of sums, which grow without bound on a single crop with a flat source when its noise is
amplified."""


def intensity_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Mean distance to the brighter source, as a fraction of the range.

    Source: Tang, Yuan, Ma, "Image fusion in the loop of high-level vision tasks" (SeAFusion), Information Fusion
    82, 2022, eq. 4.
    """
    return (fused - torch.maximum(a, b)).abs().mean() / 255


def gradient_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Mean distance of each signed gradient to the steeper one of the sources, as a fraction of the range.

    Source: SeAFusion (see `intensity_loss`), eq. 5. Differs: the responses keep their sign, so no edge can be
    reversed.
    """
    total = fused.new_zeros(())
    for of_fused, of_a, of_b in zip(sobel_per_pixel(fused), sobel_per_pixel(a), sobel_per_pixel(b), strict=True):
        total = total + (of_fused - torch.where(of_a.abs() >= of_b.abs(), of_a, of_b)).abs().mean()
    return total / 255


def ssim_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Negative structural similarity to both sources.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13(4), 2004.
    """
    return -ssim(fused, a, b).mean()


def vif_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Negative visual information fidelity with respect to both sources.

    Source: Sheikh, Bovik, "Image information and visual quality", IEEE TIP 15(2), 2006, in the pixel domain.
    """
    return -vif(fused, a, b).mean()


def qabf_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Negative Qabf: the fraction of source edges preserved in strength and direction.

    Source: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 36(4), 2000.
    """
    return -qabf(fused, a, b).mean()


def scd_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Negative correlation of what was added to one source with the other.

    Source: Aslantas, Bendes, "A new image quality metric for image fusion: the sum of the correlations of
    differences", AEU 69(12), 2015.
    """
    return -scd(fused, a, b).mean()


def edge_recall_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Mean shortfall of edges unique to one source, relative to nine tenths of their strength.

    An edge is unique to one source where its gradient exceeds 6 levels per pixel and twice that of the other. This is
    the differentiable form of the metric `edge_recall`. Our choice.
    """
    return _shortfall_of_edges(fused, a, b, torch.ones_like(a, dtype=torch.bool))


def object_recall_loss(fused: Image255, a: Image255, b: Image255, objects: Bool[Tensor, "n 1 h w"]) -> Tensor:
    """`edge_recall_loss` within 4 pixels of labeled objects, to favor outlines of people over walls.

    Args:
        fused: fused luma, 0 to 255.
        a: luma of the first sources.
        b: luma of the second sources.
        objects: mask of the labeled objects.
    """
    near = dilate(objects.to(fused.dtype), 9) > 0
    return _shortfall_of_edges(fused, a, b, near)


def coarse_level_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Mean distance of the smoothed fused image to a smoothed target level that suits detectors, from 0 to 1.

    The target is half the mean of the sources and half the visible image with hot infrared pixels blended in, gradually
    from 30 to 70 levels above the infrared median. The Gaussian of 4 pixels leaves the detail unconstrained. Of the
    targets tried with the detail of this network, YOLOX-nano detected most with this one (docs/downstream.md). Our
    choice.
    """
    hot = ((a - quantile(a, 0.5) - 30) / 40).clamp(0, 1)
    wanted = (a + b) / 4 + (b + hot * (a - b).relu()) / 2
    return blur(fused - wanted, _SMOOTH, "replicate").abs().mean() / 255


def _shortfall_of_edges(fused: Image255, a: Image255, b: Image255, counted: Bool[Tensor, "n 1 h w"]) -> Tensor:
    total = fused.new_zeros(())
    of_fused, of_a, of_b = sobel_per_pixel(fused), sobel_per_pixel(a), sobel_per_pixel(b)
    for own, other in ((of_a, of_b), (of_b, of_a)):
        strength = own[0].square() + own[1].square()
        alone = counted & (strength > 36) & (strength > 4 * (other[0].square() + other[1].square()))
        arrived = (of_fused[0] * own[0] + of_fused[1] * own[1]) / strength.clamp(min=1)
        total = total + ((0.9 - arrived).relu() * alone).sum() / _count(alone)
    return total / 2


def hot_target_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Mean shortfall of hot pixels below the brighter source, or below the middle of the fused image if that is higher.

    As a fraction of the range. Hot pixels are those of `a` above its 95th percentile and more than 30 levels above its
    median; the middle is the fused median plus `HOT_TARGET_MARGIN`. This is the differentiable form of the metric
    `missed_targets`. Our choice.
    """
    targets = (a > quantile(a, 0.95)) & (a > quantile(a, 0.5) + 30)
    least = quantile(fused.detach(), 0.5) + HOT_TARGET_MARGIN
    missing: Tensor = ((torch.maximum(torch.maximum(a, b), least) - fused).relu() * targets).sum()
    return missing / _count(targets) / 255


def overshoot_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Mean excess of levels beyond the range of both sources in the surrounding 15x15 square.

    As a fraction of the range, beyond a margin of 3 levels. This is the differentiable form of the metric `overshoot`,
    which detects halos. Our choice.
    """
    above = fused - dilate(torch.maximum(a, b), 15) - 3
    below = erode(torch.minimum(a, b), 15) - 3 - fused
    return (above.relu() + below.relu()).mean() / 255


def spurious_edges_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Edges that neither source has, as a fraction of those of the stronger source: same as the metric."""
    return spurious_edges(fused, a, b).mean() / 100


def spurious_curvature_loss(fused: Image255, a: Image255, b: Image255) -> Tensor:
    """Coarse-scale curves that neither source has, as a fraction: same as the metric."""
    return spurious_curvature(fused, a, b).mean() / 100


def _count(mask: Tensor) -> Tensor:
    """Number of pixels in a mask, at least 1; averaged over the processes that share a batch.

    This makes the averaged gradient of the processes equal that of the whole batch.
    """
    count, processes = mask.sum(), 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes = torch.distributed.get_world_size()
        torch.distributed.all_reduce(count)
    return count.clamp(min=1) / processes


def sobel_per_pixel(x: Image255) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel gradients, in levels per pixel."""
    along_x, along_y = sobel(x)
    return along_x / 8, along_y / 8


TERMS: dict[str, Callable[[Image255, Image255, Image255], Tensor]] = {
    "intensity": intensity_loss,
    "gradient": gradient_loss,
    "ssim": ssim_loss,
    "vif": vif_loss,
    "qabf": qabf_loss,
    "scd": scd_loss,
    "edge_recall": edge_recall_loss,
    "hot_target": hot_target_loss,
    "overshoot": overshoot_loss,
    "spurious_edges": spurious_edges_loss,
    "spurious_curvature": spurious_curvature_loss,
    "coarse_level": coarse_level_loss,
}
"""Loss functions by their field in `LossWeights`."""


def fusion_loss(
    fused: Float[Tensor, "n 1 h w"],
    a: Float[Tensor, "n 1 h w"],
    b: Float[Tensor, "n 1 h w"],
    weights: LossWeights,
    crops_per_pair: int = 1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the terms, and each unweighted term.

    Args:
        fused: fused luma in [0, 1].
        a: luma of the first sources.
        b: luma of the second sources.
        weights: the weight of each term.
        crops_per_pair: number of consecutive crops that belong to one pair. `PER_PAIR_TERMS` are computed over all of
            them: computed per crop, they teach the network to shift the level of each crop separately, which lowers the
            correlation over the whole image.
    """
    planes = fused * 255, a * 255, b * 255
    together = tuple(x.reshape(-1, 1, crops_per_pair * x.shape[2], x.shape[3]) for x in planes)
    counts = asdict(weights)
    with caching():  # several terms share the local moments and gradients of the fused image
        terms = {name: TERMS[name](*(together if name in PER_PAIR_TERMS else planes)) for name in TERMS if counts[name]}
    total = sum((counts[name] * term for name, term in terms.items()), fused.new_zeros(()))
    return total, {name: term.detach() for name, term in terms.items()}
