"""Estimate the time offset between two cameras from motion that both observe."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.inference.video.color_range import luma_plane, with_luma

if TYPE_CHECKING:
    from refinefuse.live.camera import LiveFrame

LARGEST = 0.5  # maximum offset in seconds
_STEP = 0.01  # seconds between candidate lags
_SPAN, _ENOUGH = 20.0, 10.0  # maximum and minimum seconds of motion to compare
_EVERY = 2.0  # seconds between comparisons
_SMOOTH = 0.12  # seconds: about a frame of the slowest cameras
_SURE = 0.7  # minimum correlation of a lag
_RIVAL, _APART = 0.8, 0.15  # ambiguous: this fraction of the best correlation, this many seconds away
_AGREED = 0.03  # maximum difference in seconds of two comparisons that agree
_THUMBNAIL = (64, 48)


class ClockOffset:
    """Compare when the images of two cameras change; the offset is known once two comparisons agree.

    Attributes:
        seconds: delay of `a` relative to `b`; 0 until it is known.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._motions = _Motion(), _Motion()
        self._last: float | None = None
        self._next = 0.0

    def add(self, a: LiveFrame, b: LiveFrame) -> bool:
        """Add the frames being fused; return whether the offset changed."""
        for motion, frame in zip(self._motions, (a, b), strict=True):
            motion.add(frame)
        now = max(a.time, b.time)
        if now < self._next:
            return False
        self._next = now + _EVERY
        found, before = self._compare(), self._last
        self._last = found
        if found is None or before is None or abs(found - before) > _AGREED or abs(found - self.seconds) < _STEP:
            return False
        self.seconds = found
        return True

    def _compare(self) -> float | None:
        """Return the lag at which the changes of both correlate best; None without a clear maximum."""
        begin, end = (pick(one.span[side] for one in self._motions) for side, pick in enumerate((max, min)))
        if end - begin < _ENOUGH:
            return None
        grid = np.arange(max(begin, end - _SPAN), end, _STEP)
        a, b = (motion.sampled(grid) for motion in self._motions)
        reach = round(LARGEST / _STEP)
        windows = np.lib.stride_tricks.sliding_window_view(a, len(b) - 2 * reach)
        scores = _correlation(windows, b[reach:-reach])
        best = int(scores.argmax())
        away = abs(np.arange(len(scores)) - best) * _STEP > _APART
        if not 0 < best < len(scores) - 1 or scores[best] < _SURE or scores[away].max() > _RIVAL * scores[best]:
            return None
        left, top, right = scores[best - 1 : best + 2]
        return float((best - reach + (left - right) / (2 * (left - 2 * top + right))) * _STEP)


class _Motion:
    """Change between consecutive frames of a camera."""

    def __init__(self) -> None:
        self._changes: deque[tuple[float, float]] = deque()  # times, and the cumulative change up to each
        self._before: Float[np.ndarray, "h w"] | None = None

    def add(self, frame: LiveFrame) -> None:
        if self._changes and frame.time <= self._changes[-1][0]:
            return
        small = cv2.resize(luma_plane(with_luma(frame.image)), _THUMBNAIL, interpolation=cv2.INTER_AREA)
        image = small.astype(np.float32)
        total = self._changes[-1][1] if self._changes else 0.0
        change = 0.0 if self._before is None else float(np.abs(image - self._before).mean())
        self._changes.append((frame.time, total + change))
        self._before = image
        while frame.time - self._changes[0][0] > _SPAN + 1:
            self._changes.popleft()

    @property
    def span(self) -> tuple[float, float]:
        """Return the first and the last time."""
        return self._changes[0][0], self._changes[-1][0]

    def sampled(self, grid: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the change per step around the times of a grid."""
        times, totals = np.array(self._changes).T
        after, before = (np.interp(grid + side * _SMOOTH / 2, times, totals) for side in (1, -1))
        return np.asarray(after - before)


def _correlation(windows: Float[np.ndarray, "lags n"], signal: Float[np.ndarray, " n"]) -> Float[np.ndarray, " lags"]:
    windows, signal = windows - windows.mean(1, keepdims=True), signal - signal.mean()
    scale = np.sqrt((windows**2).sum(1) * (signal**2).sum())
    scores: Float[np.ndarray, " lags"] = windows @ signal / np.maximum(scale, 1e-9)
    return scores
