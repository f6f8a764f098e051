"""ONNX semantic segmentation networks, described by a YAML file of the same name beside the ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.onnx_input import OnnxInput, OnnxInputSettings
from refinefuse.errors import ConfigError, InputError, check_field
from refinefuse.settings import read_settings

MOST_CLASSES = 255


@dataclass(frozen=True, kw_only=True)
class OnnxSegmenterSettings(OnnxInputSettings):
    """Input and output settings of a segmentation network; `classes` follows the output and includes the background.

    Args:
        output: scores (logits or probabilities, one map per class) or class-numbers (one map).
    """

    output: Literal["scores", "class-numbers"] = "scores"
    letterbox: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_field(len(self.classes) <= MOST_CLASSES, "classes", f"at most {MOST_CLASSES}", len(self.classes))


class OnnxSegmenter:
    """An ONNX segmentation network.

    Args:
        path: ONNX file with one input (1, 3, h, w), whose first output is (1, k, h', w') or (1, h', w').

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        ConfigError: the settings are missing or invalid.
        InputError: the file is missing, cannot be opened, or has other inputs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"The segmentation network '{path}' does not exist.\nCheck the path.")
        settings = path.with_suffix(".yaml")
        self.settings = read_settings(OnnxSegmenterSettings, settings, "settings of the segmentation network")
        self.names = tuple(self.settings.classes)
        self._input = OnnxInput(path, self.settings, "segmentation network")

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
        """Predict the class number of every pixel of an RGB image."""
        outputs, (_, _, filled) = self._input.run(pixels)
        size = (pixels.shape[1], pixels.shape[0])
        maps = self._maps(np.asarray(outputs[0]))
        height, width = (round(f * m / s) for f, m, s in zip(filled, maps.shape[-2:], self._input.size, strict=True))
        maps = maps[..., : max(1, height), : max(1, width)]
        if maps.ndim == 2:
            return cv2.resize(maps.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        best = np.full((size[1], size[0]), -np.inf, np.float32)
        number = np.zeros(best.shape, np.uint8)
        for index, scores in enumerate(maps):  # one class at a time: all maps at full size need much memory
            enlarged = cv2.resize(scores.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
            number[enlarged > best] = index
            np.maximum(best, enlarged, out=best)
        return number

    def _maps(self, output: np.ndarray) -> np.ndarray:
        """Return scores (k, h, w) or class numbers (h, w)."""
        scored = self.settings.output == "scores"
        shape, count = output.shape, len(self.names)
        fits = output.ndim == 4 and shape[:2] == (1, count if scored else 1)
        fits = fits or (not scored and output.ndim == 3 and shape[0] == 1)
        if not fits:
            expected = f"(1, {count}, h, w), one map per class" if scored else "(1, h, w)"
            raise ConfigError(
                f"The output of '{self.path}' does not fit its settings (output: {self.settings.output}).\n"
                f"  expected: {expected}\n  got: {shape}"
            )
        maps = output[0] if scored else output.reshape(shape[-2:])
        if not scored and not (maps.min() >= 0 and maps.max() < count):
            raise ConfigError(
                f"'{self.path}' outputs class numbers without a name.\n  expected: 0 to {count - 1}\n"
                f"  got: {maps.min()} to {maps.max()}\nName all classes in its settings."
            )
        return np.asarray(maps)


@lru_cache(maxsize=4)
def open_segmenter(path: Path) -> OnnxSegmenter:
    """Load a segmentation network (cached)."""
    return OnnxSegmenter(path)
