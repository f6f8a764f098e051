"""Evaluate the trained networks of one row, with bootstrap confidence intervals over images and seeds.

Source: B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3. Images and seeds are
resampled jointly; all rows share the samples, so their differences have intervals as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.evaluation import DRAWS, DetectionMetrics, evaluate_detections

ALL = "all"


@dataclass(frozen=True)
class Evaluation:
    """Scores of the networks of one row.

    Attributes:
        values: per column, the score of each seed; NaN where there is no label.
        samples: per column, the score of each bootstrap sample; not available for every column.
    """

    values: Mapping[str, Float[np.ndarray, " s"]]
    samples: Mapping[str, Float[np.ndarray, " n"]]


def _over_seeds(samples: Float[np.ndarray, "s n"]) -> Float[np.ndarray, " n"]:
    """Mean over seeds, which are resampled with replacement for each bootstrap sample of the images."""
    seeds, draws = samples.shape
    chosen = np.random.default_rng(1).integers(0, seeds, (draws, seeds))
    mean: Float[np.ndarray, " n"] = np.take_along_axis(samples.T, chosen, 1).mean(1)
    return mean


def intersection_over_union(confusion: Float[np.ndarray, "*b k k"]) -> Float[np.ndarray, "*b k"]:
    """Compute the IoU per class from a confusion matrix (rows: truth); NaN for a class without pixels."""
    shared = np.diagonal(confusion, axis1=-2, axis2=-1)
    asked = confusion.sum(-1)
    either = asked + confusion.sum(-2) - shared
    iou: Float[np.ndarray, "*b k"] = np.where(asked > 0, shared / np.maximum(either, 1), np.nan)
    return iou


def evaluate_segmentation(
    confusions: Int[np.ndarray, "s n k k"], classes: Sequence[str], groups: Mapping[str, Sequence[int]]
) -> Evaluation:
    """Compute the mean IoU per group of images and the IoU of each class over all images.

    Args:
        confusions: confusion matrix of each seed and image.
        classes: class names.
        groups: image indices per group, including `all`.
    """
    values, samples = {}, {}
    seeds, num_classes = len(confusions), len(classes)
    for group, index in groups.items():
        flat = confusions[:, list(index)].reshape(seeds, len(index), -1).astype(np.float64)
        iou = intersection_over_union(flat.sum(1).reshape(seeds, num_classes, num_classes))
        values[f"{group}: mIoU"] = np.nanmean(iou, -1)
        counts = _draws(len(index))
        drawn = intersection_over_union((counts @ flat).reshape(seeds, DRAWS, num_classes, num_classes))
        samples[f"{group}: mIoU"] = _over_seeds(np.nanmean(drawn, -1))
        if group == ALL:
            values |= {name: iou[:, k] for k, name in enumerate(classes)}
    return Evaluation(values, samples)


def _draws(num_images: int) -> Float[np.ndarray, "d n"]:
    """Count of each image in each bootstrap sample."""
    generator = np.random.default_rng(0)
    drawn = (generator.integers(0, num_images, num_images) for _ in range(DRAWS))
    return np.stack([np.bincount(index, minlength=num_images) for index in drawn]).astype(np.float64)


def evaluate_boxes(
    labels: Mapping[str, Boxes],
    found: Sequence[Mapping[str, Boxes]],
    classes: Sequence[str],
    groups: Mapping[str, Sequence[str]],
) -> Evaluation:
    """Compute the average precision per group of images and per class.

    Args:
        labels: labels by image.
        found: detections of each seed, by image.
        classes: classes to evaluate.
        groups: image names per group, including `all`.
    """
    values: dict[str, Float[np.ndarray, " s"]] = {}
    samples: dict[str, Float[np.ndarray, " n"]] = {}
    for group, names in groups.items():
        here = {name: labels[name] for name in names}
        of_seed = [evaluate_detections(here, boxes, classes, DRAWS if group == ALL else 0) for boxes in found]
        values[f"{group}: AP50"] = _of_seeds(of_seed, "ap50")
        values[f"{group}: AP50:95"] = _of_seeds(of_seed, "ap")
        values |= {f"{group}, {c}: AP50": np.array([x.ap50_by_class[c] for x in of_seed]) for c in classes}
        if group == ALL:
            for row, key in enumerate(("AP50", "AP50:95")):
                samples[f"{group}: {key}"] = _over_seeds(np.stack([x.bootstrap_samples[row] for x in of_seed]))
    return Evaluation(values, samples)


def _of_seeds(metrics: Sequence[DetectionMetrics], name: str) -> Float[np.ndarray, " s"]:
    return np.array([getattr(one, name) for one in metrics])
