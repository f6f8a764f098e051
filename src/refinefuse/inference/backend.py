"""Backends that run the network: torch, or a runtime for ONNX files."""

from __future__ import annotations

import copy
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.errors import InputError, WeightsError, optional
from refinefuse.export import RESULTS, rules_graph, to_onnx
from refinefuse.inference.cpu import CpuHead, OnCpu
from refinefuse.inference.device import resolve_device
from refinefuse.inference.onnx_file import config_of, read_onnx
from refinefuse.inference.onnx_session import Feed, onnx_session
from refinefuse.inference.resources import usable_cores
from refinefuse.network.context import Context
from refinefuse.network.fusion_model import FusionModel
from refinefuse.network.head import FusionOutput
from refinefuse.network.model import RefineFuse
from refinefuse.network.refinement import GradualRefinement, interpolate

if TYPE_CHECKING:
    from onnx import ModelProto

Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
_BLOCK = 16  # channels per block in onnxruntime, with AVX-512


class OnnxModel(OnCpu):
    """A network that another runtime executes on the CPU, from an ONNX file of this package.

    Its context is the grid statistics of the pair: the graph recomputes the tokens for every region, at negligible
    cost.

    Args:
        model: an ONNX model from `to_onnx` or `read_onnx`; it may be quantized.
        threads: threads of the runtime; calls from threads that limit torch to one thread run single-threaded.
    """

    is_thread_invariant = True

    def __init__(self, model: ModelProto, threads: int) -> None:
        self.config = config_of(model)
        self.head = CpuHead(self.config)
        part = rules_graph(model)
        self.inputs = [given.name for given in part.graph.input]
        self.results = [output.name for output in part.graph.output]
        self.threads, self._graph = threads, part.SerializeToString()
        self.run = self.load(self._graph, self.results, threads)

    @staticmethod
    @abstractmethod
    def load(graph: bytes, results: Sequence[str], threads: int) -> Callable[[Feed], list[np.ndarray]]:
        """Load a graph and return a function from its named inputs to the requested outputs.

        Several threads may call it concurrently. With `threads=1`, each call runs on its own thread.
        """

    @cached_property
    def _run_alone(self) -> Callable[[Feed], list[np.ndarray]]:
        """`run` for single-threaded calls."""
        return self.load(self._graph, self.results, 1)

    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """Return the grid statistics unchanged."""
        return Context(a, b)

    def predict_padded(self, a: Tensor, b: Tensor, context: Context) -> FusionOutput:
        """Fuse an image whose sides are multiples of the stride."""
        given = zip(self.inputs, (a, b, *context), strict=True)
        run = self._run_alone if torch.get_num_threads() == 1 < self.threads else self.run
        outputs = run({name: np.ascontiguousarray(x.numpy(), np.float32) for name, x in given})
        found = [torch.from_numpy(np.asarray(x)) for x in outputs]
        if self.results == RESULTS:
            return FusionOutput(*found)
        orders = self.orders(a, b)
        scales = len(self.config.channels)
        return self.mean_of_orders([self.head(found[scales * k :][:scales], *pair) for k, pair in enumerate(orders)])


class OnnxRuntimeModel(OnnxModel):
    """Runs the network in Microsoft's onnxruntime."""

    @staticmethod
    def load(graph: bytes, results: Sequence[str], threads: int) -> Callable[[Feed], list[np.ndarray]]:
        """Load a graph for the CPU."""
        session = onnx_session(graph, threads, "The backend onnxruntime")
        return lambda feed: session.run(results, feed)


class OpenVinoModel(OnnxModel):
    """Runs the network in Intel's OpenVINO: fastest on Intel processors, especially for quantized networks."""

    @staticmethod
    def load(graph: bytes, results: Sequence[str], threads: int) -> Callable[[Feed], list[np.ndarray]]:
        """Load a graph for the CPU, in float32 unless it is quantized."""
        with optional("openvino", "The backend openvino"):
            import openvino
        core = openvino.Core()
        streams = usable_cores() if threads == 1 else 1  # each runs one request on its share of the threads
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": max(threads, streams), "NUM_STREAMS": streams}
        settings["INFERENCE_PRECISION_HINT"] = "f32"
        try:
            compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        except RuntimeError as error:
            raise InputError(f"OpenVINO cannot open the ONNX model.\n  {error}") from error

        local = threading.local()  # a request serves one thread at a time

        def run(feed: Feed) -> list[np.ndarray]:
            if not hasattr(local, "request"):
                local.request = compiled.create_infer_request()
            found = local.request.infer(feed, True)  # without a copy of the inputs
            return [found[name].copy() for name in results]

        return run


BACKENDS: dict[str, type[OnnxModel]] = {"onnxruntime": OnnxRuntimeModel, "openvino": OpenVinoModel}


def is_exported(weights: str | os.PathLike[str] | RefineFuse) -> bool:
    """Whether the weights are the path of an ONNX file."""
    return not isinstance(weights, RefineFuse) and Path(weights).suffix.lower() == ".onnx"


