"""Bounding boxes of one image (detections or labels) and their export as COCO JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32


@dataclass(frozen=True)
class Boxes:
    """Bounding boxes of one image.

    Attributes:
        corners: (n, 4) left, top, right, bottom in pixels; (0, 0) is the upper left corner of the image.
        classes: class name of each box.
        scores: (n,) in [0, 1]; 1 for labels.
        crowd: (n,) labels only: whether the box is an ignore region (objects that were not annotated one by one, or
            are too small). Detections in it count as neither true nor false positives.
    """

    corners: Float32[np.ndarray, "n 4"]
    classes: tuple[str, ...]
    scores: Float32[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.classes)

    def select(self, chosen: Sequence[bool] | Bool[np.ndarray, " n"]) -> Boxes:
        """Select boxes by mask."""
        index = np.flatnonzero(chosen)
        return Boxes(self.corners[index], tuple(self.classes[i] for i in index), self.scores[index], self.crowd[index])

    def select_classes(self, classes: Sequence[str]) -> Boxes:
        """Select the boxes of the given classes."""
        return self.select([name in classes for name in self.classes])


def make_boxes(
    corners: Sequence[Sequence[float]] | np.ndarray,
    classes: Sequence[str],
    scores: Sequence[float] | np.ndarray | None = None,
    crowd: Sequence[bool] | None = None,
) -> Boxes:
    """Create boxes from plain lists; empty lists mean an image without objects."""
    count = len(classes)
    return Boxes(
        np.asarray(corners, np.float32).reshape(count, 4),
        tuple(classes),
        np.ones(count, np.float32) if scores is None else np.asarray(scores, np.float32),
        np.zeros(count, bool) if crowd is None else np.asarray(crowd, bool),
    )


def coco_json(found: Mapping[str, Boxes]) -> str:
    """Convert boxes to COCO JSON: images, categories, and annotations with scores.

    Args:
        found: boxes by image file name.
    """
    names = list(dict.fromkeys(name for boxes in found.values() for name in boxes.classes))
    images = [{"id": i, "file_name": name} for i, name in enumerate(found, 1)]
    annotations: list[dict[str, Any]] = []
    for image, boxes in enumerate(found.values(), 1):
        for (left, top, right, bottom), name, score in zip(boxes.corners, boxes.classes, boxes.scores, strict=True):
            width, height = float(right - left), float(bottom - top)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": names.index(name) + 1,
                    "bbox": [round(float(left), 2), round(float(top), 2), round(width, 2), round(height, 2)],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "score": round(float(score), 4),
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    return json.dumps({"images": images, "categories": categories, "annotations": annotations}) + "\n"
