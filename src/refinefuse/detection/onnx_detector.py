"""Detectors of any family in ONNX files: a YAML file of the same name beside the ONNX file says how to read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.heads import HEADS
from refinefuse.detection.suppression import select_boxes
from refinefuse.errors import ConfigError, InputError, check_field
from refinefuse.inference.backend import onnx_session
from refinefuse.settings import read_settings


@dataclass(frozen=True)
class OnnxDetectorSettings:
    """How an ONNX detector is fed and read.

    Args:
        head: anchors (YOLOv3 to v7), distribution (NanoDet, GFL, YOLOv8 by scale), decoded (one list of boxes and
            classes), heat-map (CenterNet) or priors (SSD: boxes and scores apart).
        classes: the names, in order; without the background.
        scores: what the scores of the classes are: probabilities, logits, or values for a softmax.
        strides: of the scales, in the order of the outputs.
        anchors: of each scale, width and height of each in pixels of the input.
        bounded_sizes: of `anchors`: the form of YOLOv5 instead of YOLOv3.
        classes_first: of `distribution`: the classes stand before the sides.
        priors: of `priors`: center x, center y, width, height of each, as parts of the input; without them the boxes
            are corners as parts of the input.
        channels: in which order the channels go in.
        mean: what is subtracted from values of 0..255, by channel.
        std: what they are divided by then.
        letterbox: scale to fit and fill the rest with gray; false stretches.
    """

    head: Literal["anchors", "decoded", "distribution", "heat-map", "priors"]
    classes: list[str]
    scores: Literal["probabilities", "logits", "softmax"] = "probabilities"
    strides: list[int] = field(default_factory=lambda: [8, 16, 32])
    anchors: list[list[list[float]]] = field(default_factory=list)
    bounded_sizes: bool = False
    classes_first: bool = False
    priors: list[list[float]] = field(default_factory=list)
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    std: list[float] = field(default_factory=lambda: [255.0, 255.0, 255.0])
    letterbox: bool = True

    def __post_init__(self) -> None:
        check_field(bool(self.classes), "classes", "at least one class", "none")
        check_field(min(self.strides, default=0) > 0, "strides", "positive whole numbers", self.strides)
        valid = self.head != "anchors" or len(self.anchors) == len(self.strides)
        valid = valid and all(len(anchor) == 2 for of_scale in self.anchors for anchor in of_scale)
        check_field(valid, "anchors", "a list of [width, height] for each stride", self.anchors)
        check_field(all(len(prior) == 4 for prior in self.priors), "priors", "lists of 4 numbers", "others")
        check_field(len(self.mean) == len(self.std) == 3, "mean", "3 numbers, as `std`", self.mean)
        check_field(min(self.std) > 0, "std", "more than 0", self.std)


class OnnxDetector:
    """A detector in an ONNX file with one image as input.

    Args:
        path: the ONNX file: one input (1, 3, h, w) of fixed size.
        settings: how it is read; the file of the same name that ends in .yaml.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        ConfigError: the settings cannot be used.
        InputError: the file cannot be opened, or has another input.
    """

    def __init__(self, path: Path, settings: Path) -> None:
        self.path = path
        self.settings = read_settings(OnnxDetectorSettings, settings, "settings of the detector")
        self.names = tuple(self.settings.classes)
        self._session = onnx_session(path, 1, "A detector in an ONNX file", "detection")
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or not all(isinstance(s, int) for s in shape[2:]):
            raise InputError(
                f"The detector '{path}' needs one image of fixed size.\n  expected: one input (1, 3, h, w)\n"
                f"  got: {', '.join(str(each.shape) for each in inputs)}"
            )
        self._input, self._size = inputs[0].name, (int(shape[2]), int(shape[3]))

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Boxes:
        """What it finds in an RGB image, at most 300 boxes, the surest first."""
        image, scale = self._prepared(pixels)
        outputs = self._session.run(None, {self._input: image})
        try:
            corners, scores = HEADS[self.settings.head](outputs, self.settings, self._size)
            if scores.shape != (len(corners), len(self.names)):
                raise ValueError(f"{scores.shape[1]} classes for {len(self.names)} names")
        except (ValueError, IndexError) as error:
            raise ConfigError(
                f"The outputs of '{self.path}' do not fit its settings (head: {self.settings.head}).\n"
                f"  outputs: {', '.join(str(output.shape) for output in outputs)}\n  {error}"
            ) from None
        return select_boxes(corners / scale, scores, self.names, (pixels.shape[0], pixels.shape[1]))

    def _prepared(self, pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[Float32[np.ndarray, "1 3 a b"], np.ndarray]:
        """The input, and by what x, y, x, y were scaled."""
        (height, width), (tall, wide) = self._size, pixels.shape[:2]
        by = np.array([width / wide, height / tall])
        if self.settings.letterbox:
            by = np.full(2, by.min())
        size = np.maximum(1, (by * (wide, tall)).astype(int))
        padded = np.full((height, width, 3), 114, np.uint8)
        padded[: size[1], : size[0]] = cv2.resize(pixels, size.tolist(), interpolation=cv2.INTER_LINEAR)
        ordered = padded[..., ::-1] if self.settings.channels == "bgr" else padded
        mean, std = (np.array(each, np.float32) for each in (self.settings.mean, self.settings.std))
        values = (ordered.astype(np.float32) - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), np.tile(by, 2)
