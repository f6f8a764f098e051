"""ONNX detectors of the YOLOX family, run by onnxruntime on one CPU thread.

Source: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, 2021. The
image is scaled to fit and padded with gray (114) on the right and bottom, in BGR and 0..255.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.cells import STRIDES, cells_of, decode
from refinefuse.detection.coco import COCO_CLASSES
from refinefuse.detection.suppression import select_boxes
from refinefuse.errors import InputError
from refinefuse.inference.onnx_session import onnx_session, run_onnx

_GRAY = 114
_RAW = 12.0  # raw widths are logarithms in strides and never reach 12; decoded widths are in pixels


class Yolox:
    """A YOLOX network.

    Args:
        path: ONNX file with one input (1, 3, h, w) and one output (1, n, 5 + classes), raw or decoded. The classes are
            COCO's 80; otherwise a .txt file of the same name lists them, one per line.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        InputError: the file cannot be opened or is not a YOLOX network.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = onnx_session(path, 1, "A detector in an ONNX file", "detection")
        (entry, *others), outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = entry.shape
        fits = not others and len(shape) == 4 and shape[1] == 3 and all(isinstance(s, int) for s in shape[2:])
        out = outputs[0].shape if len(outputs) == 1 else []
        num_cells = sum((shape[2] // s) * (shape[3] // s) for s in STRIDES) if fits else 0
        # A dynamic output size cannot be checked here; the actual output is checked at the first run.
        if (
            not fits
            or len(out) != 3
            or any(isinstance(o, int) and o != e for o, e in zip(out, (1, num_cells), strict=False))
        ):
            raise self._refusal([o.shape for o in outputs], [entry.shape, *(other.shape for other in others)])
        self._input, self.height, self.width, self._num_cells = entry.name, shape[2], shape[3], num_cells
        self.names = self._names(out[2]) if isinstance(out[2], int) else COCO_CLASSES

    def _refusal(self, outputs: object, inputs: object) -> InputError:
        return InputError(
            f"'{self.path}' is not a YOLOX detector.\n"
            "  expected: one input (1, 3, h, w) of fixed size, and one output (1, n, 5 + classes) with a row for every "
            "cell of the strides 8, 16 and 32: x, y, width, height, objectness, one score per class\n"
            f"  got: inputs {inputs}, outputs {outputs}\n"
            "Export it without non-maximum suppression and with a fixed size, or pass its boxes as COCO JSON."
        )

    def _names(self, columns: int) -> tuple[str, ...]:
        count = columns - 5
        if count == len(COCO_CLASSES):
            return COCO_CLASSES
        file = self.path.with_suffix(".txt")
        try:
            names = tuple(file.read_text(encoding="utf-8").split("\n")) if file.is_file() else ()
        except UnicodeDecodeError as error:
            raise InputError(f"Cannot read the class names '{file}'.\n  expected: UTF-8\n  got: {error}") from None
        names = tuple(name.strip() for name in names if name.strip())
        if count < 1 or len(names) != count:
            raise InputError(
                f"The classes of '{self.path}' are unknown.\n  expected: {len(COCO_CLASSES)} (those of COCO), or "
                f"{count} names, one per line, in '{file}'\n  got: {count} classes, {len(names)} names"
            )
        return names

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Boxes:
        """Detect objects in an RGB image: at most 300 boxes in descending order of score."""
        padded, scale = self._letterbox(pixels)
        feed = {self._input: np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1)[None], np.float32)}
        output = run_onnx(self._session, feed, self.path)[0]
        if output.shape != (1, self._num_cells, 5 + len(self.names)):
            raise self._refusal([output.shape], [(1, 3, self.height, self.width)])
        rows = output[0]
        center, half = rows[:, :2], rows[:, 2:4] / 2
        if rows[:, 2:4].max() > _RAW:
            corners = np.hstack([center - half, center + half])
        else:
            corners = decode(torch.from_numpy(rows), cells_of(self.height, self.width)).numpy()
        return select_boxes(corners / scale, rows[:, 4:5] * rows[:, 5:], self.names, pixels.shape[:2])

    def _letterbox(self, pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[np.ndarray, "a b 3"], float]:
        height, width = pixels.shape[:2]
        scale = min(self.height / height, self.width / width)
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        padded = np.full((self.height, self.width, 3), _GRAY, np.uint8)
        padded[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        return padded, scale
