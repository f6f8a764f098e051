"""A degraded second source, and what a fused image keeps of the scene all the same.

A method sees the degraded image, but every metric compares with the clean sources: what counts is how much of the scene
is in the result. The degradations are those that training meets (`refinefuse.data.degradations`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from refinefuse.data.degradations import DEGRADATIONS
from refinefuse.image.color import to_array, to_tensor, to_ycbcr
from refinefuse.image.pixels import Pixels
from refinefuse.metrics.caching import caching
from refinefuse.metrics.diagnostics import edge_recall_of, missed_targets
from refinefuse.metrics.structure import ssim


class DegradationLevel(NamedTuple):
    """A degradation and its severity, above 0 and at most 1; `CLEAN` is neither."""

    kind: str
    severity: float

    @property
    def folder(self) -> str:
        """What the folder of its images is called after the name of the set."""
        return "" if self == CLEAN else f"@{self.kind}-{self.severity:g}"


CLEAN = DegradationLevel("clean", 0.0)


def degrade(image: Pixels, degradation: DegradationLevel, name: str) -> Pixels:
    """The luma of an image under that degradation, in 8 bits, as a camera would give it.

    What is random (where lamps stand, the grain) depends on the kind and on `name` alone: the steps of an image differ
    in severity, not in luck.
    """
    seed = int.from_bytes(hashlib.sha256(f"{degradation.kind}/{name}".encode()).digest()[:8], "little")
    luma = to_ycbcr(to_tensor(image)).luma[0, 0].numpy()
    worse = DEGRADATIONS[degradation.kind](luma, degradation.severity, np.random.default_rng(seed))
    pixels: Pixels = to_array(to_tensor(worse.astype(np.float32)), np.uint8)
    return pixels


@dataclass(frozen=True)
class RobustnessMetric:
    """One curve of the study; higher is better for all."""

    key: str
    title: str


ROBUSTNESS_METRICS = (
    RobustnessMetric("hot_targets", "hot targets that stay bright (%)"),
    RobustnessMetric("infrared_edges", "infrared edges kept (%)"),
    RobustnessMetric("visible_edges", "visible edges kept (%)"),
    RobustnessMetric("ssim_to_clean", "similarity to the clean fusion (SSIM)"),
)


def keeps(fused: Tensor, a: Tensor, b: Tensor, clean: Tensor) -> Mapping[str, float]:
    """What an image that was fused in bad degradation keeps, by the keys of `ROBUSTNESS_METRICS`.

    Args:
        fused: (1, 1, h, w), levels 0..255.
        a: the first source.
        b: the second source as it is in good degradation.
        clean: what the method makes of `a` and `b`.
    """
    with caching(), torch.no_grad():
        values = {
            "hot_targets": 100 - missed_targets(fused, a, b),
            "infrared_edges": edge_recall_of(fused, a, b),
            "visible_edges": edge_recall_of(fused, b, a),
            "ssim_to_clean": ssim(fused, clean, clean) / 2,
        }
    return {key: float(value) for key, value in values.items()}
