"""Which labeled objects a detector misses in which images, and what those objects look like.

An object is found if a box of its class overlaps it by half and more, the surest box first, as COCO defines it.
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
    """A labeled object, and where it is found.

    Attributes:
        image: the name of the pair.
        kind: its class.
        corners: left, top, right, bottom in pixels.
        size: the square root of its area in pixels.
        light: the mean of the visible image within it, 0..255.
        contrast: by source, how far its mean differs from that of its surroundings, in levels of 0..255.
        found_in: the rows in which it is found.
    """

    image: str
    kind: str
    corners: tuple[int, int, int, int]
    size: float
    light: float
    contrast: Mapping[str, float]
    found_in: frozenset[str]


def match(labels: Boxes, found: Boxes, threshold: float) -> Bool[np.ndarray, " n"]:
    """Which labels are found; one box finds one label.

    Args:
        labels: of an image.
        found: in the same image.
        threshold: boxes with a smaller score do not count.
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
    """Intersection over union of all boxes with all others."""
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
    """The objects of a pair that are asked for.

    Args:
        image: its name.
        labels: its labels.
        found: by row.
        sources: the luma of both sources, 0..255; the last one is visible.
        threshold: boxes with a smaller score do not count.
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
    """The mean within a box, and that of a frame around it, half as wide and high as the box on each side."""
    left, top, right, bottom = corners
    wide, high = max(1, (right - left) // 2), max(1, (bottom - top) // 2)
    inside = luma[max(0, top) : bottom, max(0, left) : right]
    whole = luma[max(0, top - high) : bottom + high, max(0, left - wide) : right + wide]
    frame = whole.size - inside.size
    mean = float(inside.mean())
    return mean, float(whole.sum() - inside.sum()) / frame if frame else mean
