"""Convert a network to an ONNX model for other runtimes: two images in, the fused image out.

The graph takes `a`, luma in [0, 1], (batch, 1, height, width), and `b`, of the same size, luma or RGB in [0, 1]. It
returns `fused`, which has the channels of `b`, and `weight_map`. Inside, the grid statistics of the sources are named
`STATS`, their lumas up to multiples of the stride `PADDED`, and the rules of the head `RULES`: cut there, it
fuses single regions (`region_graph`), or computes the rules for them (`rules_graph`).
"""

from __future__ import annotations

import copy
import hashlib
import io
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse._version import __version__
from refinefuse.errors import InputError, optional
from refinefuse.image.color import YCbCrImage, restore_color, to_ycbcr
from refinefuse.network.context import grid_statistics
from refinefuse.network.model import RefineFuse
from refinefuse.network.pretrained import CONFIG_KEY, LICENSE_KEY, VERSION_KEY

if TYPE_CHECKING:
    from onnx import ModelProto

SOURCES, RESULTS = ["a", "b"], ["fused", "weight_map"]
STATS = ["stats_a", "stats_b"]
PADDED = ["padded_a", "padded_b"]
RULES = "rules_"
"""Prefix of the head's rules, for each order of the pair and each scale; followed by a number."""
CHECKSUM_KEY = "refinefuse.sha256"
"""Metadata key: checksum of the graph when it was written."""
OPSET = 18
"""Supported by TensorRT 8.6, onnxruntime 1.14 and later."""
OPSETS = range(14, 21)
"""Opsets that torch can export this network to; attention requires the first."""
BFLOAT16_OPSET = 22
"""The first opset whose convolutions support bfloat16."""
LARGEST_SIDE, LARGEST_BATCH = 4096, 64

