"""What the networks cost on one thread of this machine: parameters, FLOPs, time, memory, at 480 x 640.

Times are medians of interleaved rounds, also as multiples of a fixed reference network's time in the same rounds
(ten 3x3 convolutions of 32 channels, float32): that ratio can be compared between machines.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from refinefuse.inference.device import keep_freed_memory
from refinefuse.network.config import SMALL, STANDARD, NetworkConfig
from refinefuse.network.model import RefineFuse

NETWORKS = {"standard": STANDARD, "small": SMALL}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def reference() -> nn.Module:
    """The unit of cost: 1-32-...-32-1 channels, ReLU between."""
    widths = [1, *[32] * 9, 1]
    layers = [layer for c, w in pairwise(widths) for layer in (nn.Conv2d(c, w, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


def network(config: NetworkConfig) -> RefineFuse:
    """A network with random weights, none of them zero: zeros would be cheaper."""
    model = RefineFuse.from_config(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def pair(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Two random pictures."""
    a, b = torch.rand(2, 1, 1, height, width)
    return a.to(memory_format=torch.channels_last), b.to(memory_format=torch.channels_last)


def fuse(model: RefineFuse, a: Tensor, b: Tensor, dtype: torch.dtype) -> None:
    """One pair, as `Fuser` paints it."""
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        model.paint(a, b, model.context(a, b))


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def cost(taken: list[float], unit: list[float]) -> str:
    """Median time, and median multiple of the unit's time in the same round."""
    ratio = statistics.median(x / y for x, y in zip(taken, unit, strict=True))
    return f"{1000 * statistics.median(taken):.0f} ms, {ratio:.2f} units"


def peak_mebibytes(name: str, height: int, width: int) -> float:
    """What fusing one pair adds to the peak memory of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, height, width))


def _peak(name: str, height: int, width: int) -> float:
    torch.set_num_threads(1)
    model, (a, b) = network(NETWORKS[name]), pair(height, width)
    fuse(model, *pair(16, 16), torch.float32)  # what the first call alone allocates does not count
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew (Linux)
    before = _resident("VmRSS")
    fuse(model, a, b, torch.float32)
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--height", type=int, default=480)
    options.add_argument("--width", type=int, default=640)
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    a, b = pair(given.height, given.width)
    unit = reference()
    models = {name: network(config) for name, config in NETWORKS.items()}

    @torch.inference_mode()
    def unit_once() -> None:
        unit(a)

    runs: dict[str, Callable[[], object]] = {"reference": unit_once}
    for name, model in models.items():
        for label, dtype in DTYPES.items():
            runs[f"{name} {label}"] = lambda model=model, dtype=dtype: fuse(model, a, b, dtype)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(given.rounds + 1):
        for name, work in runs.items():
            taken = seconds(work)
            if turn:  # the first round warms up
                times[name].append(taken)
    print(f"{given.height} x {given.width}, one thread, median of {given.rounds} interleaved rounds\n")
    print(f"reference network: {1000 * statistics.median(times['reference']):.0f} ms\n")
    print("| network | parameters | GFLOP | float32 | bfloat16 | peak memory |\n|---|---|---|---|---|---|")
    for name, model in models.items():
        with FlopCounterMode(display=False) as counter:
            fuse(model, a, b, torch.float32)
        cells = [cost(times[f"{name} {label}"], times["reference"]) for label in DTYPES]
        count = sum(parameter.numel() for parameter in model.parameters())
        memory = peak_mebibytes(name, given.height, given.width)
        flops = counter.get_total_flops() / 1e9
        print(f"| {name} | {count:,} | {flops:.1f} | {' | '.join(cells)} | {memory:.0f} MiB |")


if __name__ == "__main__":
    main()
