"""Medical slices as images, recognized by their black background, and measurements of the body in them."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

_BLACK, _WHITE = 0.05, 0.99  # luma
_OPENING = 0.23  # of the side of a square as large as the body: the skull is thinner
_SPECKLE = 5  # pixels: smaller things are no body

Luma = Float[np.ndarray, "h w"]


def is_slice(luma: Luma) -> bool:
    """Whether an image has a black background, as medical slices do.

    Args:
        luma: in [0, 1].
    """
    height, width = (max(side // 32, 1) for side in luma.shape)
    border = luma[:height], luma[-height:], luma[:, :width], luma[:, -width:]
    dark = np.concatenate([side.ravel() for side in border]) < _BLACK
    return bool(dark.mean() > 0.9 and (luma < _BLACK).mean() > 0.2)


def white_area(luma: Luma) -> float:
    """Fraction of the body that lies in white areas.

    A skull is white in every window that shows the brain, but thin: what is thinner than about a quarter of the body
    does not count.

    Args:
        luma: of a slice, in [0, 1].
    """
    white, body = luma >= _WHITE, int((luma >= _BLACK).sum())
    radius = _OPENING / 2 * body**0.5
    cores = _distance(white) > radius
    return float((white & (_distance(~cores) <= radius)).sum() / body) if cores.any() else 0.0


def body_offset(a: Luma, b: Luma) -> NDArray[np.float64]:
    """Offset between the centers of the body in `a` and `b`, (x, y) in pixels.

    Args:
        a: luma of a slice, in [0, 1].
        b: luma of another slice of the same size.
    """
    return _center(a) - _center(b)


def _center(luma: Luma) -> NDArray[np.float64]:
    """Center of mass of the largest object that is not black, or of the image if there is none."""
    mask = cv2.morphologyEx((luma >= _BLACK).astype(np.uint8), cv2.MORPH_OPEN, np.ones((_SPECKLE, _SPECKLE), np.uint8))
    count, _, found, centers = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.array(luma.shape[::-1]) / 2
    return np.asarray(centers[1 + found[1:, cv2.CC_STAT_AREA].argmax()])


def _distance(mask: Bool[np.ndarray, "h w"]) -> Luma:
    """Distance of each mask pixel from the nearest pixel outside."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