GraphPrecision: TypeAlias = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class GraphForm:
    """Input format and precision of an exported graph.

    Args:
        color: whether `b` and `fused` are RGB; the color of `b` is restored as in `refinefuse.fuse`.
        size: fixed height and width, for runtimes that need them; None allows any size.
        batch_size: fixed batch size; None allows any, or means 1 if the size is fixed.
        precision: precision of features and weights. The statistics of the sources and the head always use float32.

    Raises:
        InputError: if the size, the batch size or the precision cannot be used.
    """

    color: bool = False
    size: tuple[int, int] | None = None
    batch_size: int | None = None
    precision: GraphPrecision = "float32"

    def __post_init__(self) -> None:
        if self.size is not None and not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in self.size):
            raise InputError(
                f"`size` must be height and width in pixels.\n  expected: 1 to {LARGEST_SIDE} each\n  got: {self.size}"
            )
        if self.size is not None and self.batch_size is None:
            object.__setattr__(self, "batch_size", 1)
        batch = self.batch_size
        if batch is not None and not (type(batch) is int and 1 <= batch <= LARGEST_BATCH):
            raise InputError(f"`batch_size` must be a whole number from 1 to {LARGEST_BATCH}.\n  got: {batch!r}")
        if self.precision not in get_args(GraphPrecision):
            names = ", ".join(get_args(GraphPrecision))
            raise InputError(f"`precision` must be one of {names}.\n  got: {self.precision!r}")

    @property
    def channels(self) -> int:
        """Channels of `b` and of `fused`."""
        return 3 if self.color else 1

    @property
    def example(self) -> tuple[Tensor, Tensor]:
        """An example input pair."""
        batch, size = self.batch_size or 2, self.size or (40, 56)
        return torch.rand(batch, 1, *size), torch.rand(batch, self.channels, *size)

    def fit(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Resize, repeat and color a pair (1, 1 or 3, h, w) to fit the graph."""
        a, b = a[:, :1], b.expand(-1, self.channels, -1, -1) if self.color else to_ycbcr(b).luma
        if self.size not in (None, tuple(a.shape[2:])):
            a, b = (F.interpolate(x, self.size, mode="bilinear", antialias=True).clamp(0, 1) for x in (a, b))
        return a.repeat(self.batch_size or 1, 1, 1, 1), b.repeat(self.batch_size or 1, 1, 1, 1)


def import_onnx(purpose: str) -> Any:
    """Import the library onnx.

    Args:
        purpose: the feature that needs it, as the start of a sentence.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    with optional("onnx", purpose):
        import onnx
    return onnx


class _Graph(nn.Module):
    """The exported graph: everything from the two images to the result."""

    def __init__(self, model: RefineFuse, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.model = model
        self.size = size

    def forward(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n c h w"]) -> tuple[Tensor, ...]:
        """Return the fused image, the weight map of `a`, and the values where the graph can be split."""
        config = self.model.config
        height, width = self.size or a.shape[2:]
        colored = to_ycbcr(b)
        lumas = a, colored.luma
        stats_a, stats_b = (grid_statistics(x, config.context_size) for x in lumas)
        edges = (0, -width % config.stride, 0, -height % config.stride)
        padded_a, padded_b = (F.pad(x, edges, mode="replicate") for x in lumas)
        context = self.model.encode_context_from_stats(stats_a, stats_b)
        rules = self.model.rules(padded_a, padded_b, context, config.contrast)
        by_order = zip(rules, self.model.orders(padded_a, padded_b), strict=True)
        head = self.model.head
        output = self.model.mean_of_orders([head(rule, *pair, config.contrast) for rule, pair in by_order])
        fused, weight_map = (plane[..., :height, :width] for plane in output)
        if colored.chroma is not None:
            fused = restore_color(fused, YCbCrImage(a), colored)
        return (
            fused,
            weight_map,
            stats_a,
            stats_b,
            padded_a,
            padded_b,
            *(rule for of_order in rules for rule in of_order),
        )


def cpu_copy(model: RefineFuse) -> RefineFuse:
    """Copy a network to the CPU, in float32 and evaluation mode."""
    return copy.deepcopy(model).cpu().float().eval()


def to_onnx(model: RefineFuse, opset: int | None = None, form: GraphForm | None = None) -> ModelProto:
    """Convert a network to an ONNX model; the network is not modified.

    Its metadata holds the config, the version of this package and the license of the weights.

    Args:
        model: the network.
        opset: version of the ONNX operators; None means `OPSET`, or `BFLOAT16_OPSET` for bfloat16.
        form: input format; None means float32 luma of any batch size and size.

    Raises:
        InputError: if the opset is not supported.
        MissingDependencyError: if onnx is not installed, or for a fixed size onnxslim.
    """
    form = form or GraphForm()
    is_bfloat16 = form.precision == "bfloat16"
    if is_bfloat16 and opset not in (None, BFLOAT16_OPSET):
        raise InputError(f"bfloat16 needs opset {BFLOAT16_OPSET}.\n  got: {opset}\nLeave the opset out.")
    if not is_bfloat16 and opset is not None and opset not in OPSETS:
        raise InputError(f"`opset` must be from {OPSETS[0]} to {OPSETS[-1]}.\n  got: {opset}")
    onnx = import_onnx("Exporting a network")
    exported: ModelProto = onnx.load_from_string(_traced(model, OPSETS[-1] if is_bfloat16 else opset or OPSET, form))
    _name_results(exported.graph, form)
    if form.size is not None:
        exported = _simplified(exported)
    if is_bfloat16:
        exported = onnx.version_converter.convert_version(exported, BFLOAT16_OPSET)
    onnx.checker.check_model(exported)
    metadata = {CONFIG_KEY: model.config.to_json(), VERSION_KEY: __version__}
    return _sealed(exported, metadata | ({LICENSE_KEY: model.license} if model.license else {}))


def graph_checksum(model: ModelProto) -> str:
    """The sha256 of a model without its metadata."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _sealed(model: ModelProto, metadata: dict[str, str]) -> ModelProto:
    """Add metadata and the checksum to a model."""
    import_onnx("Exporting a network").helper.set_model_props(model, {**metadata, CHECKSUM_KEY: graph_checksum(model)})
    return model


def _traced(model: RefineFuse, opset: int, form: GraphForm) -> bytes:
    """Export with torch."""
    network = _lowered(cpu_copy(model), getattr(torch, form.precision))
    file = io.BytesIO()
    count = len(model.config.channels) * (2 if model.config.symmetric else 1)
    axes = {0: "batch"} if form.batch_size is None else {}
    axes |= {2: "height", 3: "width"} if form.size is None else {}
    with warnings.catch_warnings(), torch.inference_mode():
        # Use the tracing exporter: torch.export takes minutes with dynamic sizes, for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Graph(network, form.size),
            form.example,
            file,  # type: ignore[arg-type]  # the tracing exporter takes files too
            dynamo=False,
            opset_version=opset,
            input_names=SOURCES,
            output_names=RESULTS + STATS + PADDED + [f"{RULES}{index}" for index in range(count)],
            dynamic_axes=dict.fromkeys(SOURCES + RESULTS, axes) if axes else None,
        )
    return file.getvalue()


def _lowered(model: RefineFuse, dtype: torch.dtype) -> RefineFuse:
    """Convert weights and features to another dtype; inputs and the head stay in float32."""
    if dtype != torch.float32:
        model.to(dtype)
        for first in (model.encoders[0], *model.context_encoders):
            first.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))
    return model


def _name_results(graph: Any, form: GraphForm) -> None:
    """Name the values at which the graph can be cut, which are no results, and the dimensions of the results."""
    inner = [output for output in graph.output if output.name not in RESULTS]
    for output in inner:
        graph.output.remove(output)
        graph.value_info.append(output)
    for output, channels in zip(graph.output, (form.channels, 1), strict=True):
        output.type.tensor_type.shape.CopyFrom(graph.input[0].type.tensor_type.shape)
        output.type.tensor_type.shape.dim[1].dim_value = channels


def _simplified(model: ModelProto) -> ModelProto:
    """Constant-fold everything that a fixed size determines."""
    with optional("onnx", "Exporting for a fixed size"):
        import onnxslim
    simplified: ModelProto = onnxslim.slim(model)
    return simplified


def region_graph(model: ModelProto) -> ModelProto:
    """The part of an exported model that fuses a region: from the images and the statistics of the whole pair."""
    return _part(model, SOURCES + STATS, RESULTS)


def rules_graph(model: ModelProto) -> ModelProto:
    """The part of an exported model that computes the rules of the head for a region; of old files, `region_graph`.

    It takes a region whose sides are multiples of the stride, and the statistics of the whole pair.
    """
    names = (info.name for info in model.graph.value_info if info.name.startswith(RULES))
    rules = sorted(names, key=lambda name: int(name.removeprefix(RULES)))
    return _part(model, PADDED + STATS, rules) if rules else region_graph(model)


def _part(model: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    part: ModelProto = import_onnx("Using an ONNX file").utils.Extractor(model).extract_model(inputs, outputs)
    return part


def quantized(model: ModelProto, pairs: Iterable[tuple[Tensor, Tensor]]) -> ModelProto:
    """Quantize the convolutions of the trunk to 8-bit integers, with scales from calibration pairs.

    The stems, the head and the context encoders stay in float32: they are cheap, and pixel values pass through them
    directly.

    Args:
        model: what `to_onnx` returned, in float32.
        pairs: typical pairs, as the model takes them; 10 to 50 are enough.

    Raises:
        MissingDependencyError: if onnxruntime is not installed.
    """
    with optional("onnx", "Quantizing a network"):
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

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
            extra_options={"OpTypesToExcludeOutputQuantization": ["Conv"]},  # avoids rounding the outputs twice
        )
        integers: ModelProto = onnx.load(result)
    used = {node.domain for node in integers.graph.node}
    for entry in [entry for entry in integers.opset_import if entry.domain not in used]:
        integers.opset_import.remove(entry)
    return _sealed(integers, {entry.key: entry.value for entry in model.metadata_props})


def _is_delicate(node: str) -> bool:
    return any(part in node for part in ("/context_encoders.", "/encoders.0/downsample", "/head/"))
