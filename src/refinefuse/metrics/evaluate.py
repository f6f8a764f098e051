"""Score fused pictures in many metrics at once, doing the common work once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.metrics import faults, gradient, information, perception, statistics, structure
from refinefuse.metrics.sharing import sharing
from refinefuse.metrics.statistics import Image, Score

_DEFAULT: dict[str, Callable[..., Tensor]] = {
    "EN": information.en, "SD": statistics.sd, "SF": statistics.sf, "AG": statistics.ag, "MI": information.mi, "SCD": statistics.scd,
    "VIF": perception.vif, "Qabf": gradient.qabf, "SSIM": structure.ssim,
    "kept": faults.kept, "lost": faults.lost, "inversion": faults.inversion, "overshoot": faults.overshoot, "noise": faults.noise,
}
_CDDFUSE: dict[str, Callable[..., Tensor]] = {
    "MI": partial(information.mi, unit="nats"),
    "Qabf": partial(gradient.qabf, ties="strength"),
    "SSIM": partial(structure.ssim, window="uniform7", data_range=2.0),
}
CONVENTIONS: dict[str, dict[str, Callable[..., Tensor]]] = {
    "default": {},
    "cddfuse": _CDDFUSE,
    "cddfuse255": {**_CDDFUSE, "SSIM": partial(structure.ssim, window="uniform7")},
}


def evaluate(
    fused: Image, a: Image, b: Image, *, metrics: Iterable[str] | None = None, convention: str = "default"
) -> dict[str, Score]:
    """Score a batch of triplets, in float64.

    Args:
        fused: the fused pictures, levels 0..255; rounded half up.
        a: the first sources (infrared, CT, PET, SPECT).
        b: the second sources (visible, MRI).
        metrics: keys of the metrics; all of them by default.
        convention: whose definitions.
    """
    if not fused.shape == a.shape == b.shape:
        raise InputError(
            "`fused`, `a` and `b` must have the same shape.\n"
            f"  fused: {tuple(fused.shape)}\n  a: {tuple(a.shape)}\n  b: {tuple(b.shape)}\nResize or crop them first."
        )
    rows = {**_DEFAULT, **CONVENTIONS[convention]}
    fused, a, b = ((x.double() + 0.5).floor().clamp(0, 255) for x in (fused, a, b))
    with sharing():
        return {key: rows[key](fused, a, b) for key in (metrics or rows)}
