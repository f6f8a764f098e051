"""Convert a network to an ONNX model that any runtime can use: images of any size in, the fused image out.

The graph takes `a` and `b`, luma in [0, 1] (1, 1, h, w), and returns `fused` and `weight_map` of the same size. Inside,
the grid statistics of the sources are named `STATS`: cut there, it fuses single regions (`inference/backend.py`).
"""

from __future__ import annotations

import copy
import io
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse._version import __version__
from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.network.context import grid_statistics
from refinefuse.network.model import RefineFuse
from refinefuse.network.pretrained import CONFIG_KEY, LICENSE_KEY, VERSION_KEY

if TYPE_CHECKING:
    from onnx import ModelProto

SOURCES, RESULTS = ["a", "b"], ["fused", "weight_map"]
STATS = ["stats_a", "stats_b"]
OPSET = 18
"""TensorRT 8.6, onnxruntime 1.14 and later read it."""
OPSETS = range(14, 21)
"""What torch can export this network to; attention needs the first."""


def import_onnx(purpose: str) -> Any:
    """Import the library onnx.

    Args:
        purpose: what needs it, as the start of a sentence.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError("onnx", "onnx", purpose) from error
    return onnx


class _AnySize(nn.Module):
    """The exported graph: everything from the two images to the result, for any size."""

    def __init__(self, model: RefineFuse) -> None:
        super().__init__()
        self.model = model

    def forward(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> tuple[Tensor, ...]:
        """The fused luma, the weight map of `a`, and the grid statistics of both sources."""
        config = self.model.config
        height, width = a.shape[2:]
        small_a, small_b = grid_statistics(a, config.context_size), grid_statistics(b, config.context_size)
        edges = (0, -width % config.stride, 0, -height % config.stride)
        padded_a, padded_b = (F.pad(x, edges, mode="replicate") for x in (a, b))
        output = self.model.predict_padded(padded_a, padded_b, self.model.encode_context_from_stats(small_a, small_b))
        return output.fused[..., :height, :width], output.weight_map[..., :height, :width], small_a, small_b


def cpu_copy(model: RefineFuse) -> RefineFuse:
    """A copy of a network on the CPU, in float32 and in evaluation mode."""
    return copy.deepcopy(model).cpu().float().eval()


def to_onnx(model: RefineFuse, opset: int = OPSET) -> ModelProto:
    """Convert a network to an ONNX model in float32 with dynamic height and width; the network is left as it is.

    Its metadata holds the config, the version of this package and the license of the weights.

    Raises:
        InputError: if the opset is not supported.
        MissingDependencyError: if onnx is not installed.
    """
    if opset not in OPSETS:
        raise InputError(f"`opset` must be from {OPSETS[0]} to {OPSETS[-1]}.\n  got: {opset}")
    onnx = import_onnx("Exporting a network")
    network = _AnySize(cpu_copy(model))
    file = io.BytesIO()
    example = (torch.rand(1, 1, 40, 56), torch.rand(1, 1, 40, 56))
    size = {2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.inference_mode():
        # The exporter by tracing: the one by torch.export takes minutes with dynamic sizes, for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example,
            file,  # type: ignore[arg-type]  # the tracing exporter takes files too
            dynamo=False,
            opset_version=opset,
            input_names=SOURCES,
            output_names=RESULTS + STATS,
            dynamic_axes=dict.fromkeys(SOURCES + RESULTS, size),
        )
    exported: ModelProto = onnx.load_from_string(file.getvalue())
    graph = exported.graph
    inner = [output for output in graph.output if output.name in STATS]
    for output in inner:  # not results, but the names where the graph can be cut
        graph.output.remove(output)
        graph.value_info.append(output)
    for output in graph.output:
        output.type.tensor_type.shape.CopyFrom(graph.input[0].type.tensor_type.shape)
    metadata = {CONFIG_KEY: model.config.to_json(), VERSION_KEY: __version__}
    onnx.helper.set_model_props(exported, metadata | ({LICENSE_KEY: model.license} if model.license else {}))
    onnx.checker.check_model(exported)
    return exported


def quantized(model: ModelProto, pairs: Iterable[tuple[Tensor, Tensor]]) -> ModelProto:
    """Quantize the convolutions of the trunk to 8-bit integers, with scales from calibration pairs.

    The stems, the head and the encoders of the context stay in float32: they cost little, and the pixels' own values
    pass through them.

    Args:
        model: what `to_onnx` returned.
        pairs: typical pairs, as the network takes them; 10 to 50 are enough.

    Raises:
        MissingDependencyError: if onnxruntime is not installed.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "onnx", "Quantizing a network") from error

    onnx = import_onnx("Quantizing a network")

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.pairs = iter(pairs)

        def get_next(self) -> dict[str, Any] | None:
            pair = next(self.pairs, None)
            return pair and {name: x.numpy() for name, x in zip(SOURCES, pair, strict=True)}

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, result = (Path(folder) / f"{stage}.onnx" for stage in ("plain", "prepared", "int8"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[node.name for node in onnx.load(prepared).graph.node if _is_delicate(node.name)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized_model: ModelProto = onnx.load(result)
    return quantized_model


def _is_delicate(node: str) -> bool:
    return any(part in node for part in ("/context_encoders.", "/encoders.0/downsample", "/head/"))
