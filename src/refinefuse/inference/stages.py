"""The stages between reader and writer: check, register, fuse."""

from __future__ import annotations

from dataclasses import dataclass, replace

from refinefuse.errors import AlignmentError
from refinefuse.image.color import to_ycbcr
from refinefuse.image.georeference import check_georeferences
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inputs import check_sizes
from refinefuse.inference.inspection import PooledCheck, WarningKind, are_for_cameras, chosen_kinds
from refinefuse.inference.pipeline import Pair, PairStage
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.threads import StageTimer


@dataclass(frozen=True)
class Check:
    """Checks a pair for problems.

    Attributes:
        kinds: kinds of warnings to check for.
        strict: refuse pairs with warnings.
        pool: accumulates the evidence of the pairs of one rig.
    """

    kinds: tuple[WarningKind, ...]
    strict: bool = False
    pool: PooledCheck | None = None

    def __call__(self, pair: Pair) -> None:
        """Add warnings to the pair.

        Raises:
            AlignmentError: if it has warnings and `strict` is set.
            InputError: if GeoTIFF tags give its images different locations.
        """
        if pair.preview is not None:
            if "alignment" in self.kinds and pair.metadata and pair.strip is None:
                check_georeferences(pair.paths, pair.metadata, pair.images[-1].shape[2:])
            pair.warnings += pair.preview.inspect(self.kinds, self.pool)
            pair.preview = None
        if self.strict and pair.warnings:
            sentences = "\n".join(f"{warning.message}." for warning in pair.warnings)
            raise AlignmentError(f"{sentences}\nRemove `strict` to treat this as a warning.")


@dataclass(frozen=True)
class Register:
    """Registers every source to the last one, if requested."""

    options: AlignmentOptions

    def __call__(self, pair: Pair) -> None:
        """Replace the images of the pair by registered ones."""
        if self.options.moves:
            *others, last = pair.images
            moved, transforms = zip(*(self.options.register(image, last) for image in others), strict=True)
            pair.images = (*moved, last)
            pair.settings["transform"] = ", ".join(transform.describe() for transform in transforms)


@dataclass(frozen=True)
class Fuse:
    """Fuses the lumas of a pair.

    Attributes:
        fuser: the network.
        timer: measures the time.
    """

    fuser: Fuser
    timer: StageTimer

    def __call__(self, pair: Pair) -> None:
        """Set the output of the pair.

        Raises:
            InputError: if the images differ in size, or memory runs out.
        """
        check_sizes(pair.images, pair.paths)
        with self.timer.working():
            pair.planes = tuple(to_ycbcr(image) for image in self.fuser.upload(pair.images))
            lumas = [planes.luma for planes in pair.planes]
            if pair.strip is None:
                pair.output = self.fuser.fuse_lumas(lumas)
            else:
                pair.images = ()  # free memory early; likewise the lumas below
                context = self.fuser.encode_context_from_stats(*pair.strip.statistics)
                pair.output = self.fuser.fuse_lumas(lumas, context, pair.strip.tiles)
                pair.planes = tuple(replace(plane, luma=plane.luma.new_empty(1, 1, 0, 0)) for plane in pair.planes)


def stages_of(
    fuser: Fuser,
    thermal: ThermalOptions,
    alignment: AlignmentOptions,
    timer: StageTimer | None = None,
    pool: PooledCheck | None = None,
) -> tuple[PairStage, ...]:
    """Create the stages for the given options. Registered sources are not checked for misalignment."""
    kinds = chosen_kinds(
        alignment=not alignment.moves, polarity=thermal.polarity == "auto", weights=are_for_cameras(fuser.weights)
    )
    return (
        Check(kinds, alignment.strict, pool),
        Register(alignment),
        Fuse(fuser, timer or StageTimer("fuse")),
    )
