"""What looks wrong with a pair before it is fused, as data: one inspection for files, folders, volumes and videos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.alignment.check import check_registration
from refinefuse.image.color import to_array, to_ycbcr
from refinefuse.image.palettes import find_palette
from refinefuse.image.polarity import polarity_score, saturation
from refinefuse.image.thermal import looks_raw
from refinefuse.inference.inputs import ImageInput, check_pair, load_input

WarningKind = Literal["alignment", "order", "polarity", "counts", "palette", "range", "metadata"]
_COLORED, _GRAY = 0.02, 0.004  # mean distance of the chroma from gray
_BLACK = 0.05  # luma of the surround of a slice
_BLACK_HOT = -2.0  # polarity score below which a source is said to be black-hot


@dataclass(frozen=True)
class PairWarning:
    """One thing that looks wrong with a pair.

    Attributes:
        kind: `alignment` (shift or scale), `order` (the sources look swapped), `polarity` (`a` looks black-hot),
            `counts` (`a` looks like raw thermal counts), `palette` (`a` is in false color),
            `range` (much of `a` is clipped or saturated),
            `metadata` (what the files say beside their pixels disagrees, or is lost).
        message: what looks wrong and what to do, as a sentence without its full stop.
        value: what was measured: the shift in pixels or the scale, the saturation, the polarity score, or the fraction
            of the range or of the pixels.
        confidence: how sure that is, from 0 to 1; 1 where it is counted and not estimated.
    """

    kind: WarningKind
    message: str
    value: float
    confidence: float = 1.0

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Preview:
    """What is looked at of a pair: the images themselves, or small versions of them.

    Attributes:
        images: the sources, (1, c, h, w) in [0, 1].
        counts: of each source but the last, the values as stored; None where a range was given for them.
        step: how many pixels of the images lie between two of these.
    """

    images: tuple[Tensor, ...]
    counts: tuple[NDArray[Any] | None, ...] = ()
    step: int = 1

    def inspect(self, kinds: Sequence[WarningKind]) -> list[PairWarning]:
        """What looks wrong with any source beside the last; each message once."""
        *others, last = self.images
        found = [_raw_counts(counts) for counts in self.counts if "counts" in kinds and counts is not None]
        for a in others:
            if "alignment" in kinds:
                found.append(_misalignment(a, last, self.step))
            colored = _false_color(a) if "palette" in kinds else None
            colored = colored or (_swapped(a, last) if "order" in kinds else None)
            found += [colored] if colored or "polarity" not in kinds else [_black_hot(a)]
        return list(dict.fromkeys(warning for warning in found if warning is not None))


ALL_KINDS: tuple[WarningKind, ...] = ("counts", "alignment", "palette", "order", "polarity")


def inspect_pair(
    a: ImageInput, b: ImageInput, *, polarity: Literal["auto", "white-hot", "black-hot"] = "auto"
) -> tuple[PairWarning, ...]:
    """Look for what is wrong with a pair: misaligned, swapped, black-hot, raw counts.

    Args:
        a: the source that gives no color, as `Fuser.fuse` takes it.
        b: the source whose color is kept.
        polarity: what hot things are in `a`; `auto`: unknown, so that it is checked.

    Raises:
        InputError: as `Fuser.fuse`.
    """
    first, second = load_input(a, "a"), load_input(b, "b")
    check_pair(first, second)
    kinds = ALL_KINDS if polarity == "auto" else ALL_KINDS[:-1]
    counts = first.given if isinstance(first.given, np.ndarray) else None
    batch = zip(torch.split(first.image.cpu(), 1), torch.split(second.image.cpu(), 1), strict=True)
    found = [warning for images in batch for warning in Preview(images, (counts,)).inspect(kinds)]
    return tuple(dict.fromkeys(found))


def _raw_counts(counts: NDArray[Any]) -> PairWarning | None:
    if not looks_raw(counts):
        return None
    message = (
        "`a` uses less than 1/8 of its 16 bits, so that little contrast is left: if it holds raw thermal counts, "
        "give the `range` percentile:1,99"
    )
    return PairWarning("counts", message, (int(counts.max()) - int(counts.min())) / 65535)


def _misalignment(a: Tensor, b: Tensor, step: int) -> PairWarning | None:
    luma_a, luma_b = (to_ycbcr(image).luma[0, 0].numpy() for image in (a, b))
    found = check_registration(luma_a, luma_b, step)
    if found is None:
        return None
    value = found.scale if found.scale != 1 else math.hypot(*found.shift)
    return PairWarning("alignment", found.message, value, 1 - 1 / found.peak_ratio)


def _false_color(a: Tensor) -> PairWarning | None:
    if a.shape[1] < 3 or _is_slice(a):  # PET and SPECT are shown in false color on purpose
        return None
    found = find_palette(to_array(a, np.uint8))
    if found is None:
        return None
    what = f"the palette {found.palette}" if found.palette else "a palette that is not known"
    remedy = f"`palette={found.palette}` reads them as values" if found.is_readable else "export gray or 16-bit values"
    message = f"`a` is in false color ({what}), whose brightness is not heat: {remedy}"
    return PairWarning("palette", message, found.fraction)


def _is_slice(image: Tensor) -> bool:
    """Whether an image has a black surround, as slices of a patient have."""
    luma = to_ycbcr(image).luma[0, 0]
    height, width = (max(side // 32, 1) for side in luma.shape)
    border = torch.cat(
        [luma[:height].ravel(), luma[-height:].ravel(), luma[:, :width].ravel(), luma[:, -width:].ravel()]
    )
    return bool((border < _BLACK).float().mean() > 0.98 and (luma < _BLACK).float().mean() > 0.2)


def _swapped(a: Tensor, b: Tensor) -> PairWarning | None:
    colored = saturation(a)
    if colored <= _COLORED or saturation(b) >= _GRAY:
        return None
    message = "`a` is colored and `b` is gray, so the color of `a` is kept: the pair looks swapped (visible comes last)"
    return PairWarning("order", message, colored)


def _black_hot(a: Tensor) -> PairWarning | None:
    score = polarity_score(to_ycbcr(a).luma[0, 0].numpy()) if saturation(a) < _GRAY else 0.0
    if score >= _BLACK_HOT:
        return None
    message = (
        "`a` looks black-hot: if hot things are dark in it, give `polarity=black-hot`; if not, `polarity=white-hot`"
    )
    return PairWarning("polarity", message, score, 1 / (1 + math.exp(score)))
