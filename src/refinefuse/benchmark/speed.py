"""Benchmark network speed on this machine: weights, backends, precisions and sizes, interleaved in one run."""

from __future__ import annotations

import importlib.util
import json
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from refinefuse._version import __version__
from refinefuse.benchmark.cost import added_memory, ratio, reference, time_interleaved
from refinefuse.errors import InputError
from refinefuse.inference.backend import BACKENDS, Backend, is_exported
from refinefuse.inference.device import Precision, resolve_device, retain_freed_memory
from refinefuse.inference.fuser import Fuser
from refinefuse.network.model import RefineFuse

PEAK_WIDTHS = (32, 64, 128, 256)
"""Channels of the 3x3 convolutions; the fastest one defines the machine's peak throughput."""
PEAK_CELLS = 120 * 160


@dataclass(frozen=True)
class SpeedSetup:
    """Setup of a timing: fusion of one pair of lumas, from memory to memory.

    Args:
        weights: name of shipped weights, a weights file, or an ONNX file.
        backend: inference backend.
        precision: precision of the features for torch; other backends use that of their file.
        device: torch device.
        height: image height in pixels.
        width: image width in pixels.
        threads: number of CPU threads.
    """

    weights: str
    backend: Backend
    precision: Precision
    device: str
    height: int
    width: int
    threads: int


@dataclass(frozen=True)
class SpeedResult:
    """Result of one setup.

    Attributes:
        setup: setup that was timed.
        latency_ms: median wall-clock time per pair in milliseconds.
        fps: pairs per second.
        megapixels_per_s: megapixels per second.
        peak_memory_mb: increase of peak memory of a separate process, or of the GPU, in MiB; NaN where unknown.
        gflops: GFLOP, counting a multiply-add as two; NaN for an ONNX file.
        parameters: number of parameters; NaN for an ONNX file.
        relative_time: time relative to the reference network on the same images; NaN unless requested.
        peak_fraction: throughput relative to the fastest convolution on this machine; NaN unless requested.
    """

    setup: SpeedSetup
    latency_ms: float
    fps: float
    megapixels_per_s: float
    peak_memory_mb: float
    gflops: float
    parameters: float
    relative_time: float
    peak_fraction: float


def installed_backends() -> list[Backend]:
    """Return torch and the other installed backends."""
    found: list[Backend] = ["torch"]
    exporter = importlib.util.find_spec("onnx") is not None
    return found + [name for name in BACKENDS if exporter and importlib.util.find_spec(name) is not None]  # type: ignore[misc]


def setups_of(
    weights: Sequence[str],
    backends: Sequence[Backend],
    precisions: Sequence[Precision],
    sizes: Sequence[tuple[int, int]],
    device: str,
    threads: int,
) -> list[SpeedSetup]:
    """Return all valid combinations: only torch has precisions; ONNX files need another backend, which uses the CPU.

    Raises:
        InputError: no combination is valid.
    """
    torch_device = str(resolve_device(device))
    setups = [
        SpeedSetup(name, backend, precision, torch_device if backend == "torch" else "cpu", *size, threads)
        for size in sizes
        for name in weights
        for backend in backends
        for precision in (precisions if backend == "torch" else precisions[:1])
        if not (backend == "torch" and is_exported(name))
        if backend == "torch" or precision in ("auto", "float32")
    ]
    if not setups:
        raise InputError(
            "There is nothing to time: an ONNX file needs onnxruntime or openvino among the `backends`, and these "
            f"compute in float32.\n  weights: {', '.join(weights)}\n  backends: {', '.join(backends)}\n"
            f"  precisions: {', '.join(precisions)}"
        )
    return setups


def measure(setups: Sequence[SpeedSetup], repeats: int, *, reference: bool) -> list[SpeedResult]:
    """Time all setups, interleaved; with `reference` also the reference network and the fastest convolution.

    Args:
        setups: setups to time, all with the same number of threads.
        repeats: number of timings of each setup after a warm-up.
        reference: whether to report the relative time and the fraction of the peak.

    Raises:
        InputError: `repeats` is below 1, or weights, devices or precisions cannot be used.
        MissingDependencyError: a backend is not installed.
    """
    if repeats < 1:
        raise InputError(f"`repeats` must be a positive number.\n  expected: 1 or more\n  got: {repeats}")
    threads = torch.get_num_threads()
    torch.set_num_threads(setups[0].threads)
    try:
        runs: dict[Hashable, Callable[[], object]] = {setup: _call(setup) for setup in setups}
        if reference:
            runs |= {_condition(setup): _reference_call(*_condition(setup)) for setup in setups}
        times = time_interleaved(runs, repeats, time.perf_counter)
        peaks = {device: _convolution_peak(device) for device in {s.device for s in setups}} if reference else {}
        return [_speed(setup, times[setup], times.get(_condition(setup)), peaks.get(setup.device)) for setup in setups]
    finally:
        torch.set_num_threads(threads)


