"""Derive boxes from semantic masks, which separate classes but not instances.

Each connected component (8-connectivity) of a class is an object. Components with a vertical gap of at most `GAP`
pixels are merged, because a railing or a bumper can split an object. Touching objects become one box, and an object
with a wide occlusion in the middle becomes two. A component that is narrower or lower than `SMALLEST`, or has fewer
than `FEWEST` pixels, becomes an ignore region.

On the 22 images of MSRS that have both a mask and hand-drawn boxes (321 masks in all), 33 of 38 persons and 10 of 12
cars have a derived box with an IoU of at least 0.5 (mean 0.82 and 0.87). Most of the others are labeled in only one of
the two: masks label vans and trucks as cars, the hand-drawn boxes omit them.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes, make_boxes

GAP = 4
SMALLEST, FEWEST = 8, 100


def boxes_of_mask(mask: UInt8[np.ndarray, "h w"], classes: Mapping[int, str]) -> Boxes:
    """Derive boxes from a mask of class numbers.

    Args:
        mask: class number of each pixel.
        classes: class number -> name; other numbers are background.
    """
    corners, names, crowd = [], [], []
    column = np.ones((2 * (GAP // 2) + 1, 1), np.uint8)
    for number, name in classes.items():
        plane = (mask == number).astype(np.uint8)
        _, pieces = cv2.connectedComponents(cv2.morphologyEx(plane, cv2.MORPH_CLOSE, column), connectivity=8)
        pieces = pieces * plane  # drop the pixels that closing added
        for piece in np.unique(pieces[pieces > 0]):
            shape = (pieces == piece).astype(np.uint8)
            left, top, width, height = cv2.boundingRect(shape)
            corners.append((left, top, left + width, top + height))
            names.append(name)
            crowd.append(min(width, height) < SMALLEST or int(shape.sum()) < FEWEST)
    return make_boxes(corners, names, crowd=crowd)
