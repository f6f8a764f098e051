"""Evaluate detections by the COCO protocol, with bootstrap confidence intervals over images.

Source: T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and the evaluation of its challenge:
average precision at 101 recall levels, at most 100 boxes per image and class, size classes by label area.
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
"""Size classes of labels: area below 32 x 32 pixels, below 96 x 96, and larger."""
_ALL, _MOST = 0, -1  # indices of "all sizes" and "100 boxes" in the arrays of COCO's evaluation
DRAWS = 500


@dataclass(frozen=True)
class DetectionMetrics:
    """Detection metrics in 0..1; NaN where there is no label.

    Attributes:
        ap50: average precision at IoU 0.5, mean over the classes.
        ap: average precision, mean over IoU 0.5 to 0.95 and the classes.
        ap50_by_class: `ap50` per class.
        ap_by_class: `ap` per class.
        recall_by_size: recall at IoU 0.5 per size class of the labels.
        labels: number of labels per class.
        bootstrap_samples: (2, n) `ap50` and `ap` of each bootstrap sample. Resampling depends only on the number of
            images, so methods can be compared sample by sample.
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
    """Evaluate detections against labels.

    Args:
        labels: labels by image; only these images are evaluated.
        found: detections by image, at least for the images of `labels`.
        classes: classes to evaluate; others are ignored.
        bootstrap_samples: number of bootstrap samples; 0 for no intervals.

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
    """Mean of the defined values; COCO reports -1 where there is no label."""
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
    """Bootstrap AP50 and AP over images, by accumulating the library's per-image results.

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
    """Return the 95 % confidence interval of a value from its bootstrap samples."""
    if not bootstrap_samples.size or np.isnan(bootstrap_samples).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(bootstrap_samples, (2.5, 97.5))
    return float(low), float(high)
