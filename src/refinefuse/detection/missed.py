"""Find the labeled objects that a detector misses, and describe them.

An object is found if a detection of its class has an IoU of at least 0.5; detections are matched in descending order of
score, as in COCO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from refinefuse.detection.boxes import Boxes

OVERLAP = 0.5


@dataclass(frozen=True)
class LabeledObject:
    """A labeled object and the images in which it is found.

    Attributes:
        image: name of the pair.
        kind: class of the object.
        corners: left, top, right, bottom in pixels.
        size: square root of its area in pixels.
        light: mean of the visible image within the box, 0..255.
        contrast: per source, difference between the means of the box and its surroundings, on a scale of 0..255.
        found_in: rows of the table (sources and methods) in which it is found.
    """

    image: str
    kind: str
    corners: tuple[int, int, int, int]
    size: float
    light: float
    contrast: Mapping[str, float]
    found_in: frozenset[str]


def match(labels: Boxes, found: Boxes, threshold: float) -> Bool[np.ndarray, " n"]:
    """Return which labels are found; each detection matches at most one label.

    Args:
        labels: labels of an image.
        found: detections in the same image.
        threshold: minimum score of a detection.
    """
    overlap = _overlaps(labels.corners, found.corners)
    overlap *= np.array(labels.classes)[:, None] == np.array(found.classes)[None]
    hit = np.zeros(len(labels), bool)
    for number in np.argsort(-found.scores, kind="stable"):
        free = np.where(hit, 0, overlap[:, number])
        if found.scores[number] >= threshold and free.max(initial=0) >= OVERLAP:
            hit[free.argmax()] = True
    return hit


def _overlaps(one: Float32[np.ndarray, "n 4"], two: Float32[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Pairwise intersection over union."""
    low = np.maximum(one[:, None, :2], two[None, :, :2])
    high = np.minimum(one[:, None, 2:], two[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, two)]
    union = areas[0][:, None] + areas[1][None] - shared
    overlap: Float[np.ndarray, "n m"] = shared / np.maximum(union, 1e-9)
    return overlap


def objects_of(
    image: str,
    labels: Boxes,
    found: Mapping[str, Boxes],
    sources: Mapping[str, Float[np.ndarray, "h w"]],
    threshold: float,
) -> list[LabeledObject]:
    """Describe the labeled objects of a pair, without ignore regions.

    Args:
        image: name of the pair.
        labels: labels of the pair.
        found: detections by row of the table.
        sources: luma of both sources, 0..255; the last one is visible.
        threshold: minimum score of a detection.
    """
    asked = labels.select(~labels.crowd)
    hits = {row: match(asked, boxes, threshold) for row, boxes in found.items()}
    objects = []
    for number, kind in enumerate(asked.classes):
        left, top, right, bottom = (int(edge) for edge in asked.corners[number].round())
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        means = {name: _inside_and_around(luma, (left, top, right, bottom)) for name, luma in sources.items()}
        objects.append(
            LabeledObject(
                image, kind, (left, top, right, bottom), float((right - left) * (bottom - top)) ** 0.5,
                list(means.values())[-1][0], {name: abs(inside - around) for name, (inside, around) in means.items()},
                frozenset(row for row, hit in hits.items() if hit[number]),
            )
        )  # fmt: skip
    return objects


def _inside_and_around(luma: Float[np.ndarray, "h w"], corners: tuple[int, int, int, int]) -> tuple[float, float]:
    """Means within a box and within its surroundings: a border of half the box's width and height on each side."""
    left, top, right, bottom = corners
    wide, high = max(1, (right - left) // 2), max(1, (bottom - top) // 2)
    inside = luma[max(0, top) : bottom, max(0, left) : right]
    whole = luma[max(0, top - high) : bottom + high, max(0, left - wide) : right + wide]
    frame = whole.size - inside.size
    mean = float(inside.mean())
    return mean, float(whole.sum() - inside.sum()) / frame if frame else mean
