"""MetricValue fused images in many metrics at once, doing the common work once."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.metrics.caching import caching
from refinefuse.metrics.conventions import Convention, chosen_metrics, convention_named
from refinefuse.metrics.statistics import MetricValue


def evaluate(
    fused: Float[Tensor, "n c h w"],
    a: Float[Tensor, "n c h w"],
    b: Float[Tensor, "n c h w"],
    *,
    metrics: Iterable[str] | None = None,
    convention: str = "default",
) -> dict[str, MetricValue]:
    """MetricValue a batch of triplets in float64, as saved 8-bit images: levels are rounded half up first.

    What a constant image scores is defined: 0 for a correlation, 1 for the fidelity to a source that holds nothing.
    NaN comes from `liu2012` alone (QC and QY on flat ground), and for a metric whose window does not fit.

    Args:
        fused: the fused images, levels 0..255; luma (c = 1), or RGB (c = 3), whose channels are scored by themselves
            and averaged, as VIFB does.
        a: the first sources: infrared, CT, PET, SPECT.
        b: the second sources: visible, MRI.
        metrics: keys of the metrics, in any case; `usual`, `faults` and `all` stand for several; by default those that
            the convention defines; any other is computed by its default definition.
        convention: whose definitions; see `refinefuse.metrics.conventions`.

    Returns:
        A value for each metric and triplet. A metric whose smallest image is larger is NaN, with a warning.

    Raises:
        InputError: the shapes differ, the levels are not 0..255, or a name is unknown.

    Example:
        >>> import torch
        >>> a, b = torch.rand(2, 1, 1, 64, 64).mul(255).round()
        >>> scores = evaluate((a + b) / 2, a, b, metrics=["MI", "VIF", "diagnostics"], convention="cddfuse")
        >>> list(scores)
        ['MI', 'VIF', 'edge_recall', 'missed_targets', 'gradient_reversal', 'overshoot', 'noise_gain']
    """
    rules = convention_named(convention)
    keys = chosen_metrics(None if metrics is None else list(metrics), rules)
    _check(fused, a, b)
    triplet = [(x.detach().double() + 0.5).floor() for x in (fused, a, b)]
    keys, too_large = _fitting(keys, rules, min(fused.shape[-2:]))
    by_channel = [_score([x[:, c : c + 1].contiguous() for x in triplet], keys, rules) for c in range(fused.shape[1])]
    scores = {key: torch.stack([channel[key] for channel in by_channel]).mean(0) for key in keys}
    if fused.shape[1] > 1:
        wide = [torch.cat(torch.split(x, 1, 1), -1) for x in triplet]
        scores |= _score(wide, [key for key in keys if key in rules.side_by_side], rules)
    return scores | {key: fused.new_full((len(fused),), float("nan"), dtype=torch.float64) for key in too_large}


def _score(triplet: list[Tensor], keys: list[str], rules: Convention) -> dict[str, MetricValue]:
    with caching(), torch.no_grad():
        return {key: rules.function(key)(*triplet) for key in keys}


def _fitting(keys: list[str], rules: Convention, side: int) -> tuple[list[str], list[str]]:
    """The metrics that a image with that shortest side can be scored in, and the others, of which it warns."""
    too_large = [key for key in keys if rules.min_size(key) > side]
    if too_large:
        needs = ", ".join(f"{key} ({rules.min_size(key)})" for key in too_large)
        warnings.warn(
            f"The images are too small for some metrics, which are NaN: {needs}. In brackets the smallest side; "
            f"found: {side} pixels.",
            stacklevel=3,
        )
    return [key for key in keys if key not in too_large], too_large


def _check(fused: Tensor, a: Tensor, b: Tensor) -> None:
    if not fused.shape == a.shape == b.shape or fused.ndim != 4 or fused.shape[1] not in (1, 3) or not fused.numel():
        raise InputError(
            "`fused`, `a` and `b` must have one shape, (n, 1, h, w) or (n, 3, h, w).\n"
            f"  fused: {tuple(fused.shape)}\n  a: {tuple(a.shape)}\n  b: {tuple(b.shape)}\n"
            "Crop or register the images first; none is resized here."
        )
    low, high = (getattr(torch.stack([getattr(x, side)() for x in (fused, a, b)]), side)() for side in ("min", "max"))
    if not (low >= 0 and high <= 255):
        raise InputError(
            f"Metrics are defined on 8-bit levels.\n  expected: 0 to 255\n  found: {float(low):g} to {float(high):g}\n"
            "Divide 16-bit levels by 257; clip what lies outside."
        )
    if high <= 1 and any(bool((x != x.round()).any()) for x in (fused, a, b)):
        raise InputError(
            "Metrics are defined on 8-bit levels.\n  expected: 0 to 255\n"
            f"  found: {float(low):g} to {float(high):g}, with fractions\nMultiply images in [0, 1] by 255."
        )
