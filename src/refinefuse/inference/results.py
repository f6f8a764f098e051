"""Results of runs over files, folders or volumes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.inspection import PairWarning


@dataclass
class FolderResult:
    """The result of a folder run.

    Attributes:
        fused: names of the pairs that were fused in this run.
        skipped: names of the pairs whose results already existed.
        failed: error messages by name of the pair.
        unpaired: files without a counterpart.
        warnings: warnings by name of the pair.
        pooled_warnings: warnings about the first pairs of a folder, checked together as pairs of one rig.
        ranges: the fixed ranges of all sources but the last, if ranges were fitted.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    warnings: dict[str, tuple[PairWarning, ...]] = field(default_factory=dict)
    pooled_warnings: tuple[PairWarning, ...] = ()
    ranges: list[IntensityRange] = field(default_factory=list)


@dataclass
class VolumeResult:
    """The result of fusing volumes.

    Attributes:
        messages: what was read and written.
        warnings: what looks wrong with the volumes, in words.
        pair_warnings: what looks wrong with the pair in its middle slice.
        affine: (4, 4), row, column and slice of the result as it is displayed to patient coordinates (RAS) in mm.
    """

    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pair_warnings: list[PairWarning] = field(default_factory=list)
    affine: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
