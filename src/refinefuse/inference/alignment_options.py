"""Whether and how sources are brought onto one grid before they are fused, and what looks wrong if they are not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refinefuse.alignment.align import align
from refinefuse.alignment.check import check_registration
from refinefuse.alignment.transform import Transform
from refinefuse.alignment.warp import warp_and_fill
from refinefuse.errors import AlignmentError
from refinefuse.image.color import to_array, to_tensor, to_ycbcr
from refinefuse.inference.align_files import refusal
from refinefuse.inference.inputs import LoadedImage


@dataclass(frozen=True)
class AlignmentOptions:
    """What is done about where images lie.

    Attributes:
        align: look for the motion between `a` and `b` and undo it.
        transform: where in `a` each pixel of `b` lies, if that is known.
        strict: refuse what looks wrong instead of warning of it.
    """

    align: bool = False
    transform: Transform | None = None
    strict: bool = False

    @property
    def moves(self) -> bool:
        """Whether `a` is moved at all."""
        return self.align or self.transform is not None

    def place(self, a: LoadedImage, b: LoadedImage) -> tuple[LoadedImage, list[str]]:
        """`a`, on the grid of `b` if it is to be moved, and what looks wrong with where it lies.

        Raises:
            AlignmentError: no motion was found that can be trusted.
            InputError: the transform was made for other sizes, or the images are too small to be aligned.
        """
        if not self.moves:
            gray_a, gray_b = (to_ycbcr(source.image).luma[0, 0].numpy() for source in (a, b))
            return a, check_registration(gray_a, gray_b)
        first, second = (to_array(source.image, np.float32) for source in (a, b))
        transform = self.transform
        if transform is None:
            found = align(first, second, "similarity")
            if not found.is_reliable:
                raise AlignmentError(refusal(found))
            transform = found.transform
        return replace(a, image=to_tensor(warp_and_fill(first, second, transform)[0])), []

    def check(self, warnings: list[str]) -> None:
        """Refuse a pair with warnings if that is wanted.

        Raises:
            AlignmentError: with all warnings.
        """
        if self.strict and warnings:
            raise AlignmentError(
                "\n".join(f"{warning}." for warning in warnings) + "\nWithout --strict this is a warning."
            )


AS_ALIGNED = AlignmentOptions()
