"""A frozen detector as a judge in training: what it sees in one of the sources it should see in the fused picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from refinefuse.errors import InputError
from refinefuse.export import import_onnx

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

STRIDE = 32
"""Sides of what such a detector sees are multiples of it."""
GROUPS = ((0,), (2, 5, 7))
"""Classes of COCO that count: persons; cars, buses and trucks as one."""
BOX = 5
"""Rows of a YOLOX head before the classes: x, y, width, height, objectness."""

Values = Sequence[Any]
Attributes = dict[str, Any]


def _conv(x: Values, how: Attributes) -> Tensor:
    picture, weight, bias = (*x, None)[:3]
    return F.conv2d(picture, weight, bias, how["strides"], how["pads"][:2], how["dilations"], how["group"])


def _max_pool(x: Values, how: Attributes) -> Tensor:
    return F.max_pool2d(x[0], how["kernel_shape"], how["strides"], how["pads"][:2])


def _slice(x: Values, how: Attributes) -> Tensor:
    picture, start, end, axes, steps = x
    cut = [slice(None)] * picture.ndim
    for axis, first, last, step in zip(*(v.tolist() for v in (axes, start, end, steps)), strict=True):
        cut[axis] = slice(first, last, step)
    sliced: Tensor = picture[tuple(cut)]
    return sliced


OPERATIONS: dict[str, Callable[[Values, Attributes], Tensor]] = {
    "Conv": _conv,
    "Sigmoid": lambda x, how: torch.sigmoid(x[0]),
    "Mul": lambda x, how: x[0] * x[1],
    "Add": lambda x, how: x[0] + x[1],
    "Concat": lambda x, how: torch.cat(list(x), how["axis"]),
    "MaxPool": _max_pool,
    "Slice": _slice,
    "Resize": lambda x, how: F.interpolate(x[0], scale_factor=2.0, mode="nearest"),
    "Reshape": lambda x, how: x[0].flatten(2),  # the places of a head in a row, whatever the size of the picture
    "Transpose": lambda x, how: x[0].permute(how["perm"]),
}
"""What the graphs of YOLOX are made of."""


class FrozenDetector:
    """A detector of the YOLOX family, computed by torch so that gradients reach the picture; its weights do not change.

    Source: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, 2021.

    Args:
        path: the ONNX file as YOLOX exports it, raw (boxes not decoded): (1, 3, h, w) in BGR and 0..255, to
            (1, places, 5 + classes of COCO).

    Raises:
        MissingExtra: if onnx is not installed.
        InputError: if the file cannot be read, or has an operation that these networks do not have.
    """

    def __init__(self, path: Path) -> None:
        onnx = import_onnx("A detector in training")
        try:
            model: ModelProto = onnx.load(path)
        except Exception as error:  # protobuf's errors and those of the file system have no common class
            raise InputError(f"The detector '{path}' cannot be read.\n  {error}") from error
        nodes = [node for node in model.graph.node if node.op_type != "Constant"]
        unknown = sorted({node.op_type for node in nodes} - OPERATIONS.keys())
        if unknown:
            raise InputError(
                f"'{path}' is no YOLOX detector as its authors export it.\n  expected: {', '.join(OPERATIONS)}\n"
                f"  found also: {', '.join(unknown)}"
            )
        self.nodes: list[tuple[NodeProto, Attributes]] = [
            (node, {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}) for node in nodes
        ]
        held = {item.name: item for item in model.graph.initializer}
        held |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
        self.constants = {name: torch.from_numpy(onnx.numpy_helper.to_array(x).copy()) for name, x in held.items()}
        self.entry = next(item.name for item in model.graph.input if item.name not in self.constants)
        self.exit = model.graph.output[0].name

    def scores(self, luma: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n places groups"]:
        """Objectness times class score in [0, 1] of each of `GROUPS`, for luma in [0, 1] as a picture without colour.

        What reaches beyond a multiple of `STRIDE` at the right and at the bottom is not looked at.
        """
        height, width = (side // STRIDE * STRIDE for side in luma.shape[2:])
        picture = luma[..., :height, :width].expand(-1, 3, -1, -1) * 255
        self.constants = {name: value.to(luma.device) for name, value in self.constants.items()}
        values: dict[str, Any] = {**self.constants, self.entry: picture}
        for node, how in self.nodes:
            values[node.output[0]] = OPERATIONS[node.op_type]([values[name] for name in node.input if name], how)
        found = values[self.exit]
        classes = found[..., BOX:] * found[..., BOX - 1 : BOX]
        return torch.stack([classes[..., list(group)].amax(-1) for group in GROUPS], -1)


def detected(
    fused: Float[Tensor, "n 1 h w"], a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], detector: FrozenDetector
) -> Tensor:
    """How far the detector's scores on the fused picture fall short of those on the source where they are higher.

    The mean over places and classes, each weighted by the score on that source: where it sees nothing in either,
    nothing is asked. Luma in [0, 1]. Our choice.
    """
    with torch.no_grad():
        wanted = torch.maximum(detector.scores(a), detector.scores(b))
    short = (wanted - detector.scores(fused)).relu()
    mean: Tensor = (wanted * short).sum() / wanted.sum().clamp(min=1)
    return mean
