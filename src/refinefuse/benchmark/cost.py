"""Measure the cost per pair: time, memory, FLOPs and parameters, with all methods interleaved in one run.

Times are CPU times of one thread, also relative to a fixed reference network timed in the same repeats; this ratio is
comparable between machines.
"""

from __future__ import annotations

import csv
import ctypes
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark.config import CostEntry
from refinefuse.benchmark.identity import checksum, code_checksum
from refinefuse.benchmark.methods import Method
from refinefuse.errors import InputError
from refinefuse.image.pixels import Pixels
from refinefuse.inference.fuser import load_model
from refinefuse.samples import read_sample
from refinefuse.scoring.rendering import csv_text


@dataclass(frozen=True)
class Cost:
    """Cost of a method per pair; NaN where unknown.

    Attributes:
        method: name of the method.
        latency_ms: CPU time of one thread in milliseconds.
        relative_time: `latency_ms` divided by that of the reference network.
        parameters: number of parameters.
        gflops: GFLOP of the network, counting a multiply-add as two.
        peak_memory_mb: increase of the peak process memory during fusion, in MiB.
        published: whether the values are from a publication.
    """

    method: str
    latency_ms: float = math.nan
    relative_time: float = math.nan
    parameters: float = math.nan
    gflops: float = math.nan
    peak_memory_mb: float = math.nan
    published: bool = False


def reference() -> nn.Module:
    """Build the reference network: ten 3 x 3 convolutions with 1-32-...-32-1 channels and ReLU in between."""
    channels = [1, *[32] * 9, 1]
    layers = [layer for c, w in pairwise(channels) for layer in (nn.Conv2d(c, w, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


def time_interleaved(
    runs: Mapping[Hashable, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[Hashable, list[float]]:
    """Time several functions in interleaved repeats after a warm-up; return the times in seconds."""
    times: dict[Hashable, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, work in runs.items():
            start = clock()
            work()
            if turn:
                times[name].append(clock() - start)
    return times


def ratio(taken: Sequence[float], of_reference: Sequence[float]) -> float:
    """Median over the repeats of the time divided by the reference's time."""
    return statistics.median(x / y for x, y in zip(taken, of_reference, strict=True))


def added_memory(work: Callable[[], object]) -> float:
    """Increase of this process's peak memory during a call, in MiB; NaN where unknown (not Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc would reuse memory that it retains
    if trim is not None:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    before = _resident(status, "VmRSS")
    work()
    return _resident(status, "VmHWM") - before


def _resident(status: Path, field: str) -> float:
    text = status.read_text(encoding="ascii")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1024


def costs_of(entry: CostEntry, methods: Sequence[Method], published: Path | None, keep: Path) -> list[Cost]:
    """Measure the methods that can be run and add published costs; measurements are cached until a method changes.

    Args:
        entry: image size and number of repeats.
        methods: methods of the config.
        published: CSV of costs that were measured elsewhere.
        keep: CSV that caches the result.

    Raises:
        InputError: the published costs cannot be read.
    """
    running = [method for method in methods if method.runs]
    parts = [f"{m.name} {m.identity}" for m in running]
    key = checksum(*parts, f"{entry.height} {entry.width} {entry.repeats}", code_checksum("refinefuse.benchmark.cost"))
    kept = keep.read_text(encoding="utf-8") if keep.is_file() else ""
    if kept.startswith(f"# {key}\n"):
        measured = _read(kept.partition("\n")[2], keep)
    else:
        measured = _measure(entry, running)
        write_text_atomic(keep, f"# {key}\n{as_csv(measured)}")
    known = {cost.method for cost in measured}
    found = _read(_text(published), published) if published is not None else []
    return [*measured, *(Cost(**{**asdict(c), "published": True}) for c in found if c.method not in known)]


def _measure(entry: CostEntry, methods: Sequence[Method]) -> list[Cost]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        network, image = reference(), torch.rand(1, 1, entry.height, entry.width)
        runs: dict[Hashable, Callable[[], object]] = {"": torch.inference_mode()(lambda: network(image))}
        runs |= {method.name: _call(method, entry.height, entry.width) for method in methods}
        times = time_interleaved(runs, entry.repeats)
        peaks = _peaks(methods, entry.height, entry.width)
        return [
            Cost(
                method.name, 1000 * statistics.median(times[method.name]), ratio(times[method.name], times[""]),
                *_arithmetic(method, runs[method.name]), peak,
            )
            for method, peak in zip(methods, peaks, strict=True)
        ]  # fmt: skip
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)


def _call(method: Method, height: int, width: int) -> Callable[[], object]:
    """Return a call that fuses one pair: only the network for weights, as published; array to array for others."""
    a, b = _pair(height, width)
    if method.kind != "weights":
        fuse = method.open()
        return lambda: fuse(a, b)
    model = load_model(method.target, device="cpu")
    planes = [torch.from_numpy(x.astype(np.float32) / 255)[None, None] for x in (a, b)]
    x, y = (plane.to(memory_format=torch.channels_last) for plane in planes)
    return torch.inference_mode()(lambda: model.predict(x, y, model.encode_context(x, y)))


@lru_cache(maxsize=4)
def _pair(height: int, width: int) -> tuple[Pixels, Pixels]:
    """Sample pair of a street at night, resized, both in grayscale."""
    a, b = read_sample("night_street")
    gray = cv2.cvtColor(b, cv2.COLOR_RGB2GRAY)
    return cv2.resize(a, (width, height)), cv2.resize(gray, (width, height))


def _arithmetic(method: Method, call: Callable[[], object]) -> tuple[float, float]:
    """Number of parameters and GFLOP of weights; unknown for other methods."""
    if method.kind != "weights":
        return math.nan, math.nan
    with FlopCounterMode(display=False) as counter:
        call()
    model = load_model(method.target, device="cpu")
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() / 1e9


def _peaks(methods: Sequence[Method], height: int, width: int) -> list[float]:
    """Measure peak memory in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.starmap(_peak, [(method, height, width) for method in methods])


def _peak(method: Method, height: int, width: int) -> float:
    torch.set_num_threads(1)
    _call(method, 32, 32)()  # exclude one-time allocations of the first call
    return added_memory(_call(method, height, width))


def as_csv(costs: Sequence[Cost]) -> str:
    """One line per method."""
    rows = [["" if value != value else value for value in asdict(cost).values()] for cost in costs]
    return csv_text([[field.name for field in fields(Cost)], *rows])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot read the cost file '{path}': {error.strerror}.\nCheck the path.") from None


def _read(text: str, path: Path) -> list[Cost]:
    numbers = ("latency_ms", "relative_time", "parameters", "gflops", "peak_memory_mb")
    try:
        rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
        values = [(row["method"], [float(row.get(key) or "nan") for key in numbers]) for row in rows]
    except (KeyError, ValueError) as error:
        raise InputError(f"Cannot use the cost file '{path}': {type(error).__name__} {error}.\n"
                         f"Expected columns: method, {', '.join(numbers)}.") from None  # fmt: skip
    return [
        Cost(method, ms, relative_time, parameters, gflops, peak)
        for method, (ms, relative_time, parameters, gflops, peak) in values
    ]
