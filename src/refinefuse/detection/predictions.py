"""Read the detections of an external detector from COCO JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.coco import COCO_NUMBERS, coco_id, stem_of
from refinefuse.errors import InputError, PairingError, format_names


def read_predictions(path: Path, expected: Sequence[str]) -> dict[str, Boxes]:
    """Read detections by image; images without detections get empty boxes.

    Two formats are supported: an object with `images` (with `file_name`), `categories`, and `annotations` that have a
    `score`; and COCO's list of results, where `image_id` is the name of the image without extension or its number, and
    `category_id` is COCO's.

    Args:
        path: COCO JSON file.
        expected: names of the images, without extension.

    Raises:
        InputError: the file has neither format, or a category id that COCO does not define.
        PairingError: the file names none of the images.
    """
    try:
        content = json.loads(path.read_bytes())
        images, names, rows = _listed(content, expected) if isinstance(content, list) else _whole(content)
        found = [
            (images.get(coco_id(row["image_id"]), ""), names[coco_id(row["category_id"])], row["bbox"], row["score"])
            for row in rows
        ]
        boxes = [(image, name, tuple(map(float, box)), float(score)) for image, name, box, score in found]
        sound = all(len(box) == 4 and all(map(math.isfinite, (*box, score))) for _, _, box, score in boxes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__} {error}"
        raise InputError(
            f"Cannot read the boxes '{path}': {reason}.\n"
            "  expected: COCO JSON, either an object with images, categories and annotations that have "
            "image_id, category_id, "
            "bbox and score, or a list of such results"
        ) from None
    if not sound:
        raise InputError(
            f"Cannot read the boxes '{path}': a bbox is not four finite numbers (left, top, width, height), or a "
            "score is not finite."
        )
    mentioned = set(images.values()) if not isinstance(content, list) else {image for image, *_ in boxes}
    if not mentioned & set(expected):
        raise PairingError(
            f"The boxes '{path}' belong to other images: no image name matches.\n"
            f"names in the file:\n{format_names(sorted(map(str, mentioned)))}\nimages:\n{format_names(list(expected))}"
        )
    by_image: dict[str, list[tuple[str, tuple[float, ...], float]]] = {name: [] for name in expected}
    for image, name, box, score in boxes:
        if image in by_image:
            by_image[image].append((name, box, score))
    return {
        image: make_boxes(
            [(x, y, x + w, y + h) for _, (x, y, w, h), _ in of], [name for name, *_ in of], [s for *_, s in of]
        )
        for image, of in by_image.items()
    }


def _whole(content: Mapping[str, Any]) -> tuple[Mapping[Any, str], Mapping[Any, str], list[Any]]:
    images = {coco_id(entry["id"]): stem_of(str(entry["file_name"])) for entry in content["images"]}
    names = {coco_id(entry["id"]): str(entry["name"]) for entry in content["categories"]}
    return images, names, content["annotations"]


def _listed(rows: list[Any], images: Sequence[str]) -> tuple[Mapping[Any, str], Mapping[Any, str], list[Any]]:
    numbered = {str(int(name)): name for name in images if name.isdecimal()}
    names = {str(number): name for number, name in COCO_NUMBERS.items()}
    return {**numbered, **{name: name for name in images}}, names, rows
