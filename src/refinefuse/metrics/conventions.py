"""Conventions: the definitions of the metrics behind each family of published tables.

A convention is a table of variants. The published tables of that family do not contain the metrics that it does not
list; if requested, these are computed by the default definition, so that every table can include the diagnostic
metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from refinefuse.errors import InputError, format_names
from refinefuse.metrics import gradient, information, similarity, statistics, steerable, structure, vif
from refinefuse.metrics.table import COMMON, DIAGNOSTICS, METRICS, Function


@dataclass(frozen=True)
class Variant:
    """A definition that differs from the default.

    Attributes:
        function: (fused, a, b) -> (n,).
        note: the difference, in a few words.
        min_size: the minimum side of the image, if it differs from the default.
    """

    function: Function
    note: str
    min_size: int | None = None


SAME = None
"""In a convention's table: the default definition."""


@dataclass(frozen=True)
class Convention:
    """The definitions behind a family of tables.

    Attributes:
        key: its name.
        used_by: the papers and programs that use it.
        variants: its metrics, each with its variant or `SAME`.
        side_by_side: metrics computed on the color channels side by side, as one wide image.
    """

    key: str
    used_by: str
    variants: Mapping[str, Variant | None] = field(default_factory=dict)
    side_by_side: frozenset[str] = frozenset()

    def function(self, key: str) -> Function:
        """The function that computes a metric."""
        variant = self.variants.get(key)
        return METRICS[key].function if variant is None else variant.function

    def min_size(self, key: str) -> int:
        """The minimum side of the image for a metric."""
        variant = self.variants.get(key)
        return METRICS[key].min_size if variant is None or variant.min_size is None else variant.min_size


def _same(*keys: str) -> dict[str, Variant | None]:
    return dict.fromkeys(keys, SAME)


_NATS = Variant(partial(information.mi, base=math.e), "in nats")
_INNER = Variant(partial(statistics.ag, divisor="inner"), "divided by (h-1)(w-1)")
_PIXELS = Variant(partial(statistics.sf, divisor="pixels"), "both sums divided by h w")
_TIES = Variant(partial(gradient.qabf, ties="strength"), "equal edges are weighted by their strength")
_TIES_01 = Variant(
    partial(gradient.qabf, ties="strength", peak=1.0), "on 0..1, equal edges are weighted by their strength"
)
_MSE_01 = Variant(partial(statistics.mse, peak=1.0), "on 0..1")
_PSNR_48 = Variant(partial(statistics.psnr, gain=20 * math.log10(255)), "48.13 dB higher: error on 0..1, peak 255")
_SWAPPED = Variant(partial(gradient.nabf, order="fused last"), "scores `a` as the fused image")
_MERGED = Variant(partial(information.mi, merge_top=True), "level 255 counts as 254 in the joint histogram")
_UNIFORM_2 = Variant(partial(structure.ssim, window="uniform7", data_range=2.0), "uniform 7x7, data range 2")
_UNIFORM_255 = Variant(partial(structure.ssim, window="uniform7"), "uniform 7x7")
_MEAN = Variant(partial(structure.ssim, border="replicate", reduce="mean"), "replicated border, mean")
_MEAN_1 = Variant(
    partial(structure.ssim, border="replicate", data_range=1.0, reduce="mean"), "replicated border, data range 1, mean"
)

_SINGLE: dict[str, Any] = {"window": "gauss11 single", "data_range": 1.0, "reduce": "mean"}
_CDDFUSE: dict[str, Variant | None] = {
    **_same("EN", "SD", "SF", "AG", "MSE", "CC", "SCD", "VIF"),
    "MI": _NATS,
    "PSNR": Variant(partial(statistics.psnr, peak="fused"), "the peak is the maximum of the fused image"),
    "Qabf": _TIES,
    "SSIM": _UNIFORM_2,
}
_TANG: dict[str, Variant | None] = {
    **_same("EN", "SD", "SF", "CC", "SCD", "VIF", "MEF-MS-SSIM"),
    **_same("FMI_pixel", "FMI_gradient", "FMI_edge", "FMI_dct", "FMI_wavelet"),
    "AG": _INNER,
    "MI": _MERGED,
    "MSE": _MSE_01,
    "PSNR": _PSNR_48,
    "Qabf": _TIES,
    "Nabf": _SWAPPED,
    "SSIM": _MEAN_1,
}
_LIU = {
    "QMI": Variant(partial(information.qmi, stretch=True), "images stretched to 0..255"),
    "QTE": Variant(partial(information.qte, swapped=True), "marginal histograms swapped"),
    "QG": Variant(partial(gradient.qg, form="liu2012"), "mean over pixels; flat pixels score 1"),
    "QS": Variant(partial(similarity.qs, form="liu2012"), "Gaussian 11x11, constants of SSIM"),
    "QW": Variant(partial(similarity.qw, form="liu2012"), "Gaussian 11x11, constants of SSIM"),
    "QC": Variant(partial(similarity.qc, form="liu2012"), "Gaussian 7x7, NaN in flat areas"),
    "QY": Variant(partial(similarity.qy, form="liu2012"), "NaN in flat areas"),
}

