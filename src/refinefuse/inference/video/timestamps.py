"""Presentation times: strictly increasing, even if the timestamps in a file are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from refinefuse.inference.video.frames import CorruptFrame

if TYPE_CHECKING:
    from av import VideoFrame

_RESTART = 1  # seconds: larger backward jumps mean a clock restart rather than jitter
_PATIENCE = 64  # maximum number of frames held until a timestamp increases


@dataclass(frozen=True)
class TimedImage:
    """A decoded image with its presentation time and duration in seconds."""

    image: VideoFrame
    moment: Fraction
    duration: Fraction


class RisingTimes:
    """Assigns increasing times to images in display order.

    Images whose timestamps do not increase are spaced evenly until the next one that does. After a large backward jump,
    the clock continues from there. Camera images are not held back: those that do not increase are placed one period
    later.

    Args:
        events: decoded images, and corrupt frames, which pass through.
        period: default duration of a frame in seconds.
        live: whether they come from a camera.

    Attributes:
        repaired: number of timestamps that did not increase.
    """

    def __init__(self, events: Iterable[VideoFrame | CorruptFrame], period: Fraction, *, live: bool = False) -> None:
        self.repaired = 0
        self._events, self._period, self._live = events, period, live
        self._held: list[VideoFrame] = []
        self._after: list[CorruptFrame] = []  # corrupt frames after them
        self._moment = Fraction(0)  # time of the first of them
        self._shift = Fraction(0)  # clock offset after backward jumps
        self._step = period

    def __iter__(self) -> Iterator[TimedImage | CorruptFrame]:
        """Yield the images with their times."""
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
        """Accept an image; earlier ones are released once its timestamp determines their times."""
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
        """Release held images and the corrupt frames after them; camera images are never held."""
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
