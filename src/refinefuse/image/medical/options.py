"""Options for medical volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from refinefuse.errors import InputError
from refinefuse.image.medical.formats import read_volume
from refinefuse.image.medical.intensity import Colormap, intensity_ranges, parse_window, with_kind
from refinefuse.image.medical.volume import COLORED, MAX_VOXELS, Modality, Volume
from refinefuse.image.pixels import max_pixels
from refinefuse.image.thermal import IntensityRange


class _Ranges(NamedTuple):
    window: IntensityRange | None
    range: IntensityRange | None
    suv: IntensityRange | None


def parse_series(text: str | None) -> tuple[str | None, ...]:
    """Parse comma-separated series, one per source; empty entries become None."""
    return tuple(word.strip() or None for word in text.split(",")) if text else ()


@dataclass(frozen=True)
class VolumeOptions:
    """Options for volumes. Ranges are given as on the command line, or as `IntensityRange`.

    Attributes:
        window: CT window: brain, bone, lung, tissue or CENTER,WIDTH in HU; None means that of the file, or else soft
            tissue.
        range: black and white points of all sources but the last, whatever their modality: MIN,MAX or
            percentile:LOW,HIGH; None means by modality.
        suv_range: black and white points of PET: MIN,MAX in SUV; None means 0 to the 99.9th percentile.
        colormap: colormap of the last source; None means inferno for PET and SPECT, and gray otherwise.
        grid: source whose grid the result gets; None means the one with the smallest voxels.
        series: numbers or UIDs, one per source, if folders hold several.
        anonymize: remove all patient and study data from DICOM results and messages.
        kinds: modality of each source; empty means from the file or its name.
        max_voxels: maximum number of voxels that a source may declare; by default 2**30, or the pixel limit if that is
            higher.

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
    max_voxels: int = field(default_factory=lambda: max(MAX_VOXELS, max_pixels()))

    def __post_init__(self) -> None:
        self._parsed()

    def _parsed(self) -> _Ranges:
        window = parse_window(self.window) if isinstance(self.window, str) else self.window
        range_, suv = (
            IntensityRange.parse(text) if isinstance(text, str) else text for text in (self.range, self.suv_range)
        )
        if suv is not None and suv.rule != "counts":
            raise InputError(f"`suv_range` needs two numbers, MIN,MAX.\n  got: {self.suv_range!r}")
        if range_ is not None and range_.rule not in ("counts", "percentile"):
            raise InputError(f"`range` of a volume must be MIN,MAX or percentile:LOW,HIGH.\n  got: {self.range!r}")
        return _Ranges(window, range_, suv)

    def ranges_of(self, volumes: Sequence[Volume]) -> list[IntensityRange]:
        """The fixed range of each volume.

        Raises:
            InputError: as `intensity_ranges`.
        """
        return intensity_ranges(volumes, *self._parsed())

    def colormap_of(self, volumes: Sequence[Volume]) -> Colormap:
        """The color map of the last volume."""
        return self.colormap or ("inferno" if volumes[-1].modality in COLORED else "gray")

    def read(self, paths: Sequence[Path]) -> list[Volume]:
        """Read the sources.

        Raises:
            InputError: more series or other kinds than there are sources; else as `read_volume`.
        """
        if len(self.series) > len(paths):
            raise InputError(
                f"`series` has more entries than there are sources.\n  expected: at most {len(paths)}\n"
                f"  got: {len(self.series)}"
            )
        no_kind: Modality = ""
        kinds = self.kinds or (no_kind,) * len(paths)
        if len(kinds) != len(paths):
            raise InputError(f"`kind` needs one entry per source.\n  expected: {len(paths)}\n  got: {len(kinds)}")
        series = [*self.series, *[None] * (len(paths) - len(self.series))]
        volumes = [
            with_kind(read_volume(path, chosen, max_voxels=self.max_voxels), kind)
            for path, chosen, kind in zip(paths, series, kinds, strict=True)
        ]
        if self.window is not None and not volumes[0].modality and all(one.modality != "CT" for one in volumes):
            volumes[0] = with_kind(volumes[0], "CT")  # NIfTI does not record it; the window implies it
        return volumes
