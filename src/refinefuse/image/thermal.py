"""Map thermal counts to [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from refinefuse.errors import InputError

#: Raw sensor counts: (h, w), integers or floats of any size, unscaled.
Counts = NDArray[Any]

KELVINS_PER_COUNT = 0.01
"""Of radiometric streams. Source: Teledyne FLIR, "Lepton Engineering Datasheet", TLinear: counts are kelvins x 100."""
ZERO_CELSIUS = 273.15  # K
RULES = "full, percentile:LOW,HIGH, MIN,MAX (counts), or celsius:MIN,MAX (celsius:MIN,MAX,KELVINS_PER_COUNT)"
_SAMPLES = 65_536  # values of a frame that percentiles are taken from, where its values are no small integers
_FEW_LEVELS, _MANY_CLIPPED, _MANY_SATURATED = 1 / 8, 0.2, 0.05


@dataclass(frozen=True)
class IntensityRange:
    """Maps counts to [0, 1]: `low` becomes 0, `high` becomes 1, values outside are clipped.

    Attributes:
        rule: `full` (the range of the data type), `percentile`, `counts` or `celsius`.
        low: a percentile in [0, 100], a count or degrees Celsius, depending on the rule; unused for `full`.
        high: likewise, above `low`.
        kelvins: kelvins per count from absolute zero, for `celsius`.

    Raises:
        InputError: `low` is not below `high`, or a number is out of range.

    Example:
        >>> import numpy as np
        >>> frames = [np.array([[7000, 8000]], np.uint16), np.array([[7500, 9000]], np.uint16)]
        >>> fixed = IntensityRange.parse("percentile:0,100").fit(frames)
        >>> fixed.apply(frames[0]).tolist()
        [[0.0, 0.5]]
    """

    rule: Literal["full", "percentile", "counts", "celsius"] = "full"
    low: float = 0.0
    high: float = 100.0
    kelvins: float = KELVINS_PER_COUNT

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"A range must go from a lower to a higher number.\n  got: {self.low:g} to {self.high:g}")
        if self.rule == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise InputError(f"Percentiles must lie in [0, 100].\n  got: {self.low:g} to {self.high:g}")
        if not (math.isfinite(self.kelvins) and self.kelvins > 0):
            raise InputError(f"The number of kelvins per count must be positive.\n  got: {self.kelvins:g}")

    @classmethod
    def parse(cls, text: str) -> IntensityRange:
        """Read a rule as users write it: `full`, `percentile:1,99`, `7000,9000`, `celsius:-10,40`.

        Raises:
            InputError: if it is none of these.
        """
        if text == "full":
            return cls()
        name, colon, numbers = text.partition(":")
        rule = name if colon else "counts"
        try:
            values = [float(number) for number in (numbers if colon else text).split(",")]
        except ValueError:
            values = []
        if rule == "celsius" and len(values) in (2, 3):
            return cls("celsius", *values)
        if rule == "percentile" and len(values) == 2:
            return cls("percentile", *values)
        if not colon and len(values) == 2:
            return cls("counts", *values)
        raise InputError(f"A range must be one of\n  {RULES}\n  got: {text!r}")

    def fit(self, frames: Iterable[Counts]) -> IntensityRange:
        """The rule with fixed counts, so that equal counts look equal in every frame.

        Args:
            frames: of one sequence, sensor or volume; all are read for `percentile` (the percentiles are those of all
                pixels together: the least count that at least this percentage of the pixels does not exceed), and none
                but the first for the other rules.

        Raises:
            InputError: no frame, counts that are not finite, all counts equal, or counts that the rule cannot stand
                for (negative, or 8 bit as temperatures).
        """
        if self.rule == "counts":
            return self
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            raise InputError("A range needs at least one frame.\n  got: none")
        if self.rule == "percentile":
            low, high = _percentiles(first, frames, (self.low, self.high))
            if not low < high:
                raise InputError(
                    f"All counts between these percentiles have the same value, {low:g}: the frame is empty or "
                    "saturated.\nUse wider percentiles, or set `range` to MIN,MAX."
                )
            return IntensityRange("counts", low, high)
        _check_not_negative(first, self.rule)
        if self.rule == "full":
            return IntensityRange("counts", 0, float(np.iinfo(first.dtype).max) if first.dtype.kind in "iu" else 1)
        if first.dtype == np.uint8:
            raise InputError(
                "Temperatures need counts of more than 8 bits.\n  expected: 16-bit or float\n  got: uint8\n"
                "An 8-bit image no longer contains temperatures: use `range=percentile:1,99`, or no range."
            )
        return IntensityRange("counts", *((limit + ZERO_CELSIUS) / self.kelvins for limit in (self.low, self.high)))

    def apply(self, counts: Counts) -> Float32[np.ndarray, "h w"]:
        """Counts as float32 in [0, 1]; a rule that is not fitted is fitted to these counts alone.

        Raises:
            InputError: as `fit`, or if no pixel lies inside the range.
        """
        _check_finite(counts)
        fixed = self.fit([counts])
        if counts.max() < fixed.low or counts.min() > fixed.high:
            raise InputError(
                f"No pixel lies inside the range.\n  range: {fixed.low:g} to {fixed.high:g} counts\n"
                f"  got: {counts.min():g} to {counts.max():g}\n"
                "Check that the range is in counts, or use `range=percentile:1,99`."
            )
        values = np.ma.filled(counts.astype(np.float64), fixed.low)  # no data is black
        return ((values - fixed.low) / (fixed.high - fixed.low)).clip(0, 1).astype(np.float32)

    def warnings(self, counts: Counts) -> list[str]:
        """What a user should know about a fixed range and a frame: saturated, or mostly clipped."""
        known, found = _known(counts), []
        highest = known.max()
        saturated = float((known == highest).mean())
        if counts.dtype != np.uint8 and saturated > _MANY_SATURATED:
            found.append(f"over {_MANY_SATURATED:.0%} of the pixels have the highest count: the sensor was saturated")
        clipped = float(((known < self.low) | (known > self.high)).mean())
        if clipped > _MANY_CLIPPED:
            found.append(f"over {_MANY_CLIPPED:.0%} of the pixels lie outside the range and are clipped")
        return found


#: The default range of raw counts, robust to one dead pixel in a thousand.
ROBUST_RANGE = IntensityRange("percentile", 0.1, 99.9)


def looks_raw(pixels: Counts) -> bool:
    """Whether 16-bit gray values use so little of their range that they must be raw counts.

    A few dead or hot pixels do not matter: 0.2 % of the values are ignored.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        return False
    low, high = robust_limits(pixels)
    return high - low < _FEW_LEVELS * np.iinfo(np.uint16).max


