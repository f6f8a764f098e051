"""A quick check before fusing, in under 10 ms: are the two images of a pair aligned at all?

Edge directions of small images are correlated over shifts, and over four scales for the field of view. It
warns only if another position matches clearly better than the present one, and no texture that repeats explains it;
error rates are in docs/alignment.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.alignment.edges import Field, Gray, downsample, orientation
from refinefuse.alignment.search import LOOK, Correlator, directions_after
from refinefuse.alignment.transform import centering

_WIDTH, _WIDTH_OF_SCALES = 160, 96  # the longer side of the small images
_REACH = 0.25  # the largest shift, in sides
_SCALES = tuple(np.exp([-0.24, -0.12, 0.12, 0.24]))
_STILL = 2  # small pixels: a shift up to this is none
_SURE = 12.0  # standard deviations over chance
_BETTER, _BETTER_OF_SCALES = 1.1, 1.2  # by which factor the other position must agree better
_SMALLEST = 32  # pixels per side
_REPEATED, _VALLEY = 0.35, 0.3  # of a texture that repeats: its agreement with itself, and at most that in between


@dataclass(frozen=True)
class Misalignment:
    """How a pair seems not to lie on each other.

    Attributes:
        scale: how many times as large things look in `a` as in `b`; 1 where they are shifted.
        shift: where in `a` the origin of `b` seems to lie, (x, y) in pixels; (0, 0) where the scale differs.
        peak_ratio: how many times better the edges agree there than where they are.
    """

    scale: float
    shift: tuple[float, float]
    peak_ratio: float

    @property
    def message(self) -> str:
        """In words, with what to do."""
        if self.scale != 1:
            return f"things look {self.scale:.2f} times as large in `a` as in `b`: align the pair first (`align`)"
        x, y = self.shift
        across, down = "right" if x > 0 else "left", "down" if y > 0 else "up"
        return (
            f"`a` looks shifted by about {np.hypot(x, y):.0f} pixels ({abs(x):.0f} to the {across}, "
            f"{abs(y):.0f} {down}): align the pair first (`align`)"
        )


def check_registration(a: Gray, b: Gray, step: int = 1) -> Misalignment | None:
    """Look for signs that the images of a pair do not lie on each other: another field of view, or a shift.

    Args:
        a: luma of the source that gives no color.
        b: luma of the source whose color is kept.
        step: how many pixels of the images lie between two of these.

    Returns:
        None if all looks well, or the two differ in size, which is refused elsewhere.
    """
    if a.shape != b.shape or min(a.shape) < _SMALLEST:
        return None
    scale, ratio = _scale(a, b)
    if scale != 1:
        return Misalignment(scale, (0.0, 0.0), ratio)
    (x, y), ratio = _offset(a, b)
    return None if (x, y) == (0, 0) else Misalignment(1.0, (step * x, step * y), ratio)


def _offset(a: Gray, b: Gray) -> tuple[tuple[float, float], float]:
    """Where in `a` the origin of `b` seems to lie, (x, y) in pixels, and how much better it agrees there.

    (0, 0) if it lies where it should, or if that is unknown.
    """
    factor = max(1.0, max(b.shape) / _WIDTH)
    small_a, small_b = downsample(a, factor), downsample(b, factor)
    correlator = Correlator(orientation(small_b, LOOK), _REACH)
    surface = correlator.surface(orientation(small_a, LOOK))
    shifts_y, shifts_x = correlator.shifts
    still = surface[np.ix_(abs(shifts_y) <= _STILL, abs(shifts_x) <= _STILL)].max()
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    best, shift_x, shift_y = surface[y, x], shifts_x[x], shifts_y[y]
    if best < _SURE or best < _BETTER * still or max(abs(shift_x), abs(shift_y)) <= _STILL:
        return (0.0, 0.0), 1.0
    if _repeats(correlator.surface(orientation(small_b, LOOK)), correlator.shifts, shift_x, shift_y):
        return (0.0, 0.0), 1.0
    return (float(shift_x * factor), float(shift_y * factor)), float(best / max(still, 1e-9))


def _repeats(agreement: NDArray[Any], shifts: Sequence[NDArray[Any]], x: int, y: int) -> bool:
    """Whether a texture meets itself again at a shift, which says nothing of the position then.

    It must have lost itself on the way: a long straight edge agrees with itself all along.

    Args:
        agreement: of the image with itself at each of `shifts`, vertical and horizontal.
        shifts: from 0 on, the negative ones behind.
        x: of the shift.
        y: of the shift.
    """
    near = agreement[np.ix_(abs(shifts[0] - y) <= _STILL, abs(shifts[1] - x) <= _STILL)].max()
    way = np.linspace((0, 0), (y, x), max(abs(x), abs(y)) + 1).round().astype(int)
    return bool(near > _REPEATED * agreement[0, 0] and agreement[*way.T].min() < _VALLEY * near)


def _scale(a: Gray, b: Gray) -> tuple[float, float]:
    """How many times as large things are in `a` as in `b`, 1 if unclear, and how much better that agrees."""
    factor = max(1.0, max(b.shape) / _WIDTH_OF_SCALES)
    small_a, small_b = downsample(a, factor), downsample(b, factor)
    correlator = Correlator(orientation(small_b, LOOK), _REACH)
    present = float(correlator.surface(orientation(small_a, LOOK)).max())
    scores = {scale: float(correlator.surface(_scaled(small_a, scale)).max()) for scale in _SCALES}
    best = max(scores, key=scores.__getitem__)
    clear = scores[best] >= _SURE and scores[best] >= _BETTER_OF_SCALES * present
    return (float(best), scores[best] / max(present, 1e-9)) if clear else (1.0, 1.0)


def _scaled(image: Gray, scale: float) -> Field:
    """Edge directions of an image made `scale` times as small about its center; nothing where it has no data."""
    about = centering(image.shape)
    matrix = about @ np.diag([scale, scale, 1]) @ np.linalg.inv(about)
    return directions_after(image, np.ones_like(image), matrix, image.shape)
