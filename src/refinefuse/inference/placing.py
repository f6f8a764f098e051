"""Whether and how sources are brought onto one grid before they are fused, and what looks wrong if they are not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refinefuse.alignment.align import align
from refinefuse.alignment.check import misplaced
from refinefuse.alignment.lay import lay
from refinefuse.alignment.transform import Transform
from refinefuse.errors import AlignmentError
from refinefuse.image.color import split, to_array, to_tensor
from refinefuse.inference.aligned import refusal
from refinefuse.inference.pictures import Source


@dataclass(frozen=True)
class Placing:
    """What is done about where pictures lie.

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

    def place(self, a: Source, b: Source) -> tuple[Source, list[str]]:
        """`a`, on the grid of `b` if it is to be moved, and what looks wrong with where it lies.

        Raises:
            AlignmentError: no motion was found that can be trusted.
            InputError: the transform was made for other sizes, or the pictures are too small to be aligned.
        """
        if not self.moves:
            grey_a, grey_b = (split(source.image).luma[0, 0].numpy() for source in (a, b))
            return a, misplaced(grey_a, grey_b)
        first, second = (to_array(source.image, np.float32) for source in (a, b))
        transform = self.transform
        if transform is None:
            found = align(first, second, "similarity")
            if not found.converged:
                raise AlignmentError(refusal(found))
            transform = found.transform
        return replace(a, image=to_tensor(lay(first, second, transform)[0])), []

    def check(self, doubts: list[str]) -> None:
        """Refuse a pair with doubts if that is wanted.

        Raises:
            AlignmentError: with all doubts.
        """
        if self.strict and doubts:
            raise AlignmentError("\n".join(f"{doubt}." for doubt in doubts) + "\nWithout --strict this is a warning.")


AS_THEY_LIE = Placing()
