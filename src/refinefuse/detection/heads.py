"""Decode the outputs of several families of detectors, one function per family.

Every function takes the outputs for one image and returns box corners in pixels of the network's input and scores per
class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from refinefuse.detection.onnx_detector import OnnxDetectorSettings

Array = Float[np.ndarray, "..."]
Outputs = Sequence[Array]
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
"""Variances that SSD uses to encode box centers and sizes."""
OBJECTNESS_POWER = 0.6
"""Exponent of the objectness in FastestDet's score."""


class Found(NamedTuple):
    """Corners in pixels of the network's input and scores of all classes."""

    corners: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n k"]


class _Scale(NamedTuple):
    rows: Float[np.ndarray, "n c"]
    stride: int
    centers: Float[np.ndarray, "n 2"]


def _sigmoid(x: Array) -> Array:
    values: Array = 1 / (1 + np.exp(-x.clip(-60, 60)))
    return values


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    values: Array = powers / powers.sum(-1, keepdims=True)
    return values


def _probabilities(x: Array, settings: OnnxDetectorSettings) -> Array:
    return {"probabilities": lambda: x, "logits": lambda: _sigmoid(x), "softmax": lambda: _softmax(x)}[
        settings.scores
    ]()


def _corners(center: Array, size: Array) -> Array:
    return np.concatenate([center - size / 2, center + size / 2], -1)


