"""How fast networks are on this machine: weights, backends, precisions and sizes, in turns in one run."""

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
from importlib.metadata import version

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from refinefuse.benchmark.cost import added_memory, in_turns, ratio, reference
from refinefuse.errors import InputError
from refinefuse.inference.backend import PAINTERS, Backend, is_exported
from refinefuse.inference.device import Precision, choose_device, keep_freed_memory
from refinefuse.inference.fuser import Fuser
from refinefuse.network.model import RefineFuse

PEAK_WIDTHS = (32, 64, 128, 256)
"""Channels of the 3x3 convolutions of which the fastest is taken for the peak of the machine."""
PEAK_CELLS = 120 * 160


@dataclass(frozen=True)
class Setup:
    """What is timed: fusing one pair of lumas, from memory to memory.

    Args:
        weights: a shipped name, a file, or an ONNX file.
        backend: what computes it.
        precision: of the features, for torch; other backends compute as their file says.
        device: where torch computes.
        height: of the pictures, in pixels.
        width: of the pictures.
        threads: of the processor.
    """

    weights: str
    backend: Backend
    precision: Precision
    device: str
    height: int
    width: int
    threads: int


@dataclass(frozen=True)
class Speed:
    """What one setup takes.

    Attributes:
        setup: what was timed.
        milliseconds: median time of a pair by the clock.
        frames_per_second: pairs a second.
        megapixels_per_second: pixels a second, in millions.
        peak_mb: what fusing adds to the memory of a process of its own, or of the GPU, in MiB; NaN where unknown.
        gflop: arithmetic, two for a multiplication with addition; NaN for an ONNX file.
        parameters: number of trained values; NaN for an ONNX file.
        units: time over that of the reference network on the same pictures; NaN if not asked for.
        peak_share: arithmetic a second over that of the fastest convolution here; NaN if not asked for.
    """

    setup: Setup
    milliseconds: float
    frames_per_second: float
    megapixels_per_second: float
    peak_mb: float
    gflop: float
    parameters: float
    units: float
    peak_share: float


def installed_backends() -> list[Backend]:
    """torch, and the other backends that are installed."""
    found: list[Backend] = ["torch"]
    exporter = importlib.util.find_spec("onnx") is not None
    return found + [name for name in PAINTERS if exporter and importlib.util.find_spec(name) is not None]  # type: ignore[misc]


def setups_of(
    weights: Sequence[str],
    backends: Sequence[Backend],
    precisions: Sequence[Precision],
    sizes: Sequence[tuple[int, int]],
    device: str,
    threads: int,
) -> list[Setup]:
    """Every combination that there is: precisions are torch's, ONNX files are other backends', which have a CPU.

    Raises:
        InputError: if no combination is left.
    """
    place = str(choose_device(device))
    setups = [
        Setup(name, backend, precision, place if backend == "torch" else "cpu", *size, threads)
        for size in sizes
        for name in weights
        for backend in backends
        for precision in (precisions if backend == "torch" else precisions[:1])
        if not (backend == "torch" and is_exported(name))
        if backend == "torch" or precision in ("auto", "float32")
    ]
    if not setups:
        raise InputError(
            "Nothing is left to time: an ONNX file needs --backends onnxruntime or openvino, and these compute in "
            f"float32.\n  weights: {', '.join(weights)}\n  backends: {', '.join(backends)}\n"
            f"  precisions: {', '.join(precisions)}"
        )
    return setups


def measure(setups: Sequence[Setup], rounds: int, *, calibrate: bool) -> list[Speed]:
    """Time all setups in turns; with `calibrate` also the reference network and the fastest convolution.

    Args:
        setups: what is timed; all on the same number of threads.
        rounds: how often each is timed, after one round that warms up.
        calibrate: whether units and shares of the peak are wanted.

    Raises:
        InputError: if `rounds` is below 1, or weights, devices or precisions cannot be used.
        MissingExtra: if a backend is not installed.
    """
    if rounds < 1:
        raise InputError(f"--rounds must be a positive number.\n  expected: 1 or more\n  found: {rounds}")
    threads = torch.get_num_threads()
    torch.set_num_threads(setups[0].threads)
    try:
        runs: dict[Hashable, Callable[[], object]] = {setup: _call(setup) for setup in setups}
        if calibrate:
            runs |= {_place(setup): _unit(*_place(setup)) for setup in setups}
        times = in_turns(runs, rounds, time.perf_counter)
        peaks = {device: _convolution_peak(device) for device in {s.device for s in setups}} if calibrate else {}
        return [_speed(setup, times[setup], times.get(_place(setup)), peaks.get(setup.device)) for setup in setups]
    finally:
        torch.set_num_threads(threads)


