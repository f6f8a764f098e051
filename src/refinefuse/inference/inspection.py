"""Check a pair for problems before fusion; shared by files, folders, volumes and videos."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.alignment.check import Evidence, Misalignment, find_evidence
from refinefuse.image.color import to_array, to_ycbcr
from refinefuse.image.palettes import find_palette
from refinefuse.image.polarity import polarity_score, saturation, shared_detail
from refinefuse.image.slices import Luma, body_offset, is_slice, white_area
from refinefuse.image.thermal import looks_raw
from refinefuse.inference.inputs import ImageInput, LoadedImage, check_pair, load_input
from refinefuse.weights.store import MEDICAL, shipped

WarningKind = Literal["alignment", "order", "polarity", "counts", "palette", "range", "weights", "alpha", "metadata"]
_COLORED, _GRAY = 0.01, 0.004  # mean distance of the chroma from gray
_PARTLY = 0.5  # maximum fraction of an alpha channel that is neither opaque nor transparent
_SATURATED = 0.2  # maximum fraction of white pixels in the body of a slice
_CLEAR, _ALONG = 1.3, 0.3  # for slices: minimum peak ratio of a shift, and minimum part of it in the body outlines
_FEWEST, _POOL = 5, 10  # minimum and maximum number of pairs of one rig to pool
_BLACK_HOT, _BLACK_HOT_POOL = -1.5, -1.0  # maximum polarity score of a black-hot source, and of the mean of several
_REFLECTED = 0.6  # correlation of fine detail with the visible image above which a source is not thermal


@dataclass(frozen=True)
class PairWarning:
    """A possible problem with a pair.

    Attributes:
        kind: `alignment` (rotation, scale or shift), `order` (the sources look swapped), `polarity` (`a` looks
            black-hot), `counts` (`a` looks like raw thermal counts), `palette` (`a` is in false color),
            `range` (much of `a` is clipped or saturated), `weights` (the weights are for other kinds of images),
            `alpha` (the second of two channels does not look like alpha), `metadata` (metadata of the files is
            inconsistent, or is lost).
        message: the problem and what to do, as a sentence without the final period.
        value: measured value: rotation in degrees, scale, shift in pixels, saturation, polarity score, or a fraction of
            the range or the pixels.
        confidence: confidence in [0, 1]; 1 if the value is counted rather than estimated.
    """

    kind: WarningKind
    message: str
    value: float
    confidence: float = 1.0

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Preview:
    """The images of a pair to inspect, at full size or downscaled.

    Attributes:
        images: the sources, (1, c, h, w) in [0, 1].
        counts: stored values of each source but the last; None if a range was given.
        step: downscaling factor.
        kinds: kinds of warnings that can be checked; None means all.
    """

    images: tuple[Tensor, ...]
    counts: tuple[NDArray[Any] | None, ...] = ()
    step: int = 1
    kinds: tuple[WarningKind, ...] | None = None

    def inspect(self, kinds: Sequence[WarningKind], pool: PooledCheck | None = None) -> list[PairWarning]:
        """Check each source against the last one; return distinct warnings.

        Args:
            kinds: kinds of warnings to check.
            pool: collects the alignment evidence of the first source over the pairs of a rig.
        """
        *others, last = self.images
        kinds = [kind for kind in kinds if self.kinds is None or kind in self.kinds]
        found = [_raw_counts(counts) for counts in self.counts if "counts" in kinds and counts is not None]
        if "alpha" in kinds:
            found += [*(_two_channels(a, "a") for a in others), _two_channels(last, "b")]
        for index, a in enumerate(others):
            lumas = _luma(a), _luma(last)
            of_patient = is_slice(lumas[1])
            if "alignment" in kinds:
                pooled = pool if index == 0 else None
                found.append(_shifted_slices(*lumas, self.step) if of_patient else self._alignment(*lumas, pooled))
            if of_patient and is_slice(lumas[0]):
                found += [check(lumas[0]) for kind, check in _OF_SLICES.items() if kind in kinds]
            colored = _false_color(a) if "palette" in kinds else None
            colored = colored or (_swapped(a, last) if "order" in kinds else None)
            if colored or "polarity" not in kinds:
                found.append(colored)
            elif (score := _polarity(a, *lumas)) is not None:
                if pool is not None and index == 0:
                    pool.add_polarity(score)
                found.append(_black_hot(score, _BLACK_HOT))
        return list(dict.fromkeys(warning for warning in found if warning is not None))

    def _alignment(self, a: Luma, last: Luma, pool: PooledCheck | None) -> PairWarning | None:
        evidence = find_evidence(a, last, poses=pool is None or not pool.is_full)
        if evidence is None:
            return None
        if pool is not None:
            pool.add(evidence, self.step)
        return _misalignment(evidence.misalignment(self.step))


class PooledCheck:
    """Alignment and polarity pooled over the first pairs of one rig, far more reliable than from a single pair."""

    def __init__(self) -> None:
        self._evidence: Evidence | None = None
        self._step = 1
        self._polarities: list[float] = []
        self._lock = Lock()

    @property
    def is_full(self) -> bool:
        """Whether there are enough pairs, so that rotation and scale need no further checks."""
        return self._evidence is not None and self._evidence.pairs == _POOL

    def add(self, evidence: Evidence, step: int) -> None:
        """Add a pair, unless its size differs from the first, or there are enough."""
        with self._lock:
            if self._evidence is None:
                self._evidence, self._step = evidence, step
            elif evidence.is_like(self._evidence) and not self.is_full:
                self._evidence += evidence

    def add_polarity(self, score: float) -> None:
        """Add the polarity score of a source, unless there are enough."""
        with self._lock:
            if len(self._polarities) < _POOL:
                self._polarities.append(score)

    @property
    def warnings(self) -> list[PairWarning]:
        """Return warnings from the pooled pairs, if there are enough: misaligned, black-hot."""
        found: list[tuple[int, PairWarning | None]] = []
        if self._evidence is not None:
            found.append((self._evidence.pairs, _misalignment(self._evidence.misalignment(self._step))))
        if scores := self._polarities:
            found.append((len(scores), _black_hot(sum(scores) / len(scores), _BLACK_HOT_POOL)))
        return [
            replace(warning, message=f"in {count} pairs together, {warning}")
            for count, warning in found
            if warning is not None and count >= _FEWEST
        ]


ALL_KINDS: tuple[WarningKind, ...] = (
    "counts",
    "alignment",
    "palette",
    "order",
    "polarity",
    "range",
    "weights",
    "alpha",
)


def inspect_pair(
    a: ImageInput, b: ImageInput, *, polarity: Literal["auto", "white-hot", "black-hot"] = "auto"
) -> tuple[PairWarning, ...]:
    """Check a pair for possible problems: misaligned, swapped, black-hot, raw counts.

    Args:
        a: the source whose color is not used, as in `Fuser.fuse`.
        b: the source whose color is kept.
        polarity: how hot objects appear in `a`; `auto` means unknown and checks it.

    Raises:
        InputError: as in `Fuser.fuse`.
    """
    first, second = load_input(a, "a"), load_input(b, "b")
    check_pair(first, second)
    return inspect_images(first, second, polarity=polarity)


def inspect_images(
    a: LoadedImage, b: LoadedImage, *, polarity: Literal["auto", "white-hot", "black-hot"] = "auto", weights: str = ""
) -> tuple[PairWarning, ...]:
    """Run `inspect_pair` on loaded images of the same size; `weights` names the weights for the fusion."""
    kinds = chosen_kinds(polarity=polarity == "auto", weights=are_for_cameras(weights))
    counts = a.given if isinstance(a.given, np.ndarray) else None
    batch = zip(torch.split(a.image.cpu(), 1), torch.split(b.image.cpu(), 1), strict=True)
    found = [warning for images in batch for warning in Preview(images, (counts,)).inspect(kinds)]
    return tuple(dict.fromkeys(found))


def chosen_kinds(**wanted: bool) -> tuple[WarningKind, ...]:
    """Return all kinds except those set to False."""
    return tuple(kind for kind in ALL_KINDS if wanted.get(kind, True))


def are_for_cameras(weights: str) -> bool:
    """Return whether weights are shipped and not medical."""
    return weights in shipped() and weights != MEDICAL


def _raw_counts(counts: NDArray[Any]) -> PairWarning | None:
    if not looks_raw(counts):
        return None
    message = (
        "`a` uses less than 1/8 of its 16 bits, so that little contrast is left: if it holds raw thermal counts, "
        "give the `range` percentile:1,99"
    )
    return PairWarning("counts", message, (int(counts.max()) - int(counts.min())) / 65535)


def _misalignment(found: Misalignment | None) -> PairWarning | None:
    return None if found is None else PairWarning("alignment", found.message, found.value, 1 - 1 / found.peak_ratio)


def _two_channels(image: Tensor, source: str) -> PairWarning | None:
    """Warn if the second channel may not be alpha: alpha is opaque or transparent almost everywhere."""
    if image.shape[1] != 2:
        return None
    alpha = image[:, 1]
    partly = float(((alpha > 0) & (alpha < 1)).float().mean())
    message = (
        f"`{source}` has two channels, which are read as gray + alpha, but {partly:.0%} of the second is neither "
        "opaque nor transparent: give gray, RGB or RGBA if it is no alpha channel"
    )
    return PairWarning("alpha", message, partly) if partly > _PARTLY else None


def _false_color(a: Tensor) -> PairWarning | None:
    if a.shape[1] < 3 or is_slice(_luma(a)):  # PET and SPECT are in false color on purpose
        return None
    found = find_palette(to_array(a, np.uint8))
    if found is None:
        return None
    what = f"the palette {found.palette}" if found.palette else "a palette that is not known"
    remedy = f"`palette={found.palette}` reads them as values" if found.is_readable else "export gray or 16-bit values"
    message = f"`a` is in false color ({what}), whose brightness is not heat: {remedy}"
    return PairWarning("palette", message, found.fraction)


def _shifted_slices(a: Luma, last: Luma, step: int) -> PairWarning | None:
    """Warn only of shifts confirmed by body outlines, as PET and SPECT spots match MRI edges at many positions."""
    evidence = find_evidence(a, last, poses=False)
    found = None if evidence is None else evidence.misalignment(step)
    if found is None or found.peak_ratio < _CLEAR:
        return None
    along = step * body_offset(a, last) @ found.shift / np.square(found.shift).sum()
    return _misalignment(found) if along > _ALONG else None


def _saturated(a: Luma) -> PairWarning | None:
    white = white_area(a)
    message = f"{white:.0%} of the body in `a` is one white area: its structure is lost; export it in a wider window"
    return PairWarning("range", message, white) if white > _SATURATED else None


def _luma(image: Tensor) -> Luma:
    return to_ycbcr(image).luma[0, 0].numpy()


def _slices(_: Luma) -> PairWarning:
    message = "both sources look like slices of a patient, for which other weights are made: give `weights=medical`"
    return PairWarning("weights", message, 1.0, 0.5)


_OF_SLICES: dict[WarningKind, Callable[[Luma], PairWarning | None]] = {"range": _saturated, "weights": _slices}


def _swapped(a: Tensor, b: Tensor) -> PairWarning | None:
    colored = saturation(a)
    if colored <= _COLORED or saturation(b) >= _GRAY:
        return None
    message = "`a` is colored and `b` is gray, so the color of `a` is kept: the pair looks swapped (visible comes last)"
    return PairWarning("order", message, colored)


def _polarity(a: Tensor, luma: Luma, last: Luma) -> float | None:
    """Return the polarity score; None if the source does not look thermal (in color, or with visible-light detail)."""
    if saturation(a) >= _GRAY:
        return None
    score = polarity_score(luma)
    return None if score < 0 and luma.shape == last.shape and shared_detail(luma, last) > _REFLECTED else score


def _black_hot(score: float, limit: float) -> PairWarning | None:
    message = (
        "`a` looks black-hot: if hot things are dark in it, give `polarity=black-hot`; if not, `polarity=white-hot`"
    )
    return PairWarning("polarity", message, score, 1 / (1 + math.exp(score))) if score < limit else None
