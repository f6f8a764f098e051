"""What can be chosen about medical volumes, and what becomes of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refinefuse.image.medical.options import VolumeOptions
from refinefuse.inference.inspection import PairWarning

__all__ = ["VolumeOptions", "VolumeResult"]


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
