"""Frames, frame rates, and access to PyAV."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING

from refinefuse.errors import InputError, optional

if TYPE_CHECKING:
    from av import VideoFrame

SLOWEST, FASTEST = Fraction(1, 86400), Fraction(1000)
"""Range of frame rates that containers support: from one frame per day to one per millisecond."""
_BROADCAST = tuple(Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120))


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: the decoded image.
        moment: time on the clock of its source in seconds; strictly increasing.
        time: seconds since the first frame of its source.
        duration: seconds until the next frame, or duration of the last one.
        name: name for messages.
    """

    image: VideoFrame
    moment: Fraction
    time: float
    duration: Fraction
    name: str


@dataclass(frozen=True)
class CorruptFrame:
    """A frame that could not be decoded.

    Attributes:
        name: name for messages. reason: what is wrong with it.
    """

    name: str
    reason: str


def import_av() -> ModuleType:
    """Import PyAV.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    with optional("video", "Reading and writing videos"):
        import av
    return av


@contextmanager
def listening() -> Iterator[None]:
    """Make FFmpeg report errors only to those who capture them."""
    av = import_av()
    level, logger, silent = av.logging.get_level(), logging.getLogger("libav"), logging.NullHandler()
    propagate = logger.propagate
    av.logging.set_level(av.logging.ERROR)
    logger.addHandler(silent)
    logger.propagate = False
    try:
        yield
    finally:
        av.logging.set_level(level)
        logger.removeHandler(silent)
        logger.propagate = propagate


def reason_of(error: Exception) -> str:
    """The message of an FFmpeg or system error."""
    if isinstance(error, import_av().error.ExitError):  # raised on timeout, as "Immediate exit requested"
        return "timed out"
    return getattr(error, "strerror", None) or str(error)


def exact_rate(rate: float) -> Fraction:
    """The exact frame rate for a decimal number: 29.97 means 30000/1001.

    Raises:
        InputError: if no container supports it.
    """
    exact = Fraction(rate).limit_denominator(10**6) if math.isfinite(rate) else Fraction(0)
    if not SLOWEST <= exact <= FASTEST:
        raise InputError(f"`fps` must be from {SLOWEST} (one frame a day) to {FASTEST}.\n  got: {rate:g}")
    return next((one for one in _BROADCAST if abs(one - rate) < 0.005), exact)


def usable_rate(rate: Fraction) -> Fraction:
    """Clamp a declared frame rate to what containers support."""
    return min(max(rate, SLOWEST), FASTEST)
