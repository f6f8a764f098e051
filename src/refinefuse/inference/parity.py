"""Loss of quality by int8 quantization: calibration pairs, and differences of other pairs in levels and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError
from refinefuse.image.color import to_ycbcr
from refinefuse.inference.inputs import load_input
from refinefuse.inference.runtimes import FuseLike
from refinefuse.metrics import evaluate

CALIBRATION = 16
"""Number of calibration pairs; as many other pairs measure the loss of quality."""
METRICS = ("SCD", "VIF", "Qabf", "SSIM", "edge_recall", "missed_targets", "noise_gain")


@dataclass(frozen=True)
class QuantizationReport:
    """Loss of quality on real pairs by quantization.

    Attributes:
        num_pairs: number of measured pairs; none of them was used for calibration.
        mean: mean difference, in 8-bit levels.
        largest: largest difference, in levels.
        scores: mean in float32 and mean after quantization, by metric.
    """

    num_pairs: int
    mean: float
    largest: float
    scores: Mapping[str, tuple[float, float]]

    def to_markdown(self) -> str:
        """One sentence and a table of the metrics."""
        rows = (f"| {name} | {before:.3f} | {after:.3f} |" for name, (before, after) in self.scores.items())
        table = "\n".join(["| metric | float32 | int8 |", "|---|---|---|", *rows])
        return f"mean {self.mean:.2f} levels, at most {self.largest:.0f}, over {self.num_pairs} pairs.\n\n{table}"


def calibration_pairs(a: Path, b: Path) -> list[tuple[Tensor, Tensor]]:
    """Read up to twice `CALIBRATION` pairs of luma, evenly spaced over two folders of images with the same names.

    Raises:
        InputError: if fewer than two pairs have matching sizes.
    """
    pairs = pair_folders(a, b).pairs
    chosen = pairs[:: max(1, -(-len(pairs) // (2 * CALIBRATION)))]
    luma = [
        tuple(to_ycbcr(load_input(path, side).image).luma for side, path in (("a", p.a), ("b", p.b))) for p in chosen
    ]
    usable = [(x, y) for x, y in luma if x.shape == y.shape]
    if len(usable) < 2:
        raise InputError(
            "Calibration needs at least two pairs of the same size: one to calibrate, one to measure.\n"
            f"  got: {len(usable)} in '{a}' and '{b}'"
        )
    return usable


def quantization_report(
    expected: FuseLike, got: FuseLike, pairs: Iterable[tuple[Tensor, Tensor]]
) -> QuantizationReport:
    """Measure the loss of quality on real pairs.

    Args:
        expected: the network in torch.
        got: the quantized network.
        pairs: inputs for both.
    """
    means, largest, scores = [], [], []
    for a, b in pairs:
        images = [to_ycbcr(network(a, b)[:1]).luma for network in (expected, got)]
        difference = 255 * (images[0] - images[1]).abs()
        means.append(float(difference.mean()))
        largest.append(float(difference.max()))
        rounded = torch.cat([(255 * image).round() for image in images])
        sources = (255 * to_ycbcr(x[:1]).luma.expand_as(rounded) for x in (a, b))
        rows = evaluate(rounded, *sources, metrics=METRICS)
        scores.append(torch.stack([rows[name] for name in METRICS]))
    both = torch.stack(scores).mean(0)
    table = {name: (float(row[0]), float(row[1])) for name, row in zip(METRICS, both, strict=True)}
    return QuantizationReport(len(means), sum(means) / len(means), max(largest), table)