def as_text(speeds: Sequence[SpeedResult], *, reference: bool) -> str:
    """Format the results as a Markdown table."""
    header = ["weights", "backend", "precision", "size", "ms", "frames/s", "Mpixel/s", "added MiB", "GFLOP"]
    header += ["relative_time", "of the peak"] if reference else []
    rows = [header, ["---"] * len(header)]
    for speed in speeds:
        s = speed.setup
        cells = [s.weights, s.backend, s.precision if s.backend == "torch" else "as its file", f"{s.height}x{s.width}"]
        cells += [f"{speed.latency_ms:.1f}", f"{speed.fps:.1f}", f"{speed.megapixels_per_s:.2f}"]
        cells += [f"{speed.peak_memory_mb:.0f}", f"{speed.gflops:.2f}"]
        cells += [f"{speed.relative_time:.3f}", f"{speed.peak_fraction:.0%}"] if reference else []
        rows.append([cell if cell not in ("nan", "nan%") else "–" for cell in cells])
    where = speeds[0].setup
    said = f"{where.threads} thread{'s' * (where.threads > 1)}, medians of interleaved repeats"
    return "\n".join([said, "", *(f"| {' | '.join(row)} |" for row in rows)])


def as_json(speeds: Sequence[SpeedResult], repeats: int) -> str:
    """Format all results and the machine they were measured on as JSON; unknown values are null."""
    rows = []
    for speed in speeds:
        row = asdict(speed)
        row = row.pop("setup") | row
        rows.append({name: None if isinstance(x, float) and math.isnan(x) else x for name, x in row.items()})
    about = {"version": __version__, "torch": torch.__version__, "cpu": platform.processor()}
    return json.dumps({**about, "repeats": repeats, "results": rows}, indent=2) + "\n"


def _condition(setup: SpeedSetup) -> tuple[int, int, str]:
    """Height, width and device, which determine the reference network's time."""
    return setup.height, setup.width, setup.device


def _speed(setup: SpeedSetup, times: list[float], base: list[float] | None, peak: float | None) -> SpeedResult:
    taken = statistics.median(times)
    gflops, parameters = _arithmetic(setup)
    return SpeedResult(
        setup,
        latency_ms=1000 * taken,
        fps=1 / taken,
        megapixels_per_s=setup.height * setup.width / taken / 1e6,
        peak_memory_mb=_peak_memory(setup),
        gflops=gflops,
        parameters=parameters,
        relative_time=math.nan if base is None else ratio(times, base),
        peak_fraction=math.nan if peak is None else gflops / taken / peak,
    )


def _pair(height: int, width: int, device: str) -> tuple[Tensor, Tensor]:
    """Create two random images."""
    a, b = torch.rand(2, 1, 1, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    return a, b


def _awaited(work: Callable[[], object], device: str) -> Callable[[], object]:
    """Wrap a function to synchronize with the device."""
    if not device.startswith("cuda"):
        return work

    def until_done() -> None:
        work()
        torch.cuda.synchronize(device)

    return until_done


def _call(setup: SpeedSetup) -> Callable[[], object]:
    fuser = Fuser(
        setup.weights,
        device=setup.device,
        backend=setup.backend,
        precision=setup.precision if setup.backend == "torch" else "auto",
    )
    a, b = _pair(setup.height, setup.width, setup.device)
    return _awaited(lambda: fuser.predict(a, b), setup.device)


def _reference_call(height: int, width: int, device: str) -> Callable[[], object]:
    network = reference().to(device)
    image, _ = _pair(height, width, device)
    return _awaited(torch.inference_mode()(lambda: network(image)), device)


def _convolution_peak(device: str) -> float:
    """GFLOP/s of the fastest 3x3 convolution in float32, on feature maps of `PEAK_CELLS` cells."""
    best = 0.0
    for width in PEAK_WIDTHS:
        layer = nn.Conv2d(width, width, 3, padding=1).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = torch.rand(1, width, 120, PEAK_CELLS // 120, device=device).to(memory_format=torch.channels_last)
        once = _awaited(torch.inference_mode()(lambda layer=layer, x=features: layer(x)), device)
        times = time_interleaved({width: once}, 7, time.perf_counter)[width]
        best = max(best, 2 * 9 * width**2 * PEAK_CELLS / 1e9 / min(times))
    return best


def _arithmetic(setup: SpeedSetup) -> tuple[float, float]:
    """GFLOP and number of parameters of weights; unknown for an ONNX file."""
    if is_exported(setup.weights):
        return math.nan, math.nan
    model = RefineFuse.from_pretrained(setup.weights)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(*_pair(setup.height, setup.width, "cpu"))
    return counter.get_total_flops() / 1e9, sum(parameter.numel() for parameter in model.parameters())


def _peak_memory(setup: SpeedSetup) -> float:
    """Increase of peak memory during fusion: from the allocator on a GPU, otherwise in a fresh process."""
    if setup.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(setup.device)
        before = torch.cuda.memory_allocated(setup.device)
        _call(setup)()
        return (torch.cuda.max_memory_allocated(setup.device) - before) / 2**20
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (setup,))


def _peak(setup: SpeedSetup) -> float:
    torch.set_num_threads(setup.threads)
    retain_freed_memory()
    _call(replace(setup, height=32, width=32))()  # exclude one-time allocations of the first call
    return added_memory(_call(setup))