def _centers(height: int, width: int) -> Float[np.ndarray, "n 2"]:
    """Cell centers in units of cells, in row-major order."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x.ravel(), y.ravel()], 1) + 0.5


def _scales(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> list[_Scale]:
    """Split the outputs by scale; an output is one scale, as a map or a list, or a list of all scales concatenated.

    Separate outputs of one scale (boxes, classes) are concatenated in their order.

    Raises:
        ValueError: the outputs do not fit the strides.
    """
    shapes = [(size[0] // stride, size[1] // stride) for stride in settings.strides]
    counts = [height * width for height, width in shapes]
    parts: list[list[Array]] = [[] for _ in shapes]
    for output in outputs:
        listed = [n for n in (sum(counts), *counts) if output.ndim in (2, 3) and n in output.shape[-2:]]
        if output.ndim == 4 and output.shape[2:] in shapes:
            scale = shapes.index((output.shape[2], output.shape[3]))
            parts[scale].append(output[0].reshape(output.shape[1], -1).T)
        elif listed:
            rows = output.reshape(output.shape[-2:])
            rows = rows if len(rows) == listed[0] else rows.T
            if listed[0] != sum(counts):
                parts[counts.index(listed[0])].append(rows)
                continue
            for scale, piece in enumerate(np.split(rows, np.cumsum(counts)[:-1])):
                parts[scale].append(piece)
        else:
            raise ValueError(f"an output of shape {output.shape} fits none of the strides {settings.strides}")
    if not all(parts):
        raise ValueError(f"no output has the stride {settings.strides[[bool(part) for part in parts].index(False)]}")
    return [
        _Scale(np.concatenate(part, 1), stride, _centers(*shape))
        for part, stride, shape in zip(parts, settings.strides, shapes, strict=True)
    ]


def distribution(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> Found:
    """Anchor-free head: per side a distribution over distances in cells, or the distance itself (one bin).

    Source: X. Li et al., "Generalized focal loss", NeurIPS 2020 (NanoDet, YOLOv8 and similar).
    """
    corners, scores = [], []
    for rows, stride, centers in _scales(outputs, settings, size):
        num_sides = rows.shape[1] - len(settings.classes)
        boxes, classes = rows[:, :num_sides], rows[:, num_sides:]
        if settings.classes_first:
            classes, boxes = rows[:, : len(settings.classes)], rows[:, len(settings.classes) :]
        bins = boxes.reshape(len(rows), 4, -1)
        count = bins.shape[2]
        sides = bins[..., 0] if count == 1 else _softmax(bins) @ np.arange(count)
        corners.append(np.hstack([centers - sides[:, :2], centers + sides[:, 2:]]) * stride)
        scores.append(_probabilities(classes, settings))
    return Found(np.concatenate(corners), np.concatenate(scores))


def anchors(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> Found:
    """Anchor-based head: per anchor x, y, width, height, objectness and classes.

    Source: J. Redmon, A. Farhadi, "YOLOv3: an incremental improvement", arXiv 1804.02767, 2018; with
    `bounded_sizes` the variant of YOLOv5, whose centers may lie half a cell outside and whose sizes are at most 4 times
    the anchor.
    """
    corners, scores = [], []
    scales = zip(_scales(outputs, settings, size), settings.anchors, strict=True)
    for (rows, stride, centers), of_scale in scales:
        for own, anchor in zip(_by_anchor(rows, len(of_scale), len(settings.classes)), of_scale, strict=True):
            known = settings.scores == "probabilities"
            inside = own[:, :5] if known else _sigmoid(own[:, :5])
            if settings.bounded_sizes:
                moved, sizes = 2 * inside[:, :2] - 0.5, (2 * inside[:, 2:4]) ** 2
            else:
                moved, sizes = inside[:, :2], np.exp(own[:, 2:4].clip(-10, 10))
            corners.append(_corners((centers - 0.5 + moved) * stride, sizes * np.asarray(anchor)))
            scores.append(inside[:, 4:] * _probabilities(own[:, 5:], settings))
    return Found(np.concatenate(corners), np.concatenate(scores))


def _by_anchor(rows: Float[np.ndarray, "n c"], num_anchors: int, num_classes: int) -> list[Float[np.ndarray, "n d"]]:
    """Split rows into box, objectness and classes of each anchor.

    With channels for only one list of classes, all anchors share it, as in YOLO-FastestV2: the boxes of all anchors,
    then their objectness, then the classes.
    """
    if num_anchors == 1 or rows.shape[1] != 5 * num_anchors + num_classes:
        return list(rows.reshape(len(rows), num_anchors, -1).swapaxes(0, 1))
    boxes, objectness, classes = np.split(rows, [4 * num_anchors, 5 * num_anchors], axis=1)
    return [np.hstack([boxes[:, 4 * n : 4 * n + 4], objectness[:, n : n + 1], classes]) for n in range(num_anchors)]


def center(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> Found:
    """Single-map head: objectness, offset of the center from the cell's corner, width, height, classes.

    Source: FastestDet (github.com/dog-qiuqiu/FastestDet): offsets are tanh outputs in cells; sizes are sigmoid
    outputs relative to the input; the score is objectness^0.6 * class^0.4.
    """
    rows = outputs[0].reshape(5 + len(settings.classes), -1).T
    height, width = outputs[0].shape[2:]
    cell = np.array([size[1] / width, size[0] / height])
    centers = (_centers(height, width) - 0.5 + np.tanh(rows[:, 1:3])) * cell
    sizes = _sigmoid(rows[:, 3:5]) * (size[1], size[0])
    scores = rows[:, :1] ** OBJECTNESS_POWER * _probabilities(rows[:, 5:], settings) ** (1 - OBJECTNESS_POWER)
    return Found(_corners(centers, sizes), scores)


def heat_map(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> Found:
    """Heat map per class whose peaks are box centers, and maps of sizes and offsets in cells.

    Source: X. Zhou, D. Wang, P. Krähenbühl, "Objects as points", arXiv 1904.07850, 2019 (CenterNet).
    """
    heat, sizes, *rest = (output[0] for output in outputs)
    heat = _probabilities(heat, settings)
    highest = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in heat.astype(np.float32)])
    classes, height, width = heat.shape
    stride = np.array([size[1] / width, size[0] / height])
    peaks = np.where(heat >= highest, heat, 0).reshape(classes, -1).T
    offset = rest[0].reshape(2, -1).T if rest else 0.5
    centers = (_centers(height, width) - 0.5 + offset) * stride
    return Found(_corners(centers, sizes.reshape(2, -1).T * stride), peaks)


def priors(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> Found:
    """SSD head: a list of boxes and a list of scores whose first class is the background.

    The boxes are corners relative to the input size, or offsets to the prior boxes of the settings.

    Source: W. Liu et al., "SSD: single shot multibox detector", ECCV 2016.
    """
    boxes, scores = (outputs[0][0], outputs[1][0]) if outputs[0].shape[-1] == 4 else (outputs[1][0], outputs[0][0])
    if settings.priors:
        prior = np.asarray(settings.priors, np.float32)
        center = prior[:, :2] + boxes[:, :2] * CENTER_VARIANCE * prior[:, 2:]
        boxes = _corners(center, prior[:, 2:] * np.exp((boxes[:, 2:] * SIZE_VARIANCE).clip(-10, 10)))
    scale = np.array([size[1], size[0]] * 2, np.float32)
    return Found(boxes * scale, _probabilities(scores, settings)[:, 1:])


def decoded(outputs: Outputs, settings: OnnxDetectorSettings, size: tuple[int, int]) -> Found:
    """Decoded head: one list of center x, center y, width and height in pixels of the input, then classes."""
    columns = 4 + len(settings.classes)
    rows = outputs[0][0] if outputs[0].shape[2] == columns else outputs[0][0].T
    return Found(_corners(rows[:, :2], rows[:, 2:4]), _probabilities(rows[:, 4:], settings))


HEADS: Mapping[str, Callable[..., Found]] = {
    "anchors": anchors,
    "center": center,
    "decoded": decoded,
    "distribution": distribution,
    "heat-map": heat_map,
    "priors": priors,
}