def as_text(speeds: Sequence[Speed], *, calibrate: bool) -> str:
    """A table in Markdown."""
    header = ["weights", "backend", "precision", "size", "ms", "frames/s", "Mpixel/s", "added MiB", "GFLOP"]
    header += ["units", "of the peak"] if calibrate else []
    rows = [header, ["---"] * len(header)]
    for speed in speeds:
        s = speed.setup
        cells = [s.weights, s.backend, s.precision if s.backend == "torch" else "as its file", f"{s.height}x{s.width}"]
        cells += [f"{speed.milliseconds:.1f}", f"{speed.frames_per_second:.1f}", f"{speed.megapixels_per_second:.2f}"]
        cells += [f"{speed.peak_mb:.0f}", f"{speed.gflop:.2f}"]
        cells += [f"{speed.units:.3f}", f"{speed.peak_share:.0%}"] if calibrate else []
        rows.append([cell if cell not in ("nan", "nan%") else "–" for cell in cells])
    where = speeds[0].setup
    said = f"{where.threads} thread{'s' * (where.threads > 1)}, medians of interleaved rounds"
    return "\n".join([said, "", *(f"| {' | '.join(row)} |" for row in rows)])


def as_json(speeds: Sequence[Speed], rounds: int) -> str:
    """All figures, and what computed them; null where a figure is unknown."""
    rows = []
    for speed in speeds:
        row = asdict(speed)
        row = row.pop("setup") | row
        rows.append({name: None if isinstance(x, float) and math.isnan(x) else x for name, x in row.items()})
    about = {"version": version("refinefuse"), "torch": torch.__version__, "machine": platform.processor()}
    return json.dumps({**about, "rounds": rounds, "speeds": rows}, indent=2) + "\n"


def _place(setup: Setup) -> tuple[int, int, str]:
    """What the reference network's time depends on."""
    return setup.height, setup.width, setup.device


def _speed(setup: Setup, times: list[float], unit: list[float] | None, peak: float | None) -> Speed:
    taken = statistics.median(times)
    gflop, parameters = _arithmetic(setup)
    return Speed(
        setup,
        milliseconds=1000 * taken,
        frames_per_second=1 / taken,
        megapixels_per_second=setup.height * setup.width / taken / 1e6,
        peak_mb=_peak_memory(setup),
        gflop=gflop,
        parameters=parameters,
        units=math.nan if unit is None else ratio(times, unit),
        peak_share=math.nan if peak is None else gflop / taken / peak,
    )


def _pair(height: int, width: int, device: str) -> tuple[Tensor, Tensor]:
    """Two random pictures."""
    a, b = torch.rand(2, 1, 1, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    return a, b


def _awaited(work: Callable[[], object], device: str) -> Callable[[], object]:
    """The same work, until the device has done it."""
    if not device.startswith("cuda"):
        return work

    def until_done() -> None:
        work()
        torch.cuda.synchronize(device)

    return until_done


def _call(setup: Setup) -> Callable[[], object]:
    fuser = Fuser(
        setup.weights,
        device=setup.device,
        backend=setup.backend,
        precision=setup.precision if setup.backend == "torch" else "auto",
    )
    a, b = _pair(setup.height, setup.width, setup.device)
    return _awaited(lambda: fuser.paint(a, b), setup.device)


def _unit(height: int, width: int, device: str) -> Callable[[], object]:
    network = reference().to(device)
    picture, _ = _pair(height, width, device)
    return _awaited(torch.inference_mode()(lambda: network(picture)), device)


def _convolution_peak(device: str) -> float:
    """GFLOP a second of the fastest 3x3 convolution, float32, on maps of `PEAK_CELLS` cells."""
    best = 0.0
    for width in PEAK_WIDTHS:
        layer = nn.Conv2d(width, width, 3, padding=1).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = torch.rand(1, width, 120, PEAK_CELLS // 120, device=device).to(memory_format=torch.channels_last)
        once = _awaited(torch.inference_mode()(lambda layer=layer, x=features: layer(x)), device)
        times = in_turns({width: once}, 7, time.perf_counter)[width]
        best = max(best, 2 * 9 * width**2 * PEAK_CELLS / 1e9 / min(times))
    return best


def _arithmetic(setup: Setup) -> tuple[float, float]:
    """GFLOP and parameters of weights; unknown for an ONNX file."""
    if is_exported(setup.weights):
        return math.nan, math.nan
    model = RefineFuse.from_pretrained(setup.weights)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(*_pair(setup.height, setup.width, "cpu"))
    return counter.get_total_flops() / 1e9, sum(parameter.numel() for parameter in model.parameters())


def _peak_memory(setup: Setup) -> float:
    """What fusing adds: on the GPU by its allocator, else in a process of its own, which has not fused yet."""
    if setup.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(setup.device)
        before = torch.cuda.memory_allocated(setup.device)
        _call(setup)()
        return (torch.cuda.max_memory_allocated(setup.device) - before) / 2**20
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (setup,))


def _peak(setup: Setup) -> float:
    torch.set_num_threads(setup.threads)
    keep_freed_memory()
    _call(replace(setup, height=32, width=32))()  # what the first call alone allocates does not count
    return added_memory(_call(setup))
