"""Read medical volumes as pairs of slices on one grid, with a fixed range per volume."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from refinefuse.image.color import to_tensor
from refinefuse.image.medical.display import DisplayedVolumes, describe_display
from refinefuse.image.medical.intensity import intensity_warnings
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.image.medical.volume import (
    Volume,
    colored_last,
    different_patients,
    display_orientation,
    exchanged_sources,
    finest,
)
from refinefuse.inference.inspection import Preview
from refinefuse.inference.pipeline import Pair
from refinefuse.inference.results import VolumeResult

_SMALL_COVERAGE = 0.5  # warn if a source covers less than this fraction of the grid
_FINER = 1.5  # mention another source if its grid is finer by this factor


class SliceReader:
    """Reads the slices of volumes on one grid.

    Args:
        volumes: two or more; the last provides the color, but PET and SPECT are moved after CT and MRI if no color map
            is chosen.
        options: options for volumes.

    Attributes:
        volumes: the volumes in fusion order.
        grid: the volume whose grid the result gets.
        shape: (h, w, slices) of the result in display orientation.
        colormap: color map of the last volume.
        ranges: intensity range of each volume.
        result: messages and warnings.

    Raises:
        InputError: if the volumes cannot be shown on one grid.
    """

    def __init__(self, volumes: list[Volume], options: VolumeOptions) -> None:
        self.grid = {"a": volumes[0], "b": volumes[-1], None: volumes[finest(volumes)]}[options.grid]
        self.volumes = colored_last(volumes) if options.colormap is None else volumes
        self.order, self.signs, self.affine = display_orientation(self.grid.affine, self.grid.values.shape)
        self.shape = tuple(self.grid.values.shape[axis] for axis in self.order)
        self.total: int | None = self.shape[2]
        self.colormap = options.colormap_of(self.volumes)
        self.result = VolumeResult(
            warnings=[note for volume in volumes for note in volume.warnings], affine=np.asarray(self.affine)
        )
        self.result.warnings += different_patients(volumes, show_names=not options.anonymize)
        self.result.warnings += exchanged_sources(volumes) if options.colormap is None else []
        self.ranges = options.ranges_of(self.volumes)
        self._displayed = DisplayedVolumes(self.volumes, self.ranges, self.affine, self.shape, self.colormap)
        self.result.warnings += _hints(volumes, self.grid, options)
        for volume, fixed in zip(self.volumes, self.ranges, strict=True):
            self.result.messages.append(describe_display(volume, fixed))
            self.result.warnings += intensity_warnings(volume, fixed)

    def __iter__(self) -> Generator[Pair, None, None]:
        """Yield all slices; the middle one is checked."""
        covered = np.zeros(len(self.volumes))
        for k in range(self.shape[2]):
            shown, fractions = self._displayed.at(k)
            covered += fractions
            images = tuple(to_tensor(image) for image in shown)
            pair = Pair(f"slice {k + 1}", images, k)
            if k == self.shape[2] // 2:
                pair.preview = Preview(images)
            yield pair
        for index, fraction in enumerate(covered / self.shape[2]):
            if fraction < _SMALL_COVERAGE:
                self.result.warnings.append(
                    f"source {index + 1} has data in only {fraction:.0%} of the result's field of view"
                )


def _hints(volumes: Sequence[Volume], grid: Volume, options: VolumeOptions) -> list[str]:
    found = [
        f"the modality of '{volume.path}' is unknown: treated as gray values (set its `kind`: ct, mri, pet or spect; "
        "`colormap` colors the last source)"
        for volume in volumes
        if not volume.modality and not (volume is volumes[-1] and options.colormap)
    ]
    for volume in volumes:
        if volume is not grid and np.prod(grid.spacing) > _FINER**3 * np.prod(volume.spacing):
            other = "a" if volume is volumes[0] else "b"
            found.append(
                f"'{volume.path}' is finer than the grid of the result, and its detail is lost: consider `grid={other}`"
            )
    return found
