"""Score fused volumes slice by slice against their sources, in the intensity ranges used for fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.errors import InputError, PairingError
from refinefuse.image.medical.display import DisplayedVolumes, describe_display
from refinefuse.image.medical.formats import is_volume
from refinefuse.image.medical.fused import read_fused
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.image.medical.volume import display_orientation, reorient
from refinefuse.paths import as_path
from refinefuse.scoring.folders import Channels, ScoringTask, Triplet, file_method, find_triplets, to_levels


@dataclass(frozen=True)
class SliceTriplet(Triplet):
    """A fused slice and the slices of its sources.

    Attributes:
        index: index of the displayed slice.
        pixels: fused volume, (h, w, slices) or (h, w, slices, 3).
        sources: the sources on its grid.
    """

    index: int
    pixels: NDArray[Any]
    sources: DisplayedVolumes

    def read(self, channels: Channels) -> tuple[Tensor, Tensor, Tensor]:
        """Return the levels of the fused slice and of its sources."""
        (a, b), _ = self.sources.at(self.index)
        fused = np.ascontiguousarray(self.pixels[:, :, self.index])
        first, second, third = (to_levels(image, channels) for image in (fused, a, b))
        return first, second, third


def find_task(fused: Sequence[Path], a: Path, b: Path, options: VolumeOptions) -> ScoringTask:
    """Find what to score: slices if the sources are volumes, otherwise images as in `find_triplets`.

    Args:
        fused: volumes, or images and folders.
        a: the first source.
        b: the second source.
        options: how the volumes were fused.

    Raises:
        PairingError: volumes and images are mixed, or as in `find_triplets`.
        InputError: a volume cannot be read, or its grid does not overlap with a source.
    """
    paths = [as_path(path) for path in (*fused, a, b)]
    volumes = [path for path in paths if is_volume(path)]
    if not volumes:
        if options != VolumeOptions():
            raise InputError(
                "Windows, ranges, kinds and series apply only to volumes.\n  got: images\nRemove these options."
            )
        return find_triplets(fused, a, b)
    if len(volumes) < len(paths):
        image = next(path for path in paths if path not in volumes)
        raise PairingError(
            f"Volumes can only be scored against volumes.\n  volume: '{volumes[0]}'\n  not a volume: '{image}'\n"
            "Pass a fused volume and the two volumes from which it was made."
        )
    sources = options.read([a, b])
    ranges = options.ranges_of(sources)
    triplets: list[Triplet] = []
    notes = [describe_display(volume, fixed) for volume, fixed in zip(sources, ranges, strict=True)]
    for path in fused:
        volume = read_fused(path, max_voxels=options.max_voxels)
        order, signs, affine = display_orientation(volume.affine, volume.pixels.shape[:3])
        pixels = reorient(volume.pixels, order, signs)
        shown = DisplayedVolumes(sources, ranges, affine, pixels.shape[:3], options.colormap_of(sources))
        method, depth = file_method(path, fused), pixels.shape[2]
        found = [
            SliceTriplet(method, f"slice {k + 1}", path, a, b, k, pixels, shown)
            for k in range(depth)
            if _shows_something(pixels[:, :, k], *shown.at(k))
        ]
        if len(found) < depth:
            notes.append(
                f"{depth - len(found)} of {depth} slices of '{path}' are left out: a source has no data there, or all "
                "values are equal"
            )
        triplets += found
    return ScoringTask(tuple(triplets), (), {}, tuple(notes))


def _shows_something(fused: NDArray[Any], sources: Sequence[NDArray[np.float32]], covered: Sequence[float]) -> bool:
    return min(covered) > 0 and all(np.ptp(image) > 0 for image in (fused, *sources))
