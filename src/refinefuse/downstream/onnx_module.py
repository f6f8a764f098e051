"""Convert an ONNX network to a trainable torch module.

Only the operators of convolutional networks such as YOLOX and ESPNet are supported. Batch normalization becomes a
trainable scale and shift, so that the output does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.errors import InputError
from refinefuse.export import import_onnx

Attributes = Mapping[str, Any]


class OnnxModule(nn.Module):
    """Executes the graph of an ONNX file node by node.

    Args:
        path: ONNX file.

    Raises:
        MissingDependencyError: onnx is not installed.
        InputError: the file cannot be read or has an unsupported operator.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        onnx = import_onnx("Training a network from an ONNX file")
        try:
            graph = onnx.load(str(path)).graph
        except Exception as error:  # damaged files raise all kinds of exceptions in protobuf and onnx
            raise InputError(f"Cannot open the ONNX file '{path}'.\n  {error}") from None
        unknown = sorted({node.op_type for node in graph.node} - OPERATORS.keys())
        if unknown:
            raise InputError(
                f"Cannot train the network '{path}'.\n  expected: the operators {', '.join(OPERATORS)}\n"
                f"  got: {', '.join(unknown)}"
            )
        constants = {x.name: torch.from_numpy(onnx.numpy_helper.to_array(x).copy()) for x in graph.initializer}
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.nodes = [
            (
                node.op_type,
                list(node.input),
                node.output[0],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        ]
        for kind, inputs, output, attributes in self.nodes:
            if kind == "BatchNormalization":
                scale, shift, mean, variance = (constants[name] for name in inputs[1:])
                scale = scale / (variance + attributes.get("epsilon", 1e-5)).sqrt()
                inputs[1:] = f"{output}/scale", f"{output}/shift"
                constants |= {inputs[1]: scale, inputs[2]: shift - mean * scale}
        weights = {name for kind, inputs, *_ in self.nodes if kind != "Resize" for name in inputs}
        self.trained = nn.ParameterDict(
            {_key(n): x for n, x in constants.items() if x.is_floating_point() and x.numel() and n in weights}
        )
        self.constants = {n: x for n, x in constants.items() if _key(n) not in self.trained}

    def forward(self, images: Tensor) -> Tensor:
        """Run the network on a batch (n, c, h, w) whose height and width are multiples of its stride."""
        values: dict[str, Tensor] = {self.input: images, **self.constants}
        for kind, inputs, output, attributes in self.nodes:
            given = [self.trained[_key(n)] if _key(n) in self.trained else values.get(n) for n in inputs]
            values[output] = OPERATORS[kind](attributes, *given)
        return values[self.output]


def _key(name: str) -> str:
    """Convert a tensor name to a valid torch parameter name."""
    return name.replace(".", "/")


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, *_ = attributes.get("pads", [0, 0, 0, 0])
    return F.conv2d(
        x, weight, bias, attributes.get("strides", [1, 1]), (top, left), attributes.get("dilations", [1, 1]),
        attributes.get("group", 1),
    )  # fmt: skip


def _conv_transpose(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, *_ = attributes.get("pads", [0, 0, 0, 0])
    return F.conv_transpose2d(
        x, weight, bias, attributes.get("strides", [1, 1]), (top, left), attributes.get("output_padding", [0, 0]),
        attributes.get("group", 1), attributes.get("dilations", [1, 1]),
    )  # fmt: skip


def _average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    top, left, *_ = attributes.get("pads", [0, 0, 0, 0])
    counted = bool(attributes.get("count_include_pad", 0))
    strides = attributes.get("strides", [1, 1])
    return F.avg_pool2d(x, attributes["kernel_shape"], strides, (top, left), count_include_pad=counted)


def _max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    top, left, *_ = attributes.get("pads", [0, 0, 0, 0])
    return F.max_pool2d(x, attributes["kernel_shape"], attributes["strides"], (top, left))


def _slice(attributes: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, steps: Tensor) -> Tensor:
    cut: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(*(t.tolist() for t in (starts, ends, axes, steps)), strict=True):
        cut[axis] = slice(start, min(end, x.shape[axis]), step)
    return x[tuple(cut)]


def _resize(attributes: Attributes, x: Tensor, _region: Tensor | None, scales: Tensor, *_sizes: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=scales[2:].tolist(), mode="nearest")


def _reshape(attributes: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    if len(shape) != 3 or shape[2] != -1:
        raise ValueError(f"cannot reshape to {shape.tolist()}")
    return x.flatten(2)  # the shape in the file fixes the batch size to 1


OPERATORS: Mapping[str, Callable[..., Tensor]] = {
    "Add": lambda _, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": lambda _, x, scale, shift: x * scale[:, None, None] + shift[:, None, None],
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "Mul": lambda _, x, y: x * y,
    "PRelu": lambda _, x, slope: F.prelu(x, slope.flatten()),
    "Relu": lambda _, x: x.relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": lambda _, x: x.sigmoid(),
    "Slice": _slice,
    "Transpose": lambda attributes, x: x.permute(attributes["perm"]),
}
