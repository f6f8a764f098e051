"""Options for aligning sources before fusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from refinefuse.alignment.align import TransformChoice
from refinefuse.alignment.transform import Transform
from refinefuse.alignment.warp import warp_and_fill
from refinefuse.errors import InputError
from refinefuse.image.color import to_array, to_tensor
from refinefuse.inference.align_files import AlignOptions


@dataclass(frozen=True)
class AlignmentOptions:
    """How sources are aligned to the last one.

    Attributes:
        align: estimate the transform from each source to the last one, and apply it.
        transform: a known transform that maps each pixel of `b` to its position in `a`.
        transform_type: type of transform that `align` estimates.
        strict: refuse pairs that cause warnings instead of fusing them.

    Raises:
        InputError: if a transform is both given and to be estimated.
    """

    align: bool = False
    transform: Transform | None = None
    transform_type: TransformChoice = "auto"
    strict: bool = False

    def __post_init__(self) -> None:
        if self.align and self.transform is not None:
            raise InputError(
                "`align` and `transform` exclude each other.\n"
                "`align` estimates the transform, `transform` applies a known one. Use one of them."
            )

    @property
    def moves(self) -> bool:
        """Whether sources are resampled."""
        return self.align or self.transform is not None

    def register(self, a: Tensor, b: Tensor) -> tuple[Tensor, Transform]:
        """Resample `a` to the grid of `b`, both (1, c, h, w) in [0, 1]; also returns the transform.

        Raises:
            AlignmentError: the alignment is not reliable.
            InputError: the transform was made for other sizes, or the images are too small to be aligned.
        """
        moving, fixed = (to_array(image, np.float32) for image in (a, b))
        transform, _ = AlignOptions(self.transform_type, transform=self.transform).find(moving, fixed)
        return to_tensor(warp_and_fill(moving, fixed, transform)[0]), transform
