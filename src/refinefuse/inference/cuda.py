"""The network on an NVIDIA GPU: layers cast once, kernels captured as CUDA graphs, transfers on a separate stream."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from refinefuse.network.context import Cells, Context, cell_samples, cell_statistics
from refinefuse.network.fusion_model import FusionModel, check_sources
from refinefuse.network.head import FusionOutput
from refinefuse.network.model import RefineFuse

LARGEST_GRAPH = 1 << 22
"""Largest batch, in pixels, whose kernels are captured. Beyond that, launch overhead is negligible."""
_GRAPHS = 8  # sizes whose graphs are kept

Tensors = tuple[Tensor, ...]


class CudaModel(FusionModel):
    """The fastest way to run a network on an NVIDIA GPU; results are those of the network itself.

    Float32 means true float32: TF32 convolutions, torch's default, would change single pixels by several levels.

    Args:
        network: a network on the GPU, in evaluation mode and float32; not modified.
        dtype: dtype of the features.
    """

    def __init__(self, network: RefineFuse, dtype: torch.dtype) -> None:
        self.config = network.config
        self.network = with_layers_in(network, dtype)
        self.dtype = dtype
        self.recorder = GraphRecorder()

    def encode_context(self, a: Tensor, b: Tensor) -> Context:
        """Encode the context of a whole pair of lumas (n, 1, h, w)."""
        check_sources(a, b)
        rows, columns = (_cells(side, self.config.context_size, a.device) for side in a.shape[2:])

        def work(a: Tensor, b: Tensor) -> Tensors:
            return self.network.encode_context_from_stats(*(cell_statistics(x, rows, columns) for x in (a, b)))

        with self._computing(a.device):
            return Context(*self.recorder.run("context", work, (a, b)))

    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """Encode the context from the statistics of each source."""
        with self._computing(a.device):
            return self.network.encode_context_from_stats(a, b)

    def predict_padded(self, a: Tensor, b: Tensor, context: Context) -> FusionOutput:
        """Fuse an image whose sides are multiples of the stride."""

        def work(a: Tensor, b: Tensor, *tokens: Tensor) -> Tensors:
            return self.network.predict_padded(a, b, Context(*tokens))

        with self._computing(a.device):
            return FusionOutput(*self.recorder.run("image", work, (a, b, *context)))

    @contextmanager
    def _computing(self, device: torch.device) -> Iterator[None]:
        cudnn = torch.backends.cudnn
        exact = cudnn.flags(
            enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
        )
        half = torch.autocast("cuda", self.dtype, enabled=self.dtype != torch.float32)
        with torch.cuda.device(device), torch.inference_mode(), exact, half:
            yield


class GraphRecorder:
    """Runs functions on tensors; from the second call with the same shapes, as a captured CUDA graph.

    The network consists of about eighty small kernels; for small images, launching them takes longer than running them.
    A graph launches all of them at once. Calls from different threads are serialized.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._graphs: OrderedDict[Hashable, _Graph | None] = OrderedDict()
        self._memory: tuple[torch.cuda.Stream, Any] | None = None  # shared by all graphs, which never run concurrently

    def run(self, name: str, work: Callable[..., Tensors], inputs: Tensors) -> Tensors:
        """Apply `work` to tensors on one GPU.

        Args:
            name: identifies `work` in the graph cache.
            work: a function that runs only on the GPU, without synchronization.
            inputs: arguments of `work`; the results belong to the caller.
        """
        if inputs[0].numel() > LARGEST_GRAPH:
            return work(*inputs)
        size = (name, *(x.shape for x in inputs))
        with self._lock:
            if size not in self._graphs:
                self._remember(size, None)
                return work(*inputs)
            graph = self._graphs[size]
            if graph is None:
                if self._memory is None:
                    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                    self._memory = stream, torch.cuda.graph_pool_handle()
                graph = _Graph(work, inputs, *self._memory)
            self._remember(size, graph)
            return graph.replay(inputs)

    def _remember(self, size: Hashable, graph: _Graph | None) -> None:
        self._graphs[size] = graph
        self._graphs.move_to_end(size)
        if len(self._graphs) > _GRAPHS:
            self._graphs.popitem(last=False)


class _Graph:
    """The captured kernels of a function for one set of shapes, with static input and output memory."""

    def __init__(self, work: Callable[..., Tensors], inputs: Tensors, stream: torch.cuda.Stream, pool: Any) -> None:
        self._work = work  # keeps alive other tensors that the kernels read
        self._inputs = tuple(x.clone(memory_format=torch.contiguous_format) for x in inputs)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work(*self._inputs)  # let libraries select kernels and allocate workspaces before capture
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._outputs = work(*self._inputs)
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def replay(self, inputs: Tensors) -> Tensors:
        stream = torch.cuda.current_stream()
        stream.wait_event(self._done)  # another stream may still read the outputs
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        outputs = tuple(x.clone() for x in self._outputs)
        self._done.record(stream)
        return outputs


class Uploader:
    """Copies tensors to a GPU through pinned memory on a separate stream, overlapping with computation."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, images: Sequence[Tensor]) -> Tensors:
        """Copy tensors to the GPU, ordered before subsequent work on the caller's stream."""
        here = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            moved = tuple(image.pin_memory().to(self._device, non_blocking=True) for image in images)
        here.wait_stream(self._stream)
        for image in moved:
            image.record_stream(here)
        return moved


def with_layers_in(network: RefineFuse, dtype: torch.dtype) -> RefineFuse:
    """Cast the convolutions and linear layers once, because autocast casts them again in every call."""
    if dtype == torch.float32:
        return network
    cast = copy.deepcopy(network)
    for layer in cast.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)
    return cast


@lru_cache(maxsize=64)
def _cells(length: int, cells: int, device: torch.device) -> Cells:
    """`cell_samples` on a GPU."""
    with torch.inference_mode(mode=False):
        samples, weights = cell_samples(length, cells)
        return samples.to(device), weights.to(device, torch.float32)
