"""The table of metrics, one row each. To add a metric, write a function and add a row."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from refinefuse.metrics import (
    contrast,
    detail,
    diagnostics,
    features,
    gradient,
    information,
    phase,
    similarity,
    statistics,
    structure,
    vif,
)
from refinefuse.metrics.statistics import MetricValue

Function = Callable[..., MetricValue]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: the name by which it is requested and printed.
        function: (fused, a, b) -> (n,), the default definition.
        higher_is_better: True, False, or None where the value `ideal` is best.
        lower_bound: the lowest possible value.
        upper_bound: the highest possible value.
        sources: whether it uses the sources at all.
        symmetric: whether swapping `a` and `b` leaves it unchanged.
        caveat: when a better value does not mean a better image.
        min_size: the minimum side of the image, in pixels.
        ideal: the best value if neither the highest nor the lowest is best, else None.
    """

    key: str
    function: Function
    higher_is_better: bool | None
    lower_bound: float
    upper_bound: float
    sources: bool
    symmetric: bool
    caveat: str
    min_size: int = 2
    ideal: float | None = None

    def penalty(self, value: float) -> float:
        """A number that is smaller for better values, so that all metrics sort in the same order."""
        if self.ideal is not None:
            return abs(value - self.ideal)
        return -value if self.higher_is_better else value

    @property
    def summary(self) -> str:
        """What it measures: the first sentence of its docstring."""
        return _paragraphs(self.function)[0]

    @property
    def source(self) -> str:
        """Where it was published: the `Source:` of its docstring."""
        found = next(text for text in _paragraphs(self.function) if text.startswith("Source: "))
        found = found.removeprefix("Source: ").split(" Differs from ")[0].rstrip(".")
        reference = re.fullmatch(r"as (\w+)(.*)", found)
        return METRICS[_by_name(reference[1])].source + reference[2] if reference else found

    @property
    def differs_from(self) -> str:
        """What it differs from: the `Differs from` in its docstring, or an empty string."""
        text = " ".join(_paragraphs(self.function))
        return text[text.index("Differs from ") :].split(" Args:")[0] if "Differs from " in text else ""


def _paragraphs(function: Function) -> list[str]:
    text = inspect.getdoc(function) or ""
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _by_name(name: str) -> str:
    return next(key for key in METRICS if re.sub(r"\W", "_", key) == name)


_INF = math.inf
_NOISE = "Noise and sharpening raise it; it ignores the sources."
_COPY = "A plain copy of one source scores best, or nearly."
_HISTOGRAM = "Blind to position; a copy of one source scores best."
_BLUR = "A blurred image scores best."
_FLAT = "Agreement in flat areas counts as much as on a target."

