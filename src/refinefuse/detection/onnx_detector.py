"""ONNX detectors of any family, described by a YAML file of the same name beside the ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.heads import HEADS
from refinefuse.detection.onnx_input import OnnxInput, OnnxInputSettings
from refinefuse.detection.suppression import select_boxes
from refinefuse.errors import ConfigError, check_field
from refinefuse.settings import read_settings


@dataclass(frozen=True, kw_only=True)
class OnnxDetectorSettings(OnnxInputSettings):
    """Input and output settings of an ONNX detector; `classes` excludes the background.

    Args:
        head: anchors (YOLOv3 to v7, YOLO-FastestV2), center (FastestDet), decoded (one list of boxes and classes),
            distribution (NanoDet, GFL, YOLOv8 per scale), heat-map (CenterNet) or priors (SSD: separate boxes and
            scores).
        scores: form of the class scores: probabilities, logits (sigmoid) or softmax logits. With the head `anchors`,
            it also applies to the centers and the objectness.
        strides: strides of the scales, in the order of the outputs.
        anchors: width and height of the anchors of each scale, in pixels of the input.
        bounded_sizes: for the head `anchors`: decode boxes as YOLOv5 does instead of YOLOv3.
        classes_first: for the head `distribution`: the classes come before the sides.
        priors: for the head `priors`: center x, center y, width, height of each prior box relative to the input size;
            without them the boxes are corners relative to the input size.
    """

    head: Literal["anchors", "center", "decoded", "distribution", "heat-map", "priors"]
    scores: Literal["probabilities", "logits", "softmax"] = "probabilities"
    strides: list[int] = field(default_factory=lambda: [8, 16, 32])
    anchors: list[list[list[float]]] = field(default_factory=list)
    bounded_sizes: bool = False
    classes_first: bool = False
    priors: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_field(min(self.strides, default=0) > 0, "strides", "positive whole numbers", self.strides)
        valid = self.head != "anchors" or len(self.anchors) == len(self.strides)
        valid = valid and all(len(anchor) == 2 for of_scale in self.anchors for anchor in of_scale)
        check_field(valid, "anchors", "a list of [width, height] for each stride", self.anchors)
        check_field(all(len(prior) == 4 for prior in self.priors), "priors", "lists of 4 numbers", "others")


class OnnxDetector:
    """An ONNX detector.

    Args:
        path: ONNX file with one input (1, 3, h, w).
        settings: YAML file with its settings.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        ConfigError: the settings are invalid.
        InputError: the file cannot be opened or has other inputs.
    """

    def __init__(self, path: Path, settings: Path) -> None:
        self.path = path
        self.settings = read_settings(OnnxDetectorSettings, settings, "settings of the detector")
        self.names = tuple(self.settings.classes)
        self._input = OnnxInput(path, self.settings, "detector")

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Boxes:
        """Detect objects in an RGB image: at most 300 boxes in descending order of score."""
        outputs, prepared = self._input.run(pixels)
        try:
            corners, scores = HEADS[self.settings.head](outputs, self.settings, self._input.size)
            if scores.shape != (len(corners), len(self.names)):
                raise ValueError(f"{scores.shape[1]} classes, but {len(self.names)} names")
        except (ValueError, IndexError) as error:
            raise ConfigError(
                f"The outputs of '{self.path}' do not fit its settings (head: {self.settings.head}).\n"
                f"  outputs: {', '.join(str(output.shape) for output in outputs)}\n  {error}"
            ) from None
        return select_boxes(
            corners / np.tile(prepared.scale, 2), scores, self.names, (pixels.shape[0], pixels.shape[1])
        )
