"""Non-maximum suppression: the best class of each candidate, suppressed within each class.

The thresholds follow YOLOX's evaluation: a score of at least 0.01, suppression within a class above an IoU of 0.65,
and at most 300 boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.detection.boxes import Boxes, make_boxes

LOWEST_SCORE, OVERLAP, MOST = 0.01, 0.65, 300


def select_boxes(
    corners: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, "n k"], names: Sequence[str], size: tuple[int, int]
) -> Boxes:
    """Return the boxes that remain, in descending order of score.

    Args:
        corners: left, top, right, bottom in pixels of the image.
        scores: score of each class.
        names: class names.
        size: height and width of the image, to which boxes are clipped.
    """
    best, score = scores.argmax(1), scores.max(1)
    sure = (score >= LOWEST_SCORE) & np.isfinite(corners).all(1)
    corners, best, score = corners[sure], best[sure], score[sure]
    spans = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxesBatched(spans.tolist(), score.tolist(), best.tolist(), 0.0, OVERLAP)
    index = np.asarray(kept, np.int64).reshape(-1)
    index = index[np.argsort(-score[index], kind="stable")][:MOST]
    height, width = size
    boxes = make_boxes(
        corners[index].clip(0, [width, height, width, height]), [names[i] for i in best[index]], score[index]
    )
    sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
    return boxes.select(sides.min(1, initial=np.inf) > 0)  # drop boxes outside the image
