"""Image fusion metrics: pure functions of tensors, a table of them, and the conventions of published tables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from refinefuse.metrics.caching import caching
from refinefuse.metrics.contrast import qcb, qcv
from refinefuse.metrics.conventions import CONVENTIONS, Convention
from refinefuse.metrics.detail import qm, qsf
from refinefuse.metrics.diagnostics import (
    edge_recall,
    gradient_reversal,
    missed_targets,
    noise_gain,
    overshoot,
    spurious_curvature,
    spurious_edges,
)
from refinefuse.metrics.evaluate import evaluate
from refinefuse.metrics.features import fmi_dct, fmi_edge, fmi_gradient, fmi_pixel, fmi_wavelet
from refinefuse.metrics.gradient import ei, labf, nabf, nabf_p, qabf, qabf_p, qg
from refinefuse.metrics.information import ce, en, mi, qmi, qncie, qte
from refinefuse.metrics.phase import qp
from refinefuse.metrics.similarity import qc, qe, qs, qw, qy
from refinefuse.metrics.statistics import ag, cc, mse, psnr, rmse, scd, sd, sf, var
from refinefuse.metrics.structure import mef_ms_ssim, ms_ssim, ssim
from refinefuse.metrics.table import COMMON, DIAGNOSTICS, METRICS, Metric
from refinefuse.metrics.vif import vif, viff

if TYPE_CHECKING:
    from refinefuse.metrics import torchmetrics

__all__ = [
    "COMMON",
    "CONVENTIONS",
    "DIAGNOSTICS",
    "METRICS",
    "Convention",
    "Metric",
    "ag",
    "caching",
    "cc",
    "ce",
    "edge_recall",
    "ei",
    "en",
    "evaluate",
    "fmi_dct",
    "fmi_edge",
    "fmi_gradient",
    "fmi_pixel",
    "fmi_wavelet",
    "gradient_reversal",
    "labf",
    "mef_ms_ssim",
    "mi",
    "missed_targets",
    "ms_ssim",
    "mse",
    "nabf",
    "nabf_p",
    "noise_gain",
    "overshoot",
    "psnr",
    "qabf",
    "qabf_p",
    "qc",
    "qcb",
    "qcv",
    "qe",
    "qg",
    "qm",
    "qmi",
    "qncie",
    "qp",
    "qs",
    "qsf",
    "qte",
    "qw",
    "qy",
    "rmse",
    "scd",
    "sd",
    "sf",
    "spurious_curvature",
    "spurious_edges",
    "ssim",
    "torchmetrics",
    "var",
    "vif",
    "viff",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the adapters for torchmetrics, which is an extra, when they are first used."""
    if name == "torchmetrics":
        return import_module("refinefuse.metrics.torchmetrics")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
