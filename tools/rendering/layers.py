"""The image while it is painted: light, heat and depth of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rendering.noise import Array
from rendering.solids import Seen


@dataclass(frozen=True)
class Layers:
    """What the sensors will see, painted over from far to near.

    Attributes:
        light: (h, w, 3) linear light that leaves the surfaces towards the camera; 1 is white at an exposure of 1.
        heat: (h, w) in [0, 1].
        depth: (h, w) meters along the camera's axis.
    """

    light: Array
    heat: Array
    depth: Array

    def put(self, there: Array, light: Array, heat: Array, depth: Array) -> None:
        """Paint a surface over the pixels of a mask (h, w); the values are those of the mask's pixels."""
        self.light[there], self.heat[there], self.depth[there] = light, heat, depth

    def place(self, seen: Seen, light: Array) -> None:
        """Paint a solid, with the light (n, 3) that leaves it, where nothing is in front of it."""
        front = seen.depth < self.depth[seen.rows, seen.columns]
        at = seen.rows[front], seen.columns[front]
        self.light[at], self.heat[at], self.depth[at] = light[front], seen.heat[front], seen.depth[front]


def levels(values: Array, dtype: type[np.unsignedinteger]) -> Array:
    """Values in [0, 1] as whole numbers of the full range."""
    return np.asarray(np.floor(np.clip(values, 0, 1) * np.iinfo(dtype).max + 0.5).astype(dtype))
