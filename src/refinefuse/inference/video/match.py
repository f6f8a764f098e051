"""Match two streams of frames of any rates by timestamp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class HasTimestamp(Protocol):
    """Anything with a time, in seconds since the first frame of its stream."""

    @property
    def time(self) -> float:
        """Seconds."""


A = TypeVar("A", bound=HasTimestamp)
B = TypeVar("B", bound=HasTimestamp)


class TimestampMatcher(Generic[A, B]):
    """Pairs every frame of `b` with the frame of `a` that is nearest in time; ends with the shorter stream.

    Args:
        a: frames of the first source in order.
        b: frames of the second source, whose frame rate is kept.
        period: assumed duration of a frame of `a` in seconds, until two frames reveal it.

    Attributes:
        note: description of unused frames at the end; empty if there are none.
        cut: whether frames of `b` are left over.
    """

    def __init__(self, a: Iterator[A], b: Iterator[B], *, period: float) -> None:
        self.note, self.cut = "", False
        self._a, self._b = a, b
        self._period = period

    def __iter__(self) -> Iterator[tuple[A, B]]:
        current, following = next(self._a, None), next(self._a, None)
        last, step = 0.0, 0.0
        for b in self._b:
            while current is not None and following is not None and _nearer(following, current, b):
                self._period = following.time - current.time
                current, following = following, next(self._a, None)
            if current is None or (following is None and b.time > current.time + 0.99 * self._period):
                end = 0.0 if current is None else current.time + self._period
                self.note = f"`a` ends after {end:.2f} s, before `b`: stopped there"
                self.cut = True
                return
            last, step = b.time, b.time - last
            yield current, b
        further = next(self._a, None)
        if further is not None and further.time > last + 1.5 * max(self._period, step):
            self.note = f"`b` ends after {last:.2f} s, before `a`: stopped there"


def _nearer(candidate: HasTimestamp, current: HasTimestamp, to: HasTimestamp) -> bool:
    return abs(candidate.time - to.time) <= abs(current.time - to.time)
