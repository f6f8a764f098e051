"""Evaluate fused images in many metrics at once; work that several metrics need is done once."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias, Union

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.filters import LUMA
from refinefuse.metrics.caching import caching
from refinefuse.metrics.conventions import Convention, chosen_metrics, convention_named
from refinefuse.metrics.statistics import MetricValue

if TYPE_CHECKING:
    import numpy as np

MetricInput: TypeAlias = Union[Tensor, "np.ndarray"]
"""Gray levels 0..255 of any number type: tensors (n, c, h, w), (c, h, w) or (h, w), or arrays (h, w) or (h, w, c)."""


def evaluate(
    fused: MetricInput,
    a: MetricInput,
    b: MetricInput,
    *,
    metrics: str | Iterable[str] = "common",
    convention: str = "default",
) -> dict[str, MetricValue]:
    """Evaluate fused images against their sources in float64, as if saved with 8 bits (levels are rounded half up).

    If all three images are RGB, each channel is scored and the scores are averaged, as VIFB does. If only some are RGB
    (a gray infrared image with a color visible one), their luma (BT.601) is scored. Constant images have defined
    scores: 0 for a correlation, 1 for the fidelity to a constant source. NaN occurs only with `liu2012` (QC and QY in
    flat regions) and for a metric whose window does not fit.

    Args:
        fused: the fused images, levels 0..255, gray or RGB.
        a: the first sources: infrared, CT, PET, SPECT.
        b: the second sources: visible, MRI.
        metrics: keys in upper or lower case, or the groups `common` (nine), `diagnostics`, `all` and `convention`
            (those that the convention defines).
        convention: whose definitions to use; see `refinefuse.metrics.CONVENTIONS`. Metrics that it does not define are
            computed by their default definitions.

    Returns:
        One value per metric and triplet, (n,). If the image is too small for a metric, NaN, with a warning.

    Raises:
        InputError: if the shapes differ, the levels are not 0..255, or a name is unknown.

    Example:
        >>> import torch
        >>> a, b = torch.rand(2, 1, 1, 64, 64).mul(255).round()
        >>> scores = evaluate((a + b) / 2, a, b, metrics=["MI", "VIF", "edge_recall"], convention="cddfuse")
        >>> {key: tuple(value.shape) for key, value in scores.items()}
        {'MI': (1,), 'VIF': (1,), 'edge_recall': (1,)}
    """
    rules = convention_named(convention)
    keys = chosen_metrics(metrics, rules)
    triplet = _prepared(fused, a, b)
    n, channels, *size = triplet[0].shape
    keys, too_large = _fitting(keys, rules, min(size))
    by_channel = [_score([x[:, c : c + 1].contiguous() for x in triplet], keys, rules) for c in range(channels)]
    scores = {key: torch.stack([channel[key] for channel in by_channel]).mean(0) for key in keys}
    if channels > 1:
        wide = [torch.cat(torch.split(x, 1, 1), -1) for x in triplet]
        scores |= _score(wide, [key for key in keys if key in rules.side_by_side], rules)
    return scores | {key: triplet[0].new_full((n,), float("nan")) for key in too_large}


def _score(triplet: list[Tensor], keys: list[str], rules: Convention) -> dict[str, MetricValue]:
    with caching(), torch.no_grad():
        return {key: rules.function(key)(*triplet) for key in keys}


def _fitting(keys: list[str], rules: Convention, side: int) -> tuple[list[str], list[str]]:
    """The metrics whose windows fit into an image with that shortest side, and the others; warn about the others."""
    too_large = [key for key in keys if rules.min_size(key) > side]
    if too_large:
        needs = ", ".join(f"{key} ({rules.min_size(key)})" for key in too_large)
        warnings.warn(
            f"The images are too small for some metrics, which are NaN: {needs}. In parentheses: the shortest "
            "side that "
            f"each needs; got: {side} pixels.",
            stacklevel=3,
        )
    return [key for key in keys if key not in too_large], too_large


def _prepared(fused: MetricInput, a: MetricInput, b: MetricInput) -> list[Float[Tensor, "n c h w"]]:
    """The three images in one layout, in float64 and rounded."""
    triplet = [_batch(x) for x in (fused, a, b)]
    _check_shapes(triplet)
    _check_levels(triplet)
    if len({x.shape[1] for x in triplet}) > 1:
        triplet = [_luma(x) for x in triplet]
    return [torch.floor(x + 0.5) for x in triplet]


def _batch(x: MetricInput) -> Float[Tensor, "n c h w"]:
    if isinstance(x, Tensor):
        batch = x.detach()
    else:
        try:
            batch = torch.from_numpy(x.copy())  # a copy may be written to, and has no negative strides
        except (AttributeError, TypeError) as error:
            raise InputError(
                f"Images must be numbers.\n  expected: numpy arrays or torch tensors\n  got: {type(x).__name__}"
            ) from error
        batch = batch.movedim(-1, 0) if batch.ndim == 3 else batch
    return batch.double()[(None,) * max(0, 4 - batch.ndim)]


def _luma(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def _check_shapes(triplet: list[Tensor]) -> None:
    sizes = {(len(x), *x.shape[2:]) for x in triplet}
    if len(sizes) > 1 or any(x.ndim != 4 or x.shape[1] not in (1, 3) or not x.numel() for x in triplet):
        lines = [f"  {name}: {tuple(x.shape)}" for name, x in zip(("fused", "a", "b"), triplet, strict=True)]
        raise InputError(
            "`fused`, `a` and `b` must be gray or RGB images of the same size: (n, 1, h, w) or (n, 3, h, w).\n"
            + "\n".join(lines)
            + "\nCrop or register the images first; they are not resized here."
        )


def _check_levels(triplet: list[Tensor]) -> None:
    low, high = (getattr(torch.stack([getattr(x, side)() for x in triplet]), side)() for side in ("min", "max"))
    if not (low >= 0 and high <= 255):
        raise InputError(
            f"Metrics are defined on 8-bit levels.\n  expected: 0 to 255\n  got: {float(low):g} to {float(high):g}\n"
            "Divide 16-bit levels by 257, and clip what lies outside."
        )
    if high <= 1 and any(bool((x != x.round()).any()) for x in triplet):
        raise InputError(
            "Metrics are defined on 8-bit levels.\n  expected: 0 to 255\n"
            f"  got: {float(low):g} to {float(high):g}, with fractions\nMultiply images in [0, 1] by 255."
        )
