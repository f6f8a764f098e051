"""Medical volumes as pairs of slices on one grid, with ranges that are fixed over each volume."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.image.color import to_tensor, to_ycbcr
from refinefuse.image.medical.intensity import Colormap, colored, intensity_warnings, scaled
from refinefuse.image.medical.resampling import Slice, resample_to
from refinefuse.image.medical.volume import (
    Volume,
    different_patients,
    display_orientation,
    exchanged_sources,
    finest,
)
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.inspection import Preview
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.volume_options import VolumeOptions, VolumeResult

_SMALL_COVERAGE = 0.5  # fraction of the grid in which a source has data, below which a warning is given
_FINER = 1.5  # how much finer the grid of another source must be to be mentioned

Scale = Callable[[NDArray[Any]], NDArray[np.float32]]  # from stored values to [0, 1]


class SliceReader:
    """The slices of volumes on one grid.

    Args:
        volumes: two or more; the last gives the color.
        options: of volumes.

    Attributes:
        grid: the volume on whose grid the result lies.
        shape: (h, w, slices) of the result as it is displayed.
        colormap: of the last volume.
        result: what was read, and what looks wrong.

    Raises:
        InputError: if the volumes cannot be shown on one grid.
    """

    def __init__(self, volumes: list[Volume], options: VolumeOptions) -> None:
        self.volumes = volumes
        self.grid = {"a": volumes[0], "b": volumes[-1], None: volumes[finest(volumes)]}[options.grid]
        self.order, self.signs, self.affine = display_orientation(self.grid.affine, self.grid.values.shape)
        self.shape = tuple(self.grid.values.shape[axis] for axis in self.order)
        self.total: int | None = self.shape[2]
        self.colormap: Colormap = options.colormap or ("inferno" if volumes[-1].modality in ("PT", "NM") else "gray")
        self.result = VolumeResult(
            warnings=[note for volume in volumes for note in volume.warnings], affine=np.asarray(self.affine)
        )
        self.result.warnings += different_patients(volumes, show_names=not options.anonymize)
        self.result.warnings += exchanged_sources(volumes)
        ranges = options.ranges_of(volumes)
        self._cuts = [resample_to(volume, self.affine, self.shape) for volume in volumes]
        self.result.warnings += _hints(volumes, self.grid, options)
        self._scales: list[Scale] = []
        for volume, fixed in zip(volumes, ranges, strict=True):
            self.result.messages.append(_describe(volume, fixed))
            self.result.warnings += intensity_warnings(volume, fixed)
            self._scales.append(partial(scaled, fixed=fixed, inverted=volume.is_inverted))

    def __iter__(self) -> Generator[Pair, None, None]:
        """All slices; the middle one is checked."""
        covered = np.zeros(len(self._cuts))
        for k in range(self.shape[2]):
            slices = [cut(k) for cut in self._cuts]
            covered += [inside.mean() for _, inside in slices]
            images = tuple(to_tensor(image) for image in _images(slices, self._scales, self.colormap))
            pair = Pair(f"slice {k + 1}", images, k)
            if k == self.shape[2] // 2:
                pair.preview = Preview(images)
            yield pair
        for index, fraction in enumerate(covered / self.shape[2]):
            if fraction < _SMALL_COVERAGE:
                self.result.warnings.append(
                    f"source {index + 1} has data in {fraction:.0%} of the result's field of view only"
                )


def _hints(volumes: Sequence[Volume], grid: Volume, options: VolumeOptions) -> list[str]:
    found = [
        f"nothing says what made '{volume.path}': taken for gray values (NIfTI: put ct, mri, pet or spect into the "
        "name; --colormap colors the last source)"
        for volume in volumes
        if not volume.modality and not (volume is volumes[-1] and options.colormap)
    ]
    for volume in volumes:
        if volume is not grid and np.prod(grid.spacing) > _FINER**3 * np.prod(volume.spacing):
            other = "a" if volume is volumes[0] else "b"
            found.append(
                f"'{volume.path}' is finer than the grid of the result, and its detail is lost: consider --grid {other}"
            )
    return found


def _describe(volume: Volume, fixed: IntensityRange) -> str:
    return f"{volume.description}, black to white: {fixed.low:g} to {volume.quantity(fixed.high)}"


def _images(slices: Sequence[Slice], scales: Sequence[Scale], colormap: Colormap) -> list[NDArray[Any]]:
    """The slices as images; where a source has no data, it agrees with those that have."""
    gray = [scale(values) for (values, _), scale in zip(slices, scales, strict=True)]
    there = [inside for _, inside in slices]
    known = np.max([np.where(inside, values, 0) for values, inside in zip(gray[:-1], there[:-1], strict=True)], 0)
    last: NDArray[Any] = gray[-1] if colormap == "gray" else colored(gray[-1], colormap)
    luma = to_ycbcr(to_tensor(last)).luma[0, 0].numpy()
    filling = np.where(there[-1], luma, known)
    others = [np.where(inside, values, filling) for values, inside in zip(gray[:-1], there[:-1], strict=True)]
    shape = there[-1].shape + (1,) * (last.ndim - 2)
    return [*others, np.where(there[-1].reshape(shape), last, known.reshape(shape))]
