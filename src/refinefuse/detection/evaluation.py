"""How well found boxes agree with labels, by the rules of COCO, with intervals by the bootstrap over images.

Source: T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and the evaluation of its challenge:
average precision at 101 steps of recall, at most 100 boxes an image and class, sizes by the area of the label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from refinefuse.detection.boxes import Boxes
from refinefuse.errors import optional

SIZES = ("small", "medium", "large")
"""Of labels: below 32 x 32 pixels, below 96 x 96, and more."""
_ALL, _MOST = 0, -1  # the indices of all sizes, and of 100 boxes, in COCO's tables
DRAWS = 500


@dataclass(frozen=True)
class DetectionMetrics:
    """How well boxes agree with labels, 0..1; NaN where no label asks.

    Attributes:
        ap50: average precision at an overlap of 0.5, the mean over the classes.
        ap: the mean over overlaps from 0.5 to 0.95.
        ap50_by_class: by class.
        ap_by_class: by class.
        recall_by_size: which part of the labels is found at an overlap of 0.5, by their size.
        labels: how many labels there are, by class.
        bootstrap_samples: `ap50` and `ap` (2, n) of resampled images. The same number of images is always resampled in
            the same way, so that methods can be compared sample by sample.
    """

    ap50: float
    ap: float
    ap50_by_class: Mapping[str, float]
    ap_by_class: Mapping[str, float]
    recall_by_size: Mapping[str, float]
    labels: Mapping[str, int]
    bootstrap_samples: Float[np.ndarray, "2 n"] = field(repr=False)


def evaluate_detections(
    labels: Mapping[str, Boxes], found: Mapping[str, Boxes], classes: Sequence[str], bootstrap_samples: int = DRAWS
) -> DetectionMetrics:
    """Compare what was found with what is labeled.

    Args:
        labels: by image; these images count.
        found: by image, at least those of `labels`.
        classes: which classes; others do not count.
        bootstrap_samples: how often the images are drawn anew; 0: no intervals.

    Raises:
        MissingDependencyError: faster-coco-eval is not installed.
    """
    evaluator = _evaluated(labels, found, classes)
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    ap50_by_class = {name: _mean(precision[0, :, k, _ALL, _MOST]) for k, name in enumerate(classes)}
    ap_by_class = {name: _mean(precision[:, :, k, _ALL, _MOST]) for k, name in enumerate(classes)}
    asked = [boxes.select(~boxes.crowd) for boxes in labels.values()]
    return DetectionMetrics(
        _mean(precision[0, :, :, _ALL, _MOST]),
        _mean(precision[:, :, :, _ALL, _MOST]),
        ap50_by_class,
        ap_by_class,
        {size: _mean(recall[0, :, a, _MOST]) for a, size in enumerate(SIZES, 1)},
        {name: sum(boxes.classes.count(name) for boxes in asked) for name in classes},
        _drawn(evaluator, len(labels), len(classes), bootstrap_samples),
    )


def _mean(values: np.ndarray) -> float:
    """The mean of what is there; COCO says -1 where no label asks."""
    there = values[values > -1]
    return float(there.mean()) if there.size else float("nan")


def _evaluated(labels: Mapping[str, Boxes], found: Mapping[str, Boxes], classes: Sequence[str]) -> Any:
    with optional("detection", "Comparing boxes with labels"):
        from faster_coco_eval import COCO, COCOeval_faster
    categories = {name: k for k, name in enumerate(classes, 1)}
    truth, results = COCO(), COCO()
    frame = {
        "images": [{"id": i} for i in range(1, len(labels) + 1)],
        "categories": [{"id": k, "name": name} for name, k in categories.items()],
    }
    truth.dataset = {**frame, "annotations": _annotations([labels[name] for name in labels], categories)}
    results.dataset = {**frame, "annotations": _annotations([found[name] for name in labels], categories)}
    truth.createIndex()
    results.createIndex()
    evaluator = COCOeval_faster(truth, results, "bbox", separate_eval=True)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator


def _annotations(images: Sequence[Boxes], categories: Mapping[str, int]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, boxes in enumerate(images, 1):
        sizes = boxes.corners[:, 2:] - boxes.corners[:, :2]
        for i, name in enumerate(boxes.classes):
            if name in categories:
                (left, top), (width, height) = boxes.corners[i, :2].tolist(), sizes[i].tolist()
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "image_id": image,
                        "category_id": categories[name],
                        "bbox": [left, top, width, height],
                        "area": width * height,
                        "iscrowd": int(boxes.crowd[i]),
                        "score": float(boxes.scores[i]),
                    }
                )
    return rows


def _drawn(evaluator: Any, images: int, classes: int, bootstrap_samples: int) -> Float[np.ndarray, "2 n"]:
    """AP50 and AP of images drawn with replacement: the library's own sums over what it found image by image.

    Source: B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.
    """
    from faster_coco_eval import faster_eval_api_cpp

    params = evaluator._paramsEval
    areas = len(params.areaRng)
    params.areaRng, params.areaRngLbl, params.maxDets = params.areaRng[:1], params.areaRngLbl[:1], params.maxDets[-1:]
    by_class = [evaluator._evalImgs_cpp[k * areas * images :][:images] for k in range(classes)]
    generator = np.random.default_rng(0)
    values = np.empty((2, bootstrap_samples))
    for draw in range(bootstrap_samples):
        chosen = generator.integers(0, images, images)
        sample = [images[i] for images in by_class for i in chosen]
        precision = np.asarray(faster_eval_api_cpp.COCOevalAccumulate(params, sample)["precision"])
        values[:, draw] = _mean(precision[0]), _mean(precision)
    return values


def interval(bootstrap_samples: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The 95 % interval of a value from its bootstrap_samples."""
    if not bootstrap_samples.size or np.isnan(bootstrap_samples).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(bootstrap_samples, (2.5, 97.5))
    return float(low), float(high)
