"""Worse light on the second source, and what a fused picture keeps of the scene all the same.

Under worse light a method sees the degraded picture, but every metric compares with the clean sources: what counts is
how much of the scene is in the result. The degradations are those that training meets (`refinefuse.data.lighting`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from refinefuse.data.lighting import DEGRADATIONS
from refinefuse.image.color import split, to_array, to_tensor
from refinefuse.image.pixels import Pixels
from refinefuse.metrics.faults import kept_of, lost
from refinefuse.metrics.sharing import sharing
from refinefuse.metrics.structure import ssim


class Light(NamedTuple):
    """A degradation and its strength, above 0 and at most 1; `CLEAN` is neither."""

    kind: str
    strength: float

    @property
    def folder(self) -> str:
        """What the folder of its pictures is called after the name of the set."""
        return "" if self == CLEAN else f"@{self.kind}-{self.strength:g}"


CLEAN = Light("clean", 0.0)


def degrade(picture: Pixels, light: Light, name: str) -> Pixels:
    """The luma of a picture under that light, in 8 bits, as a camera would give it.

    What is random (where lamps stand, the grain) depends on the kind and on `name` alone: the steps of a picture differ
    in strength, not in luck.
    """
    seed = int.from_bytes(hashlib.sha256(f"{light.kind}/{name}".encode()).digest()[:8], "little")
    luma = split(to_tensor(picture)).luma[0, 0].numpy()
    worse = DEGRADATIONS[light.kind](luma, light.strength, np.random.default_rng(seed))
    pixels: Pixels = to_array(to_tensor(worse.astype(np.float32)), np.uint8)
    return pixels


@dataclass(frozen=True)
class Keeps:
    """One curve of the study; higher is better for all."""

    key: str
    title: str


KEEPS = (
    Keeps("targets", "hot targets that stay bright (%)"),
    Keeps("infrared", "infrared edges kept (%)"),
    Keeps("visible", "visible edges kept (%)"),
    Keeps("steady", "similarity to the clean fusion (SSIM)"),
)


def keeps(fused: Tensor, a: Tensor, b: Tensor, clean: Tensor) -> Mapping[str, float]:
    """What a picture that was fused in bad light keeps, by the keys of `KEEPS`.

    Args:
        fused: (1, 1, h, w), levels 0..255.
        a: the first source.
        b: the second source as it is in good light.
        clean: what the method makes of `a` and `b`.
    """
    with sharing(), torch.no_grad():
        values = {
            "targets": 100 - lost(fused, a, b),
            "infrared": kept_of(fused, a, b),
            "visible": kept_of(fused, b, a),
            "steady": ssim(fused, clean, clean) / 2,
        }
    return {key: float(value) for key, value in values.items()}
