"""Read labels: YOLO text, Pascal VOC XML or COCO JSON, or boxes derived from segmentation masks.

A class mapping translates the class names of a label file. A class that is missing from the mapping is an error, an
empty target drops it, and a target that ends in a star marks ignore regions (such as crowds of people), where
detections count as neither true nor false positives.
"""

from __future__ import annotations

import codecs
import json
import math
import xml.etree.ElementTree as ET  # the files are the user's own; no entities are expanded
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from refinefuse.data.catalog import find_dataset
from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.coco import coco_id, stem_of
from refinefuse.detection.masks import boxes_of_mask
from refinefuse.errors import ConfigError, InputError, PairingError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS, read_image

LabelFormat: TypeAlias = Literal["yolo", "voc", "coco", "mask"]
SUFFIXES: Mapping[str, tuple[str, ...]] = {"yolo": (".txt",), "voc": (".xml",), "mask": IMAGE_EXTENSIONS}
OUTSIDE = 2.0
"""Pixels by which a box may exceed the image because of rounding; it is clipped. More is an error."""
NOT_LABELS = ("classes.txt", "README.txt")

_Corners: TypeAlias = tuple[float, float, float, float]
_Object: TypeAlias = tuple[str, _Corners, bool]
"""Class in the label file, (left, top, right, bottom) in pixels, and whether to ignore the object."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Labels:
    """The labels of a dataset.

    Attributes:
        format: format of the label files.
        path: folder of the label files, or the COCO JSON file.
        classes: class in the label file (a name, or a number as a string) -> target class; an empty string drops the
            class, a trailing star makes its boxes ignore regions.
    """

    format: LabelFormat
    path: Path
    classes: Mapping[str, str]

    def names(self) -> list[str]:
        """Return the names of the labeled images, without extension.

        Raises:
            InputError: the folder or file is missing or invalid.
        """
        if self.format == "coco":
            return [stem_of(str(image["file_name"])) for image in _coco(self.path)["images"]]
        return list(self.files())

    def files(self) -> dict[str, Path]:
        """Return the label file of each image, for formats with one file per image.

        Raises:
            InputError: the folder does not exist.
        """
        if not self.path.is_dir():
            raise InputError(f"The label folder '{self.path}' does not exist.\nCheck the path.")
        files = sorted(path for path in self.path.iterdir() if path.suffix.lower() in SUFFIXES[self.format])
        return {path.stem: path for path in files if path.name not in NOT_LABELS and not path.name.startswith(".")}

    def shared(self, images: Collection[str]) -> list[str]:
        """Return those of the images that have labels.

        Raises:
            PairingError: none of them has labels.
            InputError: the folder or file is missing or invalid.
        """
        names = self.names()
        shared = [name for name in images if name in set(names)]
        if not shared:
            raise PairingError(
                f"No label file has the name of an image.\n"
                f"labels in '{self.path}' ({len(names)}):\n{format_names(names)}\n"
                f"images ({len(images)}):\n{format_names(list(images))}"
            )
        return shared

    def read(self, sizes: Mapping[str, Size]) -> dict[str, Boxes]:
        """Read the labels of the images that have a label file; an empty file means no objects.

        Args:
            sizes: image sizes by name without extension.

        Raises:
            PairingError: none of the images has labels.
            InputError: a label file cannot be read, was made for another aspect ratio, has a box outside the image,
                or a class that is not in the mapping.
        """
        shared = self.shared(sizes)
        if self.format == "coco":
            return _read_coco(self.path, {name: sizes[name] for name in shared}, self.classes)
        files, reader = self.files(), _READERS[self.format]
        return {name: reader(files[name], sizes[name], self.classes) for name in shared}


class ClassMapping(NamedTuple):
    """Target of a class; an empty name drops its objects."""

    name: str
    crowd: bool


def class_mapping(label_format: str, classes_from: str | None, classes: Mapping[str, str]) -> Mapping[str, str]:
    """Return the class mapping of a config or recipe: its own, or that of a dataset in the catalog.

    Raises:
        ConfigError: there is no mapping for labels of this format.
    """
    known = {} if classes or classes_from is None else find_dataset(classes_from).classes
    if not classes and label_format not in known:
        raise ConfigError(
            "The classes of the labels are unknown.\n"
            f"  expected: a map `classes`, or `classes_from` a dataset of the catalog with {label_format} labels\n"
            f"  got: {f'{classes_from}, with ' if classes_from else ''}{', '.join(known) or 'neither'}"
        )
    return classes or known[label_format]


def meaning_of(said: str, classes: Mapping[str, str], path: Path) -> ClassMapping:
    """Look up a class of a label file.

    Raises:
        InputError: the class is not in the mapping.
    """
    if said not in classes:
        known = ", ".join(f"{key} ({name or 'left out'})" for key, name in classes.items())
        raise InputError(
            f"'{path}' contains an unknown class.\n  expected: {known}\n  got: {said}\n"
            "Add it to the map of classes, or map it to an empty name to ignore it."
        )
    return ClassMapping(classes[said].removesuffix("*"), classes[said].endswith("*"))


def _boxes_of(objects: Iterable[_Object], size: Size, classes: Mapping[str, str], path: Path, image: str = "") -> Boxes:
    """Boxes, in pixels of the image, of the objects that the class mapping keeps."""
    corners, names, crowd = [], [], []
    for said, box, uncounted in objects:
        meaning = meaning_of(said, classes, path)
        if meaning.name:
            corners.append(_inside(box, size, path, image))
            names.append(meaning.name)
            crowd.append(uncounted or meaning.crowd)
    return make_boxes(corners, names, crowd=crowd)


def _scaled(box: _Corners, scale: float) -> _Corners:
    left, top, right, bottom = (value * scale for value in box)
    return left, top, right, bottom


def _inside(box: _Corners, size: Size, path: Path, image: str) -> _Corners:
    """Clip a box to its image; `image` names it in errors if the file covers several images."""
    left, top, right, bottom = box
    outside = max(-left, -top, right - size.width, bottom - size.height)
    if not all(map(math.isfinite, box)) or outside > OUTSIDE or right <= left or bottom <= top:
        named = f" '{image}'" if image else ""
        raise InputError(
            f"A box in '{path}' lies outside its image{named}.\n"
            f"  expected: left < right within 0..{size.width}, top < bottom within 0..{size.height}\n"
            f"  got: left {left:g}, top {top:g}, right {right:g}, bottom {bottom:g}\n"
            "Check that the labels belong to images of this size, or remove this box from the file."
        )
    return max(left, 0), max(top, 0), min(right, size.width), min(bottom, size.height)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the labels '{path}': {error.strerror}.") from None


def _text(path: Path) -> str:
    content = _content(path)
    try:
        return content.decode(
            "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        )
    except UnicodeDecodeError as error:
        raise InputError(f"The labels '{path}' are not UTF-8 text: {error}.\nSave the file as UTF-8.") from None


def _read_yolo(path: Path, size: Size, classes: Mapping[str, str]) -> Boxes:
    """Read lines of class, center x, center y, width, height relative to the image, or class and polygon points."""

    def objects() -> Iterator[_Object]:
        for number, line in enumerate(_text(path).splitlines(), 1):
            words = line.split()
            if not words:
                continue
            try:
                left, top, right, bottom = _yolo_box([float(word) for word in words[1:]])
            except ValueError:
                raise InputError(
                    f"Line {number} of '{path}' is not a YOLO label.\n"
                    "  expected: class, center x, center y, width, height; or class and x y of every point of a "
                    f"polygon (numbers from 0 to 1)\n  got: {line[:200]}"
                ) from None
            yield words[0], (left * size.width, top * size.height, right * size.width, bottom * size.height), False

    return _boxes_of(objects(), size, classes, path)


def _yolo_box(numbers: Sequence[float]) -> _Corners:
    if len(numbers) == 4:
        x, y, w, h = numbers
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if len(numbers) < 6 or len(numbers) % 2 or any(map(math.isnan, numbers)):
        raise ValueError
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def _scale(path: Path, stated: tuple[float, float], size: Size) -> float:
    """Scale from the labeled image size to the actual one, since some datasets are distributed downsampled."""
    height, width = stated
    if not (height > 0 and width > 0):
        return 1.0
    by_height, by_width = size.height / height, size.width / width
    if abs(by_height - by_width) * max(height, width) > OUTSIDE:
        raise InputError(
            f"The label '{path}' was made for an image with a different aspect ratio.\n"
            f"  label: {height:g} x {width:g}\n  image: {size.height} x {size.width}\n"
            "Check that the label belongs to this image."
        )
    return (by_height + by_width) / 2


def _read_voc(path: Path, size: Size, classes: Mapping[str, str]) -> Boxes:
    """Read VOC XML with corners, or corner, width and height as in KAIST. `difficult` objects become ignore regions."""
    content = _content(path)
    if not content.strip():
        return make_boxes([], [])
    try:
        root = ET.fromstring(content)  # noqa: S314  # no external entities; the files are the user's own
        stated = float(root.findtext("size/height") or 0), float(root.findtext("size/width") or 0)
        found = [_voc_object(entry) for entry in root.iter("object")]
    except (ET.ParseError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' is not a Pascal VOC label in XML: {error}.") from None
    scale = _scale(path, stated, size)
    scaled = ((said, _scaled(box, scale), difficult) for said, box, difficult in found)
    return _boxes_of(scaled, size, classes, path)


def _voc_object(entry: ET.Element) -> _Object:
    said = (entry.findtext("name") or "").strip()
    box = {key: float(entry.findtext(f"bndbox/{key}") or "nan") for key in ("xmin", "ymin", "xmax", "ymax", *"xywh")}
    if math.isnan(box["xmin"]):
        corners = box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"]
    else:
        corners = box["xmin"], box["ymin"], box["xmax"], box["ymax"]
    if not said or any(map(math.isnan, corners)):
        raise ValueError("an object lacks its name or its box")
    return said, corners, (entry.findtext("difficult") or "0").strip() == "1"


def _coco(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_content(path))
        if not all(isinstance(content[key], list) for key in ("images", "categories", "annotations")):
            raise TypeError
        if not all("file_name" in image for image in content["images"]):
            raise KeyError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            f"'{path}' is not COCO JSON.\n  expected: an object with the lists images, categories and annotations"
        ) from None
    return content  # type: ignore[no-any-return]


def _read_coco(path: Path, sizes: Mapping[str, Size], classes: Mapping[str, str]) -> dict[str, Boxes]:
    content = _coco(path)
    try:
        said = {coco_id(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        images = {coco_id(entry["id"]): stem_of(str(entry["file_name"])) for entry in content["images"]}
        scales = {
            number: _scale(
                path, (float(entry.get("height") or 0), float(entry.get("width") or 0)), sizes[images[number]]
            )
            for entry in content["images"]
            if images[number := coco_id(entry["id"])] in sizes
        }
        objects: dict[str, list[_Object]] = {name: [] for name in sizes}
        for entry in content["annotations"]:
            if (number := coco_id(entry["image_id"])) in scales:
                x, y, w, h = map(float, entry["bbox"])
                box = _scaled((x, y, x + w, y + h), scales[number])
                objects[images[number]].append((said[coco_id(entry["category_id"])], box, bool(entry.get("iscrowd"))))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"'{path}' is not valid COCO JSON: {type(error).__name__} {error}.") from None
    return {name: _boxes_of(found, sizes[name], classes, path, name) for name, found in objects.items()}


def read_mask(path: Path, size: Size, classes: Mapping[str, str]) -> tuple[np.ndarray, dict[int, ClassMapping]]:
    """Read a mask and the targets of its class numbers.

    Raises:
        InputError: the mask cannot be read, has another size, or a number that is not in the mapping.
    """
    mask = read_image(path)
    if mask.ndim != 2 or mask.shape != tuple(size):
        raise InputError(
            f"The mask '{path}' does not fit its image.\n"
            f"  expected: {size.height} x {size.width}, one channel of class numbers\n"
            f"  got: {' x '.join(map(str, mask.shape))}"
        )
    return mask, {int(n): meaning_of(str(n), classes, path) for n in np.unique(mask)}


def _read_mask(path: Path, size: Size, classes: Mapping[str, str]) -> Boxes:
    mask, meanings = read_mask(path, size, classes)
    boxes = boxes_of_mask(mask, {number: meaning.name for number, meaning in meanings.items() if meaning.name})
    uncounted = {meaning.name for meaning in meanings.values() if meaning.crowd}
    return replace(boxes, crowd=boxes.crowd | np.isin(boxes.classes, list(uncounted)))


_READERS: Mapping[str, Callable[[Path, Size, Mapping[str, str]], Boxes]] = {
    "yolo": _read_yolo,
    "voc": _read_voc,
    "mask": _read_mask,
}