_ROWS = (
    Metric("EN", information.en, True, 0, 8, False, True, "Noise and contrast stretching raise it."),
    Metric("SD", statistics.sd, True, 0, 127.5, False, True, "Contrast stretching, vignetting and noise raise it."),
    Metric("VAR", statistics.var, True, 0, 127.5**2, False, True, "As SD."),
    Metric("SF", statistics.sf, True, 0, 255 * 2**0.5, False, True, _NOISE),
    Metric("AG", statistics.ag, True, 0, 255, False, True, _NOISE),
    Metric("EI", gradient.ei, True, 0, 1020 * 2**0.5, False, True, _NOISE),
    Metric("MI", information.mi, True, 0, 16, True, True, _HISTOGRAM),
    Metric("QMI", information.qmi, True, 0, 2, True, True, _HISTOGRAM),
    Metric("QNCIE", information.qncie, True, 0, 1, True, True, "Hardly varies: 0.80 to 0.83. " + _HISTOGRAM),
    Metric("QTE", information.qte, True, -_INF, _INF, True, True, _HISTOGRAM),
    Metric("CE", information.ce, False, -_INF, _INF, True, True, "Blind to position."),
    Metric("FMI_pixel", features.fmi_pixel, True, 0, 1, True, True, "All windows count the same, including "
    "flat ones.", 3),
    Metric("FMI_gradient", features.fmi_gradient, True, 0, 1, True, True, "As FMI_pixel.", 3),
    Metric("FMI_edge", features.fmi_edge, True, 0, 1, True, True, "Mostly counts windows without any edge.", 3),
    Metric("FMI_dct", features.fmi_dct, True, 0, 1, True, True, "Dominated by high-frequency noise.", 3),
    Metric("FMI_wavelet", features.fmi_wavelet, True, 0, 1, True, True, "As FMI_dct.", 3),
    Metric("CC", statistics.cc, True, -1, 1, True, True, "An average of the sources is close to the best."),
    Metric("SCD", statistics.scd, True, -2, 2, True, True, "A weighted sum with stretched contrast scores best."),
    Metric("MSE", statistics.mse, False, 0, 255**2, True, True, "The average of the sources is optimal."),
    Metric("RMSE", statistics.rmse, False, 0, 255, True, True, "As MSE."),
    Metric("PSNR", statistics.psnr, True, 0, _INF, True, True, "As MSE."),
    Metric("SSIM", structure.ssim, True, -2, 2, True, True, "Rewards low-contrast averages. " + _FLAT, 11),
    Metric("MS-SSIM", structure.ms_ssim, True, 0, 2, True, True, "As SSIM.", 161),
    Metric("MEF-MS-SSIM", structure.mef_ms_ssim, True, 0, 1, True, True, "Blind to local brightness.", 41),
    Metric("VIF", vif.vif, True, 0, _INF, True, True, _COPY + " Contrast and halos raise it.", 17),
    Metric("VIFF", vif.viff, True, 0, _INF, True, False, "Contrast and halos raise it.", 41),
    Metric("Qabf", gradient.qabf, True, 0, 0.9994 * 0.9879, True, True, _COPY),
    Metric("Qabf_p", gradient.qabf_p, True, 0, 1, True, True, _COPY),
    Metric("Labf", gradient.labf, False, 0, 1, True, True, "Small if everything is sharpened."),
    Metric("Nabf", gradient.nabf, False, 0, 1, True, True, _BLUR),
    Metric("Nabf_p", gradient.nabf_p, False, 0, 2, True, True, "As Nabf."),
    Metric("QG", gradient.qg, True, 0, 0.9994 * 0.9879, True, True, _COPY),
    Metric("QM", detail.qm, True, 0, 3, True, True, "Requires exact coefficients: " + _COPY.lower(), 4),
    Metric("QSF", detail.qsf, None, -1, _INF, True, True, "Noise can make up for lost detail.", ideal=0.0),
    Metric("QP", phase.qp, True, -1, 1, True, True, "Blind to contrast: a weak edge counts as a strong one."),
    Metric("QS", similarity.qs, True, -1, 1, True, True, _FLAT, 8),
    Metric("QW", similarity.qw, True, -1, 1, True, True, "The source with more contrast decides.", 8),
    Metric("QE", similarity.qe, True, -1, 1, True, True, "As QW.", 8),
    Metric("QC", similarity.qc, True, -1, 1, True, True, _COPY, 8),
    Metric("QY", similarity.qy, True, -1, 1, True, True, _COPY, 7),
    Metric("QCV", contrast.qcv, False, 0, _INF, True, True, "One strong block can dominate, because of fifth powers."),
    Metric("QCB", contrast.qcb, True, 0, 1, True, True, "Arbitrary on black backgrounds."),
    Metric("edge_recall", diagnostics.edge_recall, True, 0, 100, True, True, "Ignores noise and halos."),
    Metric("missed_targets", diagnostics.missed_targets, False, 0, 100, True, False, "Assumes white-hot images."),
    Metric("gradient_reversal", diagnostics.gradient_reversal, False, 0, 100, True, True, "Few, low-contrast pixels."),
    Metric("overshoot", diagnostics.overshoot, False, 0, 100, True, True, "Blind to halos within the local range."),
    Metric("noise_gain", diagnostics.noise_gain, None, 0, _INF, True, True, "Blur lowers it below 1.", 4, ideal=1.0),
    Metric("spurious_edges", diagnostics.spurious_edges, False, 0, _INF, True, True, _BLUR, 17),
    Metric("spurious_curvature", diagnostics.spurious_curvature, False, 0, _INF, True, True, "As spurious_edges.", 17),
)  # fmt: skip

METRICS: dict[str, Metric] = {row.key: row for row in _ROWS}
COMMON = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")
"""The nine columns of most published tables: the common metrics."""
DIAGNOSTICS = (
    "edge_recall",
    "missed_targets",
    "gradient_reversal",
    "overshoot",
    "noise_gain",
    "spurious_edges",
    "spurious_curvature",
)
"""What those nine do not measure: the diagnostic metrics."""
