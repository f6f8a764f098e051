"""Fuse two layers as displayed: contrast limits are the black and white points, and the colormap of `b` is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.inference.fuser import Fuser

#: Maps gray levels in [0, 1] of any shape to RGB or RGBA in [0, 1] along a new last axis.
Colormap = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Displayed:
    """A layer as displayed.

    Attributes:
        data: (h, w) or (slices, h, w), with color channels last if `is_rgb`.
        limits: black and white points.
        is_rgb: whether the data has color channels.
        colormap: colormap of a gray layer; None means gray.
    """

    data: NDArray[Any]
    limits: tuple[float, float]
    is_rgb: bool = False
    colormap: Colormap | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without color channels."""
        return self.data.shape[:-1] if self.is_rgb else self.data.shape

    def image(self, index: int | None) -> NDArray[np.float32]:
        """Return the image, or one slice of the stack, in [0, 1]."""
        values = np.asarray(self.data if index is None else self.data[index])
        if self.is_rgb:
            top = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
            return np.asarray(values[..., :3] / np.float32(top), np.float32)
        low, high = self.limits
        levels = ((values.astype(np.float32) - low) / (high - low)).clip(0, 1).astype(np.float32)
        return levels if self.colormap is None else np.asarray(self.colormap(levels)[..., :3], np.float32)


def fuse_displayed(a: Displayed, b: Displayed, weights: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fuse two images, or two stacks slice by slice.

    Args:
        a: the layer whose color is not used.
        b: the layer whose color is kept.
        weights: shipped name, or a file.

    Returns:
        The fused image or stack in [0, 1], with color channels last if `b` is in color, and the weight map of `a`.

    Raises:
        InputError: the layers cannot be fused.
    """
    if a.shape != b.shape or len(b.shape) not in (2, 3):
        raise InputError(
            "A and B must be images or stacks of the same size.\n"
            f"  A: {' x '.join(map(str, a.shape))}\n  B: {' x '.join(map(str, b.shape))}\n"
            "Resample one onto the grid of the other, or align the pair first (refinefuse align)."
        )
    fuser = _fuser(weights)
    slices: list[int | None] = [None] if len(b.shape) == 2 else list(range(b.shape[0]))
    results = [fuser.fuse(a.image(index), b.image(index), return_weight_map=True) for index in slices]
    if slices == [None]:
        return results[0].fused, results[0].weight_map
    return np.stack([one.fused for one in results]), np.stack([one.weight_map for one in results])


@lru_cache(maxsize=2)
def _fuser(weights: str) -> Fuser:
    return Fuser(weights, check=False)
