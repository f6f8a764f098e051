"""Open a detector by its path; the path determines its type.

`FILE.onnx` is a YOLOX network, or one of another family if FILE.yaml beside it describes its input and output; a folder
or `hf://owner/name` is a detector of the transformers library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.onnx_detector import OnnxDetector
from refinefuse.detection.suppression import OVERLAP
from refinefuse.detection.yolox import Yolox
from refinefuse.errors import InputError


class Detector(Protocol):
    """Interface of all detectors."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names of the detector."""
        ...

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Boxes:
        """Detect objects in an RGB image."""
        ...


def locate_detector(source: str) -> Path:
    """Return the file or folder of a detector; `hf://owner/name` is downloaded.

    Raises:
        InputError: the file or repository does not exist.
        MissingDependencyError: huggingface_hub is needed and not installed.
    """
    path = Path(source)
    if path.suffix == ".json":
        raise InputError(
            f"Unknown kind of detector.\n  expected: FILE.onnx, a folder, or hf://owner/name\n"
            f"  got: '{source}'\nTo evaluate boxes from another program, list them in a config of `refinefuse "
            "benchmark`."
        )
    if path.suffix == ".onnx" and not path.is_file():
        raise InputError(f"The detector '{source}' does not exist.\nCheck the path.")
    if path.exists():
        return path
    from refinefuse.detection.transformer import fetch

    return fetch(source)


@lru_cache(maxsize=4)
def open_detector(path: Path) -> Detector:
    """Load a detector (cached).

    Raises:
        InputError: the path is not a supported detector.
        MissingDependencyError: the library that runs it is not installed.
    """
    if path.suffix == ".onnx":
        settings = path.with_suffix(".yaml")
        return OnnxDetector(path, settings) if settings.is_file() else Yolox(path)
    from refinefuse.detection.transformer import Transformer

    return Transformer(path)


def merge_classes(boxes: Boxes, class_aliases: Mapping[str, str]) -> Boxes:
    """Rename classes (`truck` to `car`) and repeat non-maximum suppression within the merged classes."""
    if not class_aliases.keys() & set(boxes.classes):
        return boxes
    names = [class_aliases.get(name, name) for name in boxes.classes]
    found = list(dict.fromkeys(names))
    spans = np.hstack([boxes.corners[:, :2], boxes.corners[:, 2:] - boxes.corners[:, :2]])
    index = [found.index(name) for name in names]
    kept = np.asarray(cv2.dnn.NMSBoxesBatched(spans.tolist(), boxes.scores.tolist(), index, 0.0, OVERLAP), np.int64)
    chosen = np.isin(np.arange(len(names)), kept)
    return Boxes(boxes.corners, tuple(names), boxes.scores, boxes.crowd).select(chosen)
