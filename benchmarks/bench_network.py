"""What the networks cost on one thread of this machine: parameters, FLOPs, time, memory, at 480 x 640.

Times are medians of interleaved rounds, also as multiples of a fixed reference network's time in the same rounds
(ten 3x3 convolutions of 32 channels, float32): that ratio can be compared between machines.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from refinefuse.benchmark.cost import added_memory, in_turns, ratio, reference
from refinefuse.inference.device import keep_freed_memory
from refinefuse.network.config import SMALL, STANDARD, NetworkConfig
from refinefuse.network.model import RefineFuse

NETWORKS = {"standard": STANDARD, "small": SMALL}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def network(config: NetworkConfig) -> RefineFuse:
    """A network with random weights, none of them zero: zeros would be cheaper."""
    model = RefineFuse.from_config(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def pair(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Two random pictures."""
    a, b = torch.rand(2, 1, 1, height, width)
    return a, b


def fuse(model: RefineFuse, a: Tensor, b: Tensor, dtype: torch.dtype) -> None:
    """One pair, as `Fuser` paints it."""
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        model.paint(a, b, model.context(a, b))


def cost(taken: list[float], unit: list[float]) -> str:
    """Median time, and median multiple of the unit's time in the same round."""
    return f"{1000 * statistics.median(taken):.0f} ms, {ratio(taken, unit):.2f} units"


def peak_mebibytes(name: str, height: int, width: int) -> float:
    """What fusing one pair adds to the peak memory of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, height, width))


def _peak(name: str, height: int, width: int) -> float:
    torch.set_num_threads(1)
    model, (a, b) = network(NETWORKS[name]), pair(height, width)
    fuse(model, *pair(16, 16), torch.float32)  # what the first call alone allocates does not count
    return added_memory(lambda: fuse(model, a, b, torch.float32))


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
    times = in_turns(runs, given.rounds)
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
