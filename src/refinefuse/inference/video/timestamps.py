"""When each frame is shown: times that rise, whatever the stamps of a file say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from refinefuse.inference.video.frames import CorruptFrame

if TYPE_CHECKING:
    from av import VideoFrame

_RESTART = 1  # seconds by which a stamp jumps back when a clock starts anew, and does not only tremble
_PATIENCE = 64  # frames that wait for a stamp that rises


@dataclass(frozen=True)
class TimedImage:
    """A decoded image with the seconds at which it is shown, and for how long."""

    image: VideoFrame
    moment: Fraction
    duration: Fraction


class RisingTimes:
    """Gives images, which come in the order in which they are shown, times that rise.

    Images whose stamps do not rise step the time until the next stamp that does. After a stamp that jumps far back,
    the clock continues from there. Images of a camera do not wait for the next one: what does not rise comes a period
    later.

    Args:
        events: decoded images, and frames that could not be decoded, which pass through.
        period: seconds that a frame lasts if nothing else is known.
        live: whether they come from a camera.

    Attributes:
        repaired: how many stamps did not rise.
    """

    def __init__(self, events: Iterable[VideoFrame | CorruptFrame], period: Fraction, *, live: bool = False) -> None:
        self.repaired = 0
        self._events, self._period, self._live = events, period, live
        self._held: list[VideoFrame] = []
        self._after: list[CorruptFrame] = []  # what comes after them
        self._moment = Fraction(0)  # of the first of them
        self._shift = Fraction(0)  # of the clock, since stamps jumped back
        self._step = period

    def __iter__(self) -> Iterator[TimedImage | CorruptFrame]:
        """The images with their times."""
        for event in self._events:
            if isinstance(event, CorruptFrame):
                self._after.append(event)
                if self._live or not self._held:
                    yield from self._release(self._moment)
            elif not self._held:
                self._held, self._moment = [event], _stamp_of(event) or Fraction(0)
            else:
                yield from self._settle(event)
            if self._live and len(self._held) == 1 and not isinstance(event, CorruptFrame):
                yield TimedImage(event, self._moment, self._period)
        if self._held:
            self._step = _duration_of(self._held[-1]) or self._step
            yield from self._release(self._moment + len(self._held) * self._step)

    def _settle(self, image: VideoFrame) -> Iterator[TimedImage | CorruptFrame]:
        """Take an image; those before it come out once its stamp settles their times."""
        stamp = _stamp_of(image)
        following = self._moment + len(self._held) * self._step
        moment = following if stamp is None else stamp + self._shift
        if moment <= self._moment:
            self.repaired += 1
            trembles = self._moment - moment < _RESTART
            if trembles and not self._live and len(self._held) < _PATIENCE:
                self._held.append(image)
                return
            self._shift += Fraction(0) if trembles and self._live else following - moment
            moment = following
        yield from self._release(moment)
        self._moment, self._held = moment, [image]

    def _release(self, until: Fraction) -> Iterator[TimedImage | CorruptFrame]:
        """The images that are held, and what comes after them; a camera's are out already."""
        images = [] if self._live else self._held
        step = min((until - self._moment) / max(len(images), 1), self._period)
        if len(images) == 1:
            self._step = step
        for number, image in enumerate(images, 1):
            moment = self._moment + (number - 1) * step
            yield TimedImage(image, moment, until - moment if number == len(images) else step)
        yield from self._after
        self._after.clear()


def _stamp_of(image: VideoFrame) -> Fraction | None:
    return None if image.pts is None or image.time_base is None else image.pts * image.time_base


def _duration_of(image: VideoFrame) -> Fraction | None:
    return image.duration * image.time_base if image.duration and image.time_base else None
