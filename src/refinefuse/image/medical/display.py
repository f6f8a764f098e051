"""Slices of several volumes as images, on one grid and with a fixed range per volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.image.color import to_tensor, to_ycbcr
from refinefuse.image.medical.intensity import Colormap, colored, scaled
from refinefuse.image.medical.resampling import Slice, resample_to
from refinefuse.image.medical.volume import Volume
from refinefuse.image.thermal import IntensityRange

_Scale = Callable[[NDArray[Any]], NDArray[np.float32]]  # from units to [0, 1]


class DisplayedVolumes:
    """The slices of volumes as they are displayed.

    Args:
        volumes: two or more; the last is colored.
        ranges: intensity range of each.
        affine: (4, 4) of the grid, voxel to RAS+ millimeters.
        shape: (h, w, slices) of the grid.
        colormap: of the last volume.

    Raises:
        InputError: fields of view that do not overlap.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        ranges: Sequence[IntensityRange],
        affine: NDArray[Any],
        shape: tuple[int, ...],
        colormap: Colormap,
    ) -> None:
        self._cuts = [resample_to(volume, affine, shape) for volume in volumes]
        self._scales = [
            partial(scaled, fixed=fixed, inverted=volume.is_inverted)
            for volume, fixed in zip(volumes, ranges, strict=True)
        ]
        self._colormap = colormap

    def at(self, k: int) -> tuple[list[NDArray[np.float32]], list[float]]:
        """The images of slice `k`, in [0, 1], and the fraction of it in which each volume has data.

        Where a volume has no data, it is filled from the others.
        """
        slices = [cut(k) for cut in self._cuts]
        return _images(slices, self._scales, self._colormap), [float(inside.mean()) for _, inside in slices]


def describe_display(volume: Volume, fixed: IntensityRange) -> str:
    """A volume and the values of its black and white points, in one line."""
    return f"{volume.description}, black to white: {fixed.low:g} to {volume.quantity(fixed.high)}"


def _images(slices: Sequence[Slice], scales: Sequence[_Scale], colormap: Colormap) -> list[NDArray[np.float32]]:
    gray = [scale(values) for (values, _), scale in zip(slices, scales, strict=True)]
    there = [inside for _, inside in slices]
    known = np.max([np.where(inside, values, 0) for values, inside in zip(gray[:-1], there[:-1], strict=True)], 0)
    last: NDArray[Any] = gray[-1] if colormap == "gray" else colored(gray[-1], colormap)
    luma = to_ycbcr(to_tensor(last)).luma[0, 0].numpy()
    filling = np.where(there[-1], luma, known)
    others = [np.where(inside, values, filling) for values, inside in zip(gray[:-1], there[:-1], strict=True)]
    shape = there[-1].shape + (1,) * (last.ndim - 2)
    return [*others, np.where(there[-1].reshape(shape), last, known.reshape(shape))]
