"""A look at a pair before it is fused, for a few milliseconds: does it lie on each other at all?

Edge directions of small pictures are correlated over shifts, and over four scales for the field of view. Nothing is
said unless another place is clearly better than the present one: how often that is right is told in docs/alignment.md.
"""

from __future__ import annotations

import numpy as np

from refinefuse.alignment.edges import Field, Grey, luma, orientation, shrink
from refinefuse.alignment.search import LOOK, Correlator, directions_after
from refinefuse.alignment.transform import centring
from refinefuse.image.pixels import Pixels

_WIDTH, _WIDTH_OF_SCALES = 160, 96  # the longer side of the small pictures
_REACH = 0.25  # the largest shift, in sides
_SCALES = tuple(np.exp([-0.24, -0.12, 0.12, 0.24]))
_STILL = 2  # small pixels: a shift up to this is none
_SURE = 12.0  # standard deviations over chance
_BETTER, _BETTER_OF_SCALES = 1.1, 1.2  # by which factor the other place must agree better
_COLOURED = 0.02  # mean difference of the channels, of the full range


def doubts_of(a: Pixels, b: Pixels) -> list[str]:
    """What looks wrong with a pair that is to be fused as it is: swapped, shifted, of other fields of view.

    Args:
        a: the source that gives no colour.
        b: the source whose colour is kept.

    Returns:
        A sentence for each doubt; none if all looks well, or the two differ in size, which is refused elsewhere.
    """
    doubts = []
    if _coloured(a) and not _coloured(b):
        doubts.append("`a` is in colour and `b` is grey: the two look swapped (first infrared, then visible)")
    if a.shape[:2] != b.shape[:2] or min(a.shape[:2]) < 32:
        return doubts
    first, second = luma(a), luma(b)
    scale = _scale(first, second)
    if scale != 1:
        doubts.append(f"things look {scale:.2f} times as large in `a` as in `b`: the fields of view differ")
        return doubts
    x, y = _offset(first, second)
    if (x, y) != (0, 0):
        distance = float(np.hypot(x, y))
        doubts.append(
            f"`a` looks shifted against `b` by about {distance:.0f} pixels ({abs(x):.0f} to the "
            f"{'right' if x > 0 else 'left'}, {abs(y):.0f} {'down' if y > 0 else 'up'})"
        )
    return doubts


def _coloured(pixels: Pixels) -> bool:
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return False
    some = pixels[::8, ::8, :3].astype(np.float32)
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    return float(np.ptp(some, axis=2).mean()) > _COLOURED * top


def _offset(a: Grey, b: Grey) -> tuple[float, float]:
    """Where in `a` the origin of `b` seems to lie, (x, y) in pixels; (0, 0) if where it should, or if unknown."""
    factor = max(1.0, max(b.shape) / _WIDTH)
    small_a, small_b = shrink(a, factor), shrink(b, factor)
    correlator = Correlator(orientation(small_b, LOOK), _REACH)
    surface = correlator.surface(orientation(small_a, LOOK))
    shifts_y, shifts_x = correlator.shifts
    still = surface[np.ix_(abs(shifts_y) <= _STILL, abs(shifts_x) <= _STILL)].max()
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    best, shift_x, shift_y = surface[y, x], shifts_x[x], shifts_y[y]
    if best < _SURE or best < _BETTER * still or max(abs(shift_x), abs(shift_y)) <= _STILL:
        return 0.0, 0.0
    return float(shift_x * factor), float(shift_y * factor)


def _scale(a: Grey, b: Grey) -> float:
    """How many times as large things are in `a` as in `b`; 1 if that is not clearly another factor."""
    factor = max(1.0, max(b.shape) / _WIDTH_OF_SCALES)
    small_a, small_b = shrink(a, factor), shrink(b, factor)
    correlator = Correlator(orientation(small_b, LOOK), _REACH)
    present = float(correlator.surface(orientation(small_a, LOOK)).max())
    scores = {scale: float(correlator.surface(_scaled(small_a, scale)).max()) for scale in _SCALES}
    best = max(scores, key=scores.__getitem__)
    clear = scores[best] >= _SURE and scores[best] >= _BETTER_OF_SCALES * present
    return float(best) if clear else 1.0


def _scaled(picture: Grey, scale: float) -> Field:
    """Edge directions of a picture made `scale` times as small about its centre; nothing where it has no data."""
    about = centring(picture.shape)
    matrix = about @ np.diag([scale, scale, 1]) @ np.linalg.inv(about)
    return directions_after(picture, np.ones_like(picture), matrix, picture.shape)
