"""Preprocessing for ONNX networks with one image as input, configured by a YAML file beside the ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from refinefuse.errors import InputError, check_field
from refinefuse.inference.onnx_session import onnx_session, run_onnx

if TYPE_CHECKING:
    import onnxruntime

GRAY = 114
"""Padding value of the letterbox, as in YOLOX."""


@dataclass(frozen=True, kw_only=True)
class OnnxInputSettings:
    """Input settings of an ONNX network.

    Args:
        classes: class names in order.
        size: height and width of the input; only for networks with a dynamic input size.
        channels: channel order.
        mean: mean per channel, on a scale of 0..255, which is subtracted.
        std: standard deviation per channel, by which the result is divided.
        letterbox: scale to fit and pad with gray; false stretches the image.
    """

    classes: list[str]
    size: list[int] = field(default_factory=list)
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    std: list[float] = field(default_factory=lambda: [255.0, 255.0, 255.0])
    letterbox: bool = True

    def __post_init__(self) -> None:
        check_field(bool(self.classes), "classes", "at least one class", "none")
        sound = not self.size or (len(self.size) == 2 and min(self.size) > 0)
        check_field(sound, "size", "height and width", self.size)
        check_field(len(self.mean) == len(self.std) == 3, "mean", "3 numbers, like `std`", self.mean)
        check_field(min(self.std) > 0, "std", "more than 0", self.std)


class Prepared(NamedTuple):
    """The input array, the scale factors of x and y, and the height and width of the image within the padding."""

    values: Float32[np.ndarray, "1 3 h w"]
    scale: Float[np.ndarray, " n"]
    filled: tuple[int, int]


class OnnxInput:
    """An ONNX network and its preprocessing.

    Args:
        path: ONNX file with one input (1, 3, h, w).
        settings: input settings.
        what: name of the kind of network in error messages.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        InputError: the file cannot be opened, has other inputs, or neither it nor `settings` fixes the input size.
    """

    def __init__(self, path: Path, settings: OnnxInputSettings, what: str) -> None:
        self.path, self.settings = path, settings
        self.session: onnxruntime.InferenceSession = onnx_session(path, 1, f"A {what} in an ONNX file", "detection")
        inputs = self.session.get_inputs()
        shape = inputs[0].shape
        sides = [side if isinstance(side, int) else None for side in shape[2:]]
        size = [side or (settings.size[n] if settings.size else None) for n, side in enumerate(sides[:2])]
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or None in size:
            got = ", ".join(str(each.shape) for each in inputs)
            raise InputError(
                f"The {what} '{path}' must take one image of fixed size.\n"
                f"  expected: one input (1, 3, h, w), or `size` in its settings\n  got: {got}"
            )
        if settings.size and size != settings.size:
            raise InputError(
                f"The input size of the {what} '{path}' differs from its settings.\n"
                f"  expected: {size[0]} x {size[1]}\n  got: {settings.size[0]} x {settings.size[1]}"
            )
        self.name, self.size = inputs[0].name, (int(size[0] or 0), int(size[1] or 0))

    def run(self, pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[list[np.ndarray], Prepared]:
        """Run the network on an RGB image; return its outputs and the preprocessed input."""
        prepared = self._prepare(pixels)
        return run_onnx(self.session, {self.name: prepared.values}, self.path), prepared

    def _prepare(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Prepared:
        (height, width), (tall, wide) = self.size, pixels.shape[:2]
        scale = np.array([width / wide, height / tall])
        if self.settings.letterbox:
            scale = np.full(2, scale.min())
        x, y = np.maximum(1, (scale * (wide, tall)).astype(int)).tolist()
        padded = np.full((height, width, 3), GRAY, np.uint8)
        padded[:y, :x] = cv2.resize(pixels, (x, y), interpolation=cv2.INTER_LINEAR)
        ordered = padded[..., ::-1] if self.settings.channels == "bgr" else padded
        mean, std = (np.array(each, np.float32) for each in (self.settings.mean, self.settings.std))
        values = (ordered.astype(np.float32) - mean) / std
        return Prepared(np.ascontiguousarray(values.transpose(2, 0, 1)[None]), scale, (y, x))
