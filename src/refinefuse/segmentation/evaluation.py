"""How well the classes of pixels agree with masks: intersection over union, with intervals over images.

Source: B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, UInt8

from refinefuse.detection.evaluation import DRAWS

OTHER, IGNORED = 254, 255
"""Numbers of pixels that belong to no class that is asked for, and of those that do not count."""


@dataclass(frozen=True)
class SegmentationMetrics:
    """How well pixels agree with masks, 0..1; NaN where no mask shows the class.

    Attributes:
        iou: of each class, over the pixels of all images.
        mean_iou: over the classes.
        bootstrap_samples: `mean_iou` of resampled images; the same number of images is always resampled the same way.
    """

    iou: Float[np.ndarray, " k"]
    mean_iou: float
    bootstrap_samples: Float[np.ndarray, " n"] = field(repr=False)


def count_pixels(
    truth: UInt8[np.ndarray, "h w"], predicted: UInt8[np.ndarray, "h w"], num_classes: int
) -> Int[np.ndarray, "k 3"]:
    """How many pixels of one image are each class in both, in the mask, and in the prediction."""
    predicted = np.where(truth == IGNORED, IGNORED, predicted)
    counted = [truth[truth == predicted], truth, predicted]
    counts: Int[np.ndarray, "k 3"] = np.stack([np.bincount(x.ravel(), minlength=256)[:num_classes] for x in counted], 1)
    return counts


def evaluate_segmentation(counts: Float[np.ndarray, "n k 3"]) -> SegmentationMetrics:
    """Intersection over union of all images together.

    Args:
        counts: of each image, as `count_pixels` gives them.
    """
    num_images, num_classes, _ = counts.shape
    generator = np.random.default_rng(0)
    drawn = [np.bincount(generator.integers(0, num_images, num_images), minlength=num_images) for _ in range(DRAWS)]
    sums = np.vstack([np.ones(num_images), *drawn]) @ counts.reshape(num_images, -1).astype(np.float64)
    shared, asked, found = np.moveaxis(sums.reshape(-1, num_classes, 3), 2, 0)
    iou = np.where(asked > 0, shared / np.maximum(asked + found - shared, 1), np.nan)
    there = ~np.isnan(iou)
    mean = np.where(there.any(1), np.where(there, iou, 0).sum(1) / np.maximum(there.sum(1), 1), np.nan)
    return SegmentationMetrics(iou[0], float(mean[0]), mean[1:])
