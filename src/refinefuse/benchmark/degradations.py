"""Robustness to degradations of the second source.

A method fuses the degraded image, but every metric compares its result with the clean sources, to measure how much of
the scene is preserved. The degradations are those used in training (`refinefuse.data.degradations`).
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
    """A degradation and its severity, above 0 and at most 1; `CLEAN` means no degradation."""

    kind: str
    severity: float

    @property
    def folder(self) -> str:
        """Suffix of the folder name of its images, after the dataset's name."""
        return "" if self == CLEAN else f"@{self.kind}-{self.severity:g}"


CLEAN = DegradationLevel("clean", 0.0)


def degrade(image: Pixels, degradation: DegradationLevel, name: str) -> Pixels:
    """Degrade the luma of an image, quantized to 8 bits as by a camera.

    Randomness (positions of lamps, noise) depends only on the kind and on `name`, so the steps of an image differ only
    in severity.
    """
    seed = int.from_bytes(hashlib.sha256(f"{degradation.kind}/{name}".encode()).digest()[:8], "little")
    luma = to_ycbcr(to_tensor(image)).luma[0, 0].numpy()
    worse = DEGRADATIONS[degradation.kind](luma, degradation.severity, np.random.default_rng(seed))
    pixels: Pixels = to_array(to_tensor(worse.astype(np.float32)), np.uint8)
    return pixels


@dataclass(frozen=True)
class RobustnessMetric:
    """A robustness metric; higher is better."""

    key: str
    title: str


ROBUSTNESS_METRICS = (
    RobustnessMetric("hot_targets", "hot targets that stay bright (%)"),
    RobustnessMetric("infrared_edges", "infrared edges kept (%)"),
    RobustnessMetric("visible_edges", "visible edges kept (%)"),
    RobustnessMetric("ssim_to_clean", "similarity to the clean fusion (SSIM)"),
)


def keeps(fused: Tensor, a: Tensor, b: Tensor, clean: Tensor) -> Mapping[str, float]:
    """Compute the `ROBUSTNESS_METRICS` of an image that was fused from a degraded source.

    Args:
        fused: fused image (1, 1, h, w), 0..255.
        a: first source.
        b: second source without degradation.
        clean: the method's result for `a` and `b`.
    """
    with caching(), torch.no_grad():
        values = {
            "hot_targets": 100 - missed_targets(fused, a, b),
            "infrared_edges": edge_recall_of(fused, a, b),
            "visible_edges": edge_recall_of(fused, b, a),
            "ssim_to_clean": ssim(fused, clean, clean) / 2,
        }
    return {key: float(value) for key, value in values.items()}
