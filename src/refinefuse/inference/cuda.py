"""The network on an NVIDIA GPU: layers cast once, kernels recorded as graphs, transfers on a stream of their own."""

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
"""Pixels of a batch up to which its kernels are recorded. Beyond, starting them one by one costs next to nothing."""
_GRAPHS = 8  # sizes whose kernels stay recorded

Tensors = tuple[Tensor, ...]


class CudaModel(FusionModel):
    """A network as an NVIDIA GPU computes it fastest; the result is that of the network itself.

    Float32 is computed as float32: convolutions in TF32, torch's default, would move single pixels by several levels.

    Args:
        network: on the GPU, in evaluation mode and float32; it is not changed.
        dtype: of the features.
    """

    def __init__(self, network: RefineFuse, dtype: torch.dtype) -> None:
        self.config = network.config
        self.network = with_layers_in(network, dtype)
        self.dtype = dtype
        self.recorder = GraphRecorder()

    def encode_context(self, a: Tensor, b: Tensor) -> Context:
        """What the network needs to know of a whole pair of lumas (n, 1, h, w)."""
        check_sources(a, b)
        rows, columns = (_cells(side, self.config.context_size, a.device) for side in a.shape[2:])

        def work(a: Tensor, b: Tensor) -> Tensors:
            return self.network.encode_context_from_stats(*(cell_statistics(x, rows, columns) for x in (a, b)))

        with self._computing(a.device):
            return Context(*self.recorder.run("context", work, (a, b)))

    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """The same, from the statistics of each source."""
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
    """Runs work on tensors; from the second time that a size comes, by a recorded CUDA graph.

    The network is some eighty small kernels, and on a small image the processor needs longer to start them than the GPU
    to run them. A graph starts them all at once. Work of different threads takes turns.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._graphs: OrderedDict[Hashable, _Graph | None] = OrderedDict()
        self._memory: tuple[torch.cuda.Stream, Any] | None = None  # of all graphs, which take turns

    def run(self, name: str, work: Callable[..., Tensors], inputs: Tensors) -> Tensors:
        """What `work` makes of tensors that lie on one GPU.

        Args:
            name: of the work; the same for the same.
            work: computes on the GPU alone, and waits for nothing.
            inputs: what it takes; the results are the caller's.
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
    """The kernels of some work on tensors of one size, which read and write the same memory every time."""

    def __init__(self, work: Callable[..., Tensors], inputs: Tensors, stream: torch.cuda.Stream, pool: Any) -> None:
        self._work = work  # keeps alive what the kernels read beside the inputs
        self._inputs = tuple(x.clone(memory_format=torch.contiguous_format) for x in inputs)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work(*self._inputs)  # libraries choose their kernels and take their workspaces outside of the recording
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
    """Copies tensors to a GPU by pinned memory on a stream of its own, beside what the GPU computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, images: Sequence[Tensor]) -> Tensors:
        """The tensors on the GPU, in order with what the caller's stream does next."""
        here = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            moved = tuple(image.pin_memory().to(self._device, non_blocking=True) for image in images)
        here.wait_stream(self._stream)
        for image in moved:
            image.record_stream(here)
        return moved


def with_layers_in(network: RefineFuse, dtype: torch.dtype) -> RefineFuse:
    """The network with convolutions and matrices in another precision, as autocast casts them anew at every call."""
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