_ROWS = (
    Convention(
        "default", "The definitions of this package: each metric as in its paper, on levels 0..255.", _same(*METRICS)
    ),
    Convention("cddfuse", "CDDFuse, DDFM, EMMA and all tables computed with CDDFuse's Evaluator.", _CDDFUSE),
    Convention(
        "cddfuse255",
        "As `cddfuse`, but with a current scikit-image and SSIM's data range set to 255.",
        {**_CDDFUSE, "SSIM": _UNIFORM_255},
    ),
    Convention("tang", "Tang's MATLAB code since March 2023.", _TANG),
    Convention(
        "tang2022",
        "Tang's MATLAB code before March 2023: SeAFusion, PIAFusion and other papers of that time.",
        {
            **_TANG,
            "SD": Variant(partial(statistics.sd, form="uint8"), "in 8-bit arithmetic, which counts only bright pixels"),
            "SF": Variant(partial(statistics.sf, peak=1.0), "on 0..1"),
            "VIF": Variant(partial(vif.vif, saturated=True), "products of levels clipped at 255"),
            "Qabf": _TIES_01,
            "SSIM": _MEAN,
        },
    ),
    Convention(
        "tang_py",
        "Tang's Python port, as commonly redistributed.",
        {
            **_same("SD", "SF", "MI", "CC", "SCD", "VIF"),
            "EN": Variant(partial(information.en, offset=1e-7), "1e-7 inside the logarithm"),
            "AG": _INNER,
            "MSE": _MSE_01,
            "PSNR": _PSNR_48,
            "Qabf": _TIES,
            "Nabf": Variant(partial(gradient.nabf, weak_weight=0.0), "weak edges do not count"),
            "SSIM": Variant(partial(structure.ssim, **_SINGLE), "data range 1, single precision, mean"),
            "MS-SSIM": Variant(partial(structure.ms_ssim, **_SINGLE), "data range 1, single precision, mean"),
        },
    ),
    Convention(
        "li",
        "H. Li's MATLAB code: DenseFuse, NestFuse, RFN-Nest.",
        {
            **_same("EN", "SCD", "MEF-MS-SSIM"),
            "SD": Variant(partial(statistics.sd, form="sum01"), "root of the sum of squares on 0..1"),
            "VIF": Variant(steerable.vif_steerable, "wavelet VIF, on 0..1, mean", min_size=steerable.SMALLEST),
            "MI": Variant(information.mi_twice_entropy, "twice EN, regardless of the sources"),
            "Qabf": _TIES_01,
            "Nabf": Variant(partial(gradient.nabf, peak=1.0), "on 0..1: all edges have the same weight"),
            "SSIM": _MEAN,
        },
    ),
    Convention(
        "vifb",
        "The benchmarks VIFB and MEFB. Their tables treat each channel of a color image separately.",
        {
            **_same("EN", "CE", "EI", "SSIM", "QCB", "QCV"),
            "MI": Variant(partial(information.mi, base=math.e, stretch=True), "in nats, images stretched to 0..255"),
            "AG": _INNER,
            "SF": _PIXELS,
            "VAR": Variant(statistics.sd, "equals SD"),
            "RMSE": Variant(statistics.rmse_vifb, "root of the sum over h w"),
            "PSNR": Variant(statistics.psnr_vifb, "from its own RMSE"),
            "Qabf": _TIES,
        },
        side_by_side=frozenset({"SF"}),
    ),
    Convention(
        "liu2012",
        "Z. Liu et al., TPAMI 2012: the Q metrics as computed by their MATLAB code.",
        {**_same("QNCIE", "QM", "QSF", "QP", "QCV", "QCB"), **_LIU},
    ),
)
CONVENTIONS: dict[str, Convention] = {row.key: row for row in _ROWS}


def convention_named(key: str) -> Convention:
    """The convention with that name (case-insensitive).

    Raises:
        InputError: if the name is unknown.
    """
    if key.lower() not in CONVENTIONS:
        raise InputError(f"Unknown convention '{key}'.\n  expected: {', '.join(CONVENTIONS)}\n  got: {key}")
    return CONVENTIONS[key.lower()]


def chosen_metrics(keys: str | Iterable[str], convention: Convention) -> list[str]:
    """The requested metrics in the requested order, in canonical spelling.

    Args:
        keys: one or more keys in upper or lower case, or the groups `common`, `diagnostics`, `all` and `convention`.
        convention: the convention that `convention` refers to.

    Raises:
        InputError: if a name is unknown.
    """
    keys = [keys] if isinstance(keys, str) else list(keys)
    groups = {
        "common": list(COMMON),
        "diagnostics": list(DIAGNOSTICS),
        "all": list(METRICS),
        "convention": list(convention.variants),
    }
    spelling = {key.lower(): [key] for key in METRICS} | groups
    unknown = [key for key in keys if key.lower() not in spelling]
    if unknown:
        raise InputError(
            f"Unknown metrics:\n{format_names(unknown)}\n  expected: {', '.join([*METRICS, *groups])}\n"
            "`refinefuse metrics` describes each one."
        )
    return list(dict.fromkeys(found for key in keys for found in spelling[key.lower()]))
