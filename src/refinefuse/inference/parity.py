"""How far another form of a network is from the one in torch: in levels, and in what the metrics see."""

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
from refinefuse.metrics import evaluate
from refinefuse.network.fusion_model import FusionModel

LIMIT = 1.0
"""Levels by which an exported network in float32 may differ from torch."""
CALIBRATION = 16
"""Pairs that scale the integers; as many others measure what was lost."""
SIZES = ((480, 640), (161, 250), (33, 17), (1, 1))
"""A usual size, two that no stride divides, and the smallest."""
SIZES_SAID = ", ".join(f"{height} x {width}" for height, width in SIZES)
METRICS = ("SCD", "VIF", "Qabf", "SSIM", "edge_recall", "missed_targets", "noise_gain")


@dataclass(frozen=True)
class Losses:
    """What real pairs lose.

    Attributes:
        mean: mean difference, in 8-bit levels.
        largest: largest difference, in levels.
        scores: of each of `METRICS`, the mean in torch and that of the other form.
    """

    mean: float
    largest: float
    scores: Mapping[str, tuple[float, float]]

    def said(self) -> str:
        """In words and a table in Markdown."""
        rows = (f"| {name} | {before:.3f} | {after:.3f} |" for name, (before, after) in self.scores.items())
        table = "\n".join(["| metric | float32 | int8 |", "|---|---|---|", *rows])
        return f"mean {self.mean:.2f} levels, at most {self.largest:.0f}.\n\n{table}"


@torch.inference_mode()
def fused(painter: FusionModel, a: Tensor, b: Tensor) -> Tensor:
    """The fused luma (1, 1, h, w) in [0, 1]."""
    return painter.predict(a, b, painter.encode_context(a, b)).fused


def max_abs_difference(expected: FusionModel, got: FusionModel) -> float:
    """The largest difference in 8-bit levels over random images of `SIZES`: every value meets every other there."""
    noise = torch.Generator().manual_seed(0)
    pairs = [torch.rand(2, 1, 1, *size, generator=noise) for size in SIZES]
    return max(255 * float((fused(expected, *pair) - fused(got, *pair)).abs().max()) for pair in pairs)


def check_equivalence(expected: FusionModel, got: FusionModel) -> float:
    """`max_abs_difference`, if it is within `LIMIT`.

    Raises:
        InputError: if it is not.
    """
    apart = max_abs_difference(expected, got)
    if not apart <= LIMIT:
        raise InputError(
            f"The exported network differs from torch: nothing was written.\n  expected: at most {LIMIT:g} level\n"
            f"  got: {apart:.3g} levels, over images of {SIZES_SAID}\n"
            "Try another --opset or version of onnxruntime."
        )
    return apart


def calibration_pairs(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """At most twice `CALIBRATION` pairs of luma, evenly over the folders `ir` and `vi` (or `a` and `b`) of a folder.

    Raises:
        InputError: if the folders are not there, or hold fewer than two pairs.
    """
    named = [names for names in (("ir", "vi"), ("a", "b")) if all((folder / name).is_dir() for name in names)]
    if not named:
        raise InputError(f"'{folder}' must hold two folders of pairs, named `ir` and `vi`, or `a` and `b`.")
    pairs = pair_folders(*(folder / name for name in named[0])).pairs
    chosen = pairs[:: max(1, -(-len(pairs) // (2 * CALIBRATION)))]
    luma = [
        tuple(to_ycbcr(load_input(path, side).image).luma for side, path in (("a", p.a), ("b", p.b))) for p in chosen
    ]
    usable = [(a, b) for a, b in luma if a.shape == b.shape]
    if len(usable) < 2:
        raise InputError(
            f"Two pairs of one size are needed at least: one to scale, one to measure.\n  '{folder}': {len(usable)}"
        )
    return usable


def losses(expected: FusionModel, got: FusionModel, pairs: Iterable[tuple[Tensor, Tensor]]) -> Losses:
    """What real pairs lose.

    Args:
        expected: the network in torch.
        got: its other form.
        pairs: luma (1, 1, h, w) in [0, 1].
    """
    means, largest, scores = [], [], []
    for a, b in pairs:
        images = [fused(painter, a, b) for painter in (expected, got)]
        apart = 255 * (images[0] - images[1]).abs()
        means.append(float(apart.mean()))
        largest.append(float(apart.max()))
        rounded = torch.cat([(255 * image).round() for image in images])
        rows = evaluate(rounded, *(255 * x.expand_as(rounded) for x in (a, b)), metrics=METRICS)
        scores.append(torch.stack([rows[name].double().reshape(2, -1).mean(1) for name in METRICS]))
    both = torch.stack(scores).mean(0)
    table = {name: (float(row[0]), float(row[1])) for name, row in zip(METRICS, both, strict=True)}
    return Losses(sum(means) / len(means), max(largest), table)
