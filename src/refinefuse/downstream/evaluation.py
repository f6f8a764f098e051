"""How well the trained networks of one row do, with intervals over images and over seeds.

Source: B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3. Images and seeds are drawn
anew together; all rows get the same draws, so that their differences have intervals as well.
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
    """What the networks of one row reach.

    Attributes:
        values: by column, of each seed; NaN where nothing is asked.
        samples: by column, of each draw of images and seeds; not of every column.
    """

    values: Mapping[str, Float[np.ndarray, " s"]]
    samples: Mapping[str, Float[np.ndarray, " n"]]


def _over_seeds(samples: Float[np.ndarray, "s n"]) -> Float[np.ndarray, " n"]:
    """The mean of as many seeds as there are, drawn with replacement for each draw of images."""
    seeds, draws = samples.shape
    chosen = np.random.default_rng(1).integers(0, seeds, (draws, seeds))
    mean: Float[np.ndarray, " n"] = np.take_along_axis(samples.T, chosen, 1).mean(1)
    return mean


def intersection_over_union(confusion: Float[np.ndarray, "*b k k"]) -> Float[np.ndarray, "*b k"]:
    """The IoU of each class, from pixels of each class (rows) taken for each class; NaN for one that has no pixel."""
    shared = np.diagonal(confusion, axis1=-2, axis2=-1)
    asked = confusion.sum(-1)
    either = asked + confusion.sum(-2) - shared
    iou: Float[np.ndarray, "*b k"] = np.where(asked > 0, shared / np.maximum(either, 1), np.nan)
    return iou


def evaluate_segmentation(
    confusions: Int[np.ndarray, "s n k k"], classes: Sequence[str], groups: Mapping[str, Sequence[int]]
) -> Evaluation:
    """Mean IoU by group of images, and the IoU of each class over all.

    Args:
        confusions: of each seed and image.
        classes: their names.
        groups: which images; `all` is among them.
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
    """How often each draw takes each image."""
    generator = np.random.default_rng(0)
    drawn = (generator.integers(0, num_images, num_images) for _ in range(DRAWS))
    return np.stack([np.bincount(index, minlength=num_images) for index in drawn]).astype(np.float64)


def evaluate_boxes(
    labels: Mapping[str, Boxes],
    found: Sequence[Mapping[str, Boxes]],
    classes: Sequence[str],
    groups: Mapping[str, Sequence[str]],
) -> Evaluation:
    """Average precision by group of images and by class.

    Args:
        labels: by image.
        found: of each seed, by image.
        classes: which classes.
        groups: the names of the images; `all` is among them.
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
