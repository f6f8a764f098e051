"""Pair files by the timestamps in their names."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from refinefuse.errors import PairingError, format_names

TIME = "time:"
"""Prefix of `pair_by` for pairing by timestamp."""
_DATE = re.compile(
    r"(?<!\d)(\d{4})[-_.]?(\d\d)[-_.]?(\d\d)[-_T. ]?(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:[-_.,](\d{1,9}))?(?!\d)"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SCALES = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""Minimum values of integers in units of 1e-9, 1e-6 or 1e-3 s: as seconds they would be beyond the year 5000."""


def seconds_of(name: str) -> float | None:
    """Parse the time in a name, in seconds: a date and time, else its longest number; None if it has none.

    Long integers count milli-, micro- or nanoseconds, by their size.
    """
    if match := _DATE.search(name):
        try:
            year, month, day, hour, minute, second = map(int, match.groups()[:6])
            date = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:  # month 13: no date
            pass
        else:
            return date.timestamp() + float(f"0.{match[7] or 0}")
    numbers = _NUMBER.findall(name)
    if not numbers:
        return None
    longest = max(numbers, key=len)
    value = float(longest)
    return value if "." in longest else value * next((scale for least, scale in _SCALES if value >= least), 1.0)


def pair_by_time(
    in_a: Mapping[str, Path], in_b: Mapping[str, Path], rule: str
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Pair each file of `a` with the nearest one of `b` in time, each used once; keys are the names of `b`.

    Args:
        in_a: files of the first folder by name.
        in_b: files of the second folder by name.
        rule: `time:SECONDS`, the maximum difference.

    Raises:
        PairingError: the rule has no number, or a name has no time.
    """
    try:
        tolerance = float(rule.removeprefix(TIME))
    except ValueError:
        tolerance = math.nan
    if not 0 <= tolerance < math.inf:
        raise PairingError(f"A tolerance in seconds must follow '{TIME}'.\n  expected: {TIME}0.05\n  got: {rule!r}")
    times_a, times_b = (_times(files) for files in (in_a, in_b))
    order = [when for when, _ in times_b]
    nearest: dict[str, tuple[float, str]] = {}
    for when, name in times_a:
        apart, other = _nearest(when, order, times_b)
        if apart <= tolerance and apart < nearest.get(other, (math.inf, ""))[0]:
            nearest[other] = apart, name
    common = {name: other for other, (_, name) in nearest.items()}
    return {common.get(name, f"{name} (a)"): path for name, path in in_a.items()}, dict(in_b)


def _times(files: Mapping[str, Path]) -> list[tuple[float, str]]:
    found = {name: seconds_of(name) for name in files}
    without = [files[name].name for name, when in found.items() if when is None]
    if without:
        raise PairingError(
            f"These names contain no time:\n{format_names(without)}\nRename the files, or pair by something else."
        )
    return sorted((when, name) for name, when in found.items() if when is not None)


def _nearest(when: float, order: Sequence[float], times: Sequence[tuple[float, str]]) -> tuple[float, str]:
    at = bisect_left(order, when)
    near = times[max(at - 1, 0) : at + 1]
    return min((abs(other - when), name) for other, name in near)