def robust_limits(counts: Counts) -> tuple[float, float]:
    """The range of counts without the lowest and highest 0.1 %."""
    low, high = _percentiles(counts, (), (ROBUST_RANGE.low, ROBUST_RANGE.high))
    return low, high


def default_range(frames: Iterable[Counts]) -> IntensityRange | None:
    """The default range of a sequence, a folder or one image.

    Args:
        frames: all frames, of one sensor. They are read only if the first one holds raw counts.

    Returns:
        One fixed range for all frames if they hold raw counts (`looks_raw`), else None: the values are an image.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None or not looks_raw(first):
        return None
    return ROBUST_RANGE.fit(chain((first,), frames))


def check_counts(counts: Counts) -> None:
    """Check that an array contains counts.

    Raises:
        InputError: color, no pixels, or values that are no finite numbers.
    """
    if counts.ndim != 2 or counts.size == 0 or counts.dtype.kind not in "iuf":
        raise InputError(
            "counts must be gray: one number per pixel.\n  expected: (h, w)\n"
            f"  got: {counts.shape}, {counts.dtype}\n"
            "A false-color thermal image has no counts: export the raw counts, or remove `range`."
        )
    _check_finite(counts)


def _known(counts: Counts) -> Counts:
    """The counts of all valid pixels, flattened."""
    known: Counts = counts.compressed() if isinstance(counts, np.ma.MaskedArray) else counts.ravel()
    return known


def _check_finite(counts: Counts) -> None:
    counts = _known(counts)
    if counts.size == 0:
        raise InputError("no pixel has data: all are NoData or masked.\nCheck the file.")
    bad = int(counts.size - np.isfinite(counts).sum()) if counts.dtype.kind == "f" else 0
    if bad:
        raise InputError(
            f"counts must be finite numbers.\n  got: {bad} of {counts.size} are NaN or infinite\n"
            "Replace dead pixels first, for example by the median of their neighbors."
        )


def _check_not_negative(counts: Counts, rule: str) -> None:
    if counts.min() < 0:
        raise InputError(
            f"The range '{rule}' needs counts of 0 or more.\n  got: down to {counts.min():g}\n"
            "If the counts are signed, set `range` to MIN,MAX or percentile:1,99; if 16-bit counts were read as "
            "signed, convert them to unsigned first."
        )


def _percentiles(first: Counts, others: Iterable[Counts], limits: tuple[float, float]) -> list[float]:
    """The inverted distribution function of all pixels together: exact for 8 and 16 bits, of samples otherwise."""
    kind = first.dtype
    exact = kind.kind in "iu" and kind.itemsize <= 2
    lowest = int(np.iinfo(kind).min) if exact else 0
    histogram = np.zeros(2 ** (8 * kind.itemsize) if exact else 0, np.int64)
    samples: list[Counts] = []
    for frame in chain((first,), others):
        if frame.dtype != kind:
            raise InputError(f"All frames must have counts of the same type.\n  expected: {kind}\n  got: {frame.dtype}")
        _check_finite(frame)
        if exact:
            histogram += np.bincount(_known(frame).astype(np.int64) - lowest, minlength=len(histogram))
        else:
            samples.append(_known(frame)[:: max(1, frame.size // _SAMPLES)])
    if not exact:
        got: NDArray[Any] = np.percentile(np.concatenate(samples), limits, method="inverted_cdf")
        return [float(value) for value in got]
    cumulated = np.cumsum(histogram)
    positions = np.maximum(np.array(limits) / 100 * cumulated[-1], 1)
    return [float(lowest + np.searchsorted(cumulated, position)) for position in positions]
