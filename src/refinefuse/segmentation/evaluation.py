"""Evaluate semantic segmentation: intersection over union, with bootstrap confidence intervals over images.

Source: B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, UInt8

from refinefuse.detection.evaluation import DRAWS

OTHER, IGNORED = 254, 255
"""Class numbers of pixels of all other classes, and of pixels to ignore."""


@dataclass(frozen=True)
class SegmentationMetrics:
    """Segmentation metrics in 0..1; NaN for a class that no mask contains.

    Attributes:
        iou: intersection over union per class, over the pixels of all images.
        mean_iou: mean over the classes.
        bootstrap_samples: `mean_iou` of each bootstrap sample; resampling depends only on the number of images.
    """

    iou: Float[np.ndarray, " k"]
    mean_iou: float
    bootstrap_samples: Float[np.ndarray, " n"] = field(repr=False)


def count_pixels(
    truth: UInt8[np.ndarray, "h w"], predicted: UInt8[np.ndarray, "h w"], num_classes: int
) -> Int[np.ndarray, "k 3"]:
    """Count the pixels of each class in the intersection, in the mask and in the prediction of one image."""
    predicted = np.where(truth == IGNORED, IGNORED, predicted)
    counted = [truth[truth == predicted], truth, predicted]
    counts: Int[np.ndarray, "k 3"] = np.stack([np.bincount(x.ravel(), minlength=256)[:num_classes] for x in counted], 1)
    return counts


def evaluate_segmentation(counts: Float[np.ndarray, "n k 3"]) -> SegmentationMetrics:
    """Compute the intersection over union over all images.

    Args:
        counts: result of `count_pixels` for each image.
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
