"""Boxes that somebody's detector found, as COCO JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.coco import COCO_NUMBERS
from refinefuse.errors import InputError, PairingError, format_names


def read_predictions(path: Path, expected: Sequence[str]) -> dict[str, Boxes]:
    """Boxes by image; an image without any gets none.

    Two forms are read: an object with `images` (with `file_name`), `categories` and `annotations` that have a `score`;
    and COCO's list of results, whose `image_id` is the name of the image without extension, or its number, and whose
    `category_id` is COCO's.

    Args:
        path: the file.
        expected: the names of the images, without extension.

    Raises:
        InputError: the file is none of these, or names a class by a number that is not COCO's.
        PairingError: it tells of none of the images.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, names, rows = _listed(content, expected) if isinstance(content, list) else _whole(content)
        found = [
            (images.get(row["image_id"], ""), names[row["category_id"]], row["bbox"], row["score"]) for row in rows
        ]
        boxes = [(image, name, tuple(map(float, box)), float(score)) for image, name, box, score in found]
        sound = all(len(box) == 4 for _, _, box, _ in boxes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__} {error}"
        raise InputError(
            f"The boxes '{path}' cannot be read: {reason}.\n"
            "  expected: COCO JSON: an object with images, categories and annotations that have image_id, category_id, "
            "bbox and score, or a list of such results"
        ) from None
    if not sound:
        raise InputError(f"The boxes '{path}' cannot be read: a bbox must be left, top, width and height.")
    told = set(images.values()) if not isinstance(content, list) else {image for image, *_ in boxes}
    if not told & set(expected):
        raise PairingError(
            f"The boxes '{path}' are of other images: no name is shared.\nthere:\n{format_names(sorted(map(str, told)))}\n"
            f"here:\n{format_names(list(expected))}"
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
    images = {entry["id"]: Path(str(entry["file_name"])).stem for entry in content["images"]}
    names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
    return images, names, content["annotations"]


def _listed(rows: list[Any], images: Sequence[str]) -> tuple[Mapping[Any, str], Mapping[Any, str], list[Any]]:
    numbered = {int(name): name for name in images if name.isdecimal()}
    return {**numbered, **{name: name for name in images}}, COCO_NUMBERS, rows