def check_backend(weights: str | os.PathLike[str] | RefineFuse, backend: Backend, device: str, precision: str) -> None:
    """Check that the backend is known and supports the weights and the device.

    Raises:
        InputError: if it is not; the message names the option.
    """
    if backend not in get_args(Backend):
        raise InputError(f"`backend` must be {', '.join(get_args(Backend))}.\n  got: {backend!r}")
    if is_exported(weights) and backend == "torch":
        raise InputError(
            f"torch cannot use an ONNX file.\n  weights: '{weights}'\nUse `backend=onnxruntime` or `backend=openvino`."
        )
    if backend in ("auto", "torch") and not is_exported(weights):
        return
    name = "onnxruntime" if backend == "auto" else backend
    if device not in ("auto", "cpu"):
        raise InputError(f"The backend {name} runs on the CPU.\n  device: {device!r}\nUse `backend=torch` for others.")
    if precision not in ("auto", "float32"):
        raise InputError(
            f"The backend {name} uses the precision of the ONNX file.\n  precision: {precision!r}\n"
            "Remove `precision`, or use `backend=torch`."
        )


def load_backend(
    weights: str | os.PathLike[str] | RefineFuse,
    backend: Backend = "auto",
    device: str = "auto",
    contrast: float | None = None,
) -> FusionModel:
    """Load weights on a backend.

    Args:
        weights: what `load_model` takes, an ONNX file that `refinefuse export` wrote, or a network.
        backend: `auto` is torch for weights and networks, and onnxruntime for an ONNX file.
        device: device for torch.
        contrast: from 0 to 1; None uses that of the weights.

    Raises:
        WeightsError: if the weights cannot be used.
        ConfigError: if the contrast is not a number from 0 to 1.
        InputError: if the backend is unknown, or cannot use an ONNX file, or the file has another contrast.
        MissingDependencyError: if the backend is not installed.
    """
    check_backend(weights, backend, "auto", "auto")
    if isinstance(weights, RefineFuse):
        network = weights if contrast is None else _with_contrast(weights, contrast)
    elif is_exported(weights):
        name = "onnxruntime" if backend == "auto" else backend
        model = BACKENDS[name](read_onnx(Path(weights)), torch.get_num_threads())
        if contrast not in (None, model.config.contrast):
            raise InputError(
                f"The contrast of an ONNX file is fixed when it is exported.\n  weights: '{weights}'\n"
                f"  expected: {model.config.contrast:g}\n  got: {contrast:g}\nExport the weights with this contrast."
            )
        return _proved(model, Path(weights))
    else:
        network = pretrained(weights, "cpu" if backend in BACKENDS else device, contrast)
    if backend in BACKENDS:
        own = copy.deepcopy(network)
        graph = _onnxruntime_graph(own) if backend == "onnxruntime" else to_onnx(own)
        return BACKENDS[backend](graph, torch.get_num_threads())
    return ready(network, device)


def _onnxruntime_graph(network: RefineFuse) -> ModelProto:
    """Build the graph that is fastest in onnxruntime; the network is modified.

    Channel groups that do not fill its blocks become dense, padded with zeros: more arithmetic, but two to three times
    faster. Upsampling uses the operator that supports this block layout.
    """
    for layer in network.modules():
        if isinstance(layer, GradualRefinement):
            layer.enlarge = interpolate
        elif isinstance(layer, nn.Conv2d) and layer.groups > 1 and (width := layer.weight.shape[1]) % _BLOCK:
            starts = range(0, layer.in_channels, width)
            groups = zip(starts, layer.weight.detach().chunk(layer.groups), strict=True)
            dense = [F.pad(x, (0, 0, 0, 0, k, layer.in_channels - width - k)) for k, x in groups]
            layer.weight, layer.groups = nn.Parameter(torch.cat(dense)), 1
    graph = to_onnx(network)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.s == b"pytorch_half_pixel":  # the same, but for results of one pixel
                attribute.s = b"half_pixel"
    return graph


def _with_contrast(network: RefineFuse, contrast: float) -> RefineFuse:
    """Return the network with another contrast, sharing its parameters."""
    other = copy.copy(network)
    other.config = replace(network.config, contrast=contrast)
    return other


def _proved(model: OnnxModel, path: Path) -> OnnxModel:
    """Return the model of a file after checking that it can fuse a small pair.

    Raises:
        WeightsError: if it cannot.
    """
    side = model.config.stride
    a, b = torch.rand(2, 1, 1, side, 2 * side, generator=torch.Generator().manual_seed(0))
    try:
        output = model.predict(a, b, model.encode_context(a, b))
    except Exception as error:  # runtimes have no common error class
        raise WeightsError(f"Cannot run the ONNX file '{path}'.\n  {error}") from error
    if not all(plane.shape == a.shape and plane.isfinite().all() for plane in output):
        raise WeightsError(f"The ONNX file '{path}' is damaged: its output is not a fused image.")
    return model


def pretrained(weights: str | os.PathLike[str], device: str, contrast: float | None = None) -> RefineFuse:
    """Load a trained network in float32, in its fastest memory format."""
    target = resolve_device(device)
    network = RefineFuse.from_pretrained(weights, contrast=contrast)
    return network.to(device=target, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def ready(network: RefineFuse, device: str) -> RefineFuse:
    """Return the network if it is in evaluation mode, float32 and on the device; otherwise a converted copy.

    Args:
        network: the caller's network; never modified.
        device: target device; `auto` means its current one.
    """
    parameter = next(network.parameters())
    target = parameter.device if device == "auto" else resolve_device(device)
    if (
        not network.training
        and parameter.dtype == torch.float32
        and target in (parameter.device, _first(parameter.device))
    ):
        return network
    return copy.deepcopy(network).to(target, torch.float32).eval()


def _first(device: torch.device) -> torch.device | None:
    """Normalize the first CUDA device to plain `cuda`."""
    return torch.device(device.type) if device.index in (None, 0) else None
