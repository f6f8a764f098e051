"""A frozen detector as a loss: what it detects in a source or in their mean, it should detect in the fused image."""

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
"""The sides of the detector's input are multiples of this."""
GROUPS = ((0,), (2, 5, 7))
"""Groups of COCO classes in the loss: persons; cars, buses and trucks together."""
BOX, CLASSES = 5, 80
"""Columns of a YOLOX output: x, y, width, height, objectness, and the COCO classes."""

Values = Sequence[Any]
Attributes = dict[str, Any]


def _conv(x: Values, how: Attributes) -> Tensor:
    image, weight, bias = (*x, None)[:3]
    strides, dilations, pads = how.get("strides", 1), how.get("dilations", 1), how.get("pads", (0, 0))
    return F.conv2d(image, weight, bias, strides, pads[:2], dilations, how.get("group", 1))


def _max_pool(x: Values, how: Attributes) -> Tensor:
    strides, dilations, pads = how.get("strides", 1), how.get("dilations", 1), how.get("pads", (0, 0))
    return F.max_pool2d(x[0], how["kernel_shape"], strides, pads[:2], dilations)


def _slice(x: Values, how: Attributes) -> Tensor:
    image, start, end, axes, steps = x
    cut = [slice(None)] * image.ndim
    for axis, first, last, step in zip(*(v.tolist() for v in (axes, start, end, steps)), strict=True):
        cut[axis] = slice(first, last, step)
    sliced: Tensor = image[tuple(cut)]
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
    "Reshape": lambda x, how: x[0].flatten(2),  # flattens the cells of a head, for any image size
    "Transpose": lambda x, how: x[0].permute(how["perm"]),
}
"""The ONNX operators of YOLOX graphs."""


def _as_computed(kind: str, how: Attributes, fixed: Values) -> bool:
    """Whether `OPERATIONS` implements a node; `fixed` holds its constant inputs, None for the others."""
    if kind in ("Conv", "MaxPool"):
        pads = how.get("pads", [0] * 4)
        plain = how.get("auto_pad", b"NOTSET") == b"NOTSET" and not how.get("ceil_mode")
        return plain and len(pads) == 4 and pads[:2] == pads[2:]
    if kind == "Slice":
        return len(fixed) == 5 and all(x is not None for x in fixed[1:])
    if kind == "Reshape":
        return fixed[1] is not None and len(fixed[1]) == 3
    if kind == "Resize":
        doubled = len(fixed) == 3 and fixed[2] is not None and fixed[2].tolist() == [1, 1, 2, 2]
        # Positions i / 2 must be rounded down, and i / 2 - 1 / 4 to the nearest pixel.
        nearest = how.get("nearest_mode", b"round")
        positions = how.get("coordinate_transformation_mode", b"half_pixel")
        twice = nearest.startswith(b"round") if positions == b"half_pixel" else not nearest.endswith(b"ceil")
        is_known = positions in (b"half_pixel", b"asymmetric") and how.get("mode", b"nearest") == b"nearest"
        return doubled and is_known and twice
    return True


def _refusal(path: Path, found: set[str]) -> InputError:
    return InputError(
        f"'{path}' is not a YOLOX detector in the form that its authors export.\n"
        f"  expected: {', '.join(OPERATIONS)} (equal "
        f"padding on both sides, nearest by 2), and {BOX} + {CLASSES} columns\n  got also: {', '.join(sorted(found))}"
    )


class FrozenDetector:
    """A YOLOX detector executed in torch, so that gradients reach the image; its weights are frozen.

    Source: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, 2021.

    Args:
        path: ONNX file as exported by YOLOX, with raw output (boxes not decoded): from (1, 3, h, w) in BGR, 0 to 255,
            to (1, cells, 5 + COCO classes).

    Raises:
        MissingDependencyError: if onnx is not installed.
        InputError: if the file cannot be read, uses an operator (or a variant of one) that YOLOX does not have, or has
            classes other than those of COCO.
    """

    def __init__(self, path: Path) -> None:
        onnx = import_onnx("A detection loss")
        try:
            model: ModelProto = onnx.load(path)
        except Exception as error:  # protobuf and file system errors have no common base class
            raise InputError(f"Cannot read the detector '{path}'.\n  {error}") from error
        nodes = [node for node in model.graph.node if node.op_type != "Constant"]
        if unknown := {node.op_type for node in nodes} - OPERATIONS.keys():
            raise _refusal(path, unknown)
        self.nodes: list[tuple[NodeProto, Attributes]] = [
            (node, {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}) for node in nodes
        ]
        held = {item.name: item for item in model.graph.initializer}
        held |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
        self.constants = {name: torch.from_numpy(onnx.numpy_helper.to_array(x).copy()) for name, x in held.items()}
        self.entry = next(item.name for item in model.graph.input if item.name not in self.constants)
        self.exit = model.graph.output[0].name
        for node, how in self.nodes:
            if not _as_computed(node.op_type, how, [self.constants.get(name) for name in node.input]):
                unknown.add(f"{node.op_type} of another kind ('{node.output[0]}')")
        columns = [size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim][2:]
        if columns not in ([BOX + CLASSES], [0]):  # 0: not given in the file
            unknown.add(f"an output of {columns} columns")
        if unknown:
            raise _refusal(path, unknown)

    def scores(self, luma: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n cells groups"]:
        """Objectness times class score in [0, 1] for each of `GROUPS`, for luma in [0, 1] as a gray image.

        The image is cropped at the right and bottom to multiples of `STRIDE`.
        """
        height, width = (side // STRIDE * STRIDE for side in luma.shape[2:])
        image = luma[..., :height, :width].expand(-1, 3, -1, -1) * 255
        self.constants = {name: value.to(luma.device) for name, value in self.constants.items()}
        values: dict[str, Any] = {**self.constants, self.entry: image}
        for node, how in self.nodes:
            values[node.output[0]] = OPERATIONS[node.op_type]([values[name] for name in node.input if name], how)
        found = values[self.exit]
        classes = found[..., BOX:] * found[..., BOX - 1 : BOX]
        return torch.stack([classes[..., list(group)].amax(-1) for group in GROUPS], -1)


def detection_loss(
    fused: Float[Tensor, "n 1 h w"], a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], detector: FrozenDetector
) -> Tensor:
    """Shortfall of the detector's scores on the fused image, relative to the best score on a source or their mean.

    Averaged over cells and classes, weighted by that best score, so cells without a detection do not contribute. The
    mean of the sources is a poor fused image, but detectors find many objects in it. Luma in [0, 1]. Our choice.
    """
    with torch.no_grad():
        wanted = torch.stack([detector.scores(x) for x in (a, b, (a + b) / 2)]).amax(0)
    short = (wanted - detector.scores(fused)).relu()
    mean: Tensor = (wanted * short).sum() / wanted.sum().clamp(min=1)
    return mean
