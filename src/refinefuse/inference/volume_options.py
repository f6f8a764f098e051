"""What can be chosen about medical volumes, and what becomes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.intensity import Colormap, intensity_ranges, parse_window
from refinefuse.image.medical.volume import MAX_VOXELS, Modality, Volume
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.inspection import PairWarning


class _Ranges(NamedTuple):
    window: IntensityRange | None
    range: IntensityRange | None
    suv: IntensityRange | None


@dataclass(frozen=True)
class VolumeOptions:
    """What can be chosen about volumes. Ranges are given as on the command line, or parsed.

    Attributes:
        window: of CT: brain, bone, lung, tissue or CENTER,WIDTH in HU; None: the file's own, else soft tissue.
        range: of all sources but the last, in any modality: MIN,MAX or percentile:LOW,HIGH; None: by the modality.
        suv_range: of PET: MIN,MAX in SUV; None: from 0 to the 99.9th percentile.
        colormap: of the last source; None: inferno for PET and SPECT, gray otherwise.
        grid: the source whose grid the result gets; None: the one with the smallest voxels.
        series: numbers or UIDs, one per source, if folders hold several series.
        anonymize: keep nothing of patient and study in DICOM results, and name no patient in messages.
        kinds: the modality of each source; empty: by the file or its name.
        max_voxels: that a source may declare.

    Raises:
        InputError: if a value is not understood.
    """

    window: str | IntensityRange | None = None
    range: str | IntensityRange | None = None
    suv_range: str | IntensityRange | None = None
    colormap: Colormap | None = None
    grid: Literal["a", "b"] | None = None
    series: tuple[str | None, ...] = ()
    anonymize: bool = False
    kinds: tuple[Modality, ...] = ()
    max_voxels: int = MAX_VOXELS

    def __post_init__(self) -> None:
        self._parsed()

    def _parsed(self) -> _Ranges:
        window = parse_window(self.window) if isinstance(self.window, str) else self.window
        range_, suv = (
            IntensityRange.parse(text) if isinstance(text, str) else text for text in (self.range, self.suv_range)
        )
        if suv is not None and suv.rule != "counts":
            raise InputError(f"--suv-range needs two numbers, MIN,MAX.\n  got: {self.suv_range!r}")
        if range_ is not None and range_.rule not in ("counts", "percentile"):
            raise InputError(f"--range of a volume must be MIN,MAX or percentile:LOW,HIGH.\n  got: {self.range!r}")
        return _Ranges(window, range_, suv)

    def ranges_of(self, volumes: Sequence[Volume]) -> list[IntensityRange]:
        """The fixed range of each volume.

        Raises:
            InputError: as `intensity_ranges`.
        """
        return intensity_ranges(volumes, *self._parsed())


@dataclass
class VolumeResult:
    """What became of a run.

    Attributes:
        messages: what was read, and what became of it.
        warnings: what looks wrong with the volumes, in words.
        pair_warnings: what looks wrong with the pair in its middle slice.
        affine: (4, 4), row, column and slice of the result as it is displayed to patient coordinates (RAS) in mm.
    """

    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pair_warnings: list[PairWarning] = field(default_factory=list)
    affine: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
