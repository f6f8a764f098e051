"""What the metrics cost for one 480x640 triplet: process time on one thread, and time on a GPU where there is one.

Usage: python benchmarks/bench_metrics.py [ROUNDS]
The median of interleaved repeats, so that what else the machine does meets every row find_near_duplicates.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch

from refinefuse.metrics import COMMON, DIAGNOSTICS, METRICS, evaluate


def triplet(h: int = 480, w: int = 640) -> list[torch.Tensor]:
    """Two smooth images with texture, and a mixture of them."""
    noise = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 1, h // 20, w // 20, generator=noise, dtype=torch.float64) * 220
    images = torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic")
    images = (images + torch.randn(images.shape, generator=noise, dtype=torch.float64) * 6).round().clamp(0, 255)
    a, b = images[:1], images[1:]
    return [(0.5 * torch.maximum(a, b) + 0.25 * (a + b)).round(), a, b]


def cost(images: list[torch.Tensor], keys: list[str], clock: Callable[[], float]) -> float:
    """The time of one evaluation in seconds."""
    start = clock()
    for value in evaluate(*images, metrics=keys).values():
        value.tolist()  # waits for a GPU
    return clock() - start


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    groups = {"common": list(COMMON), "diagnostics": list(DIAGNOSTICS), f"all {len(METRICS)}": list(METRICS)}
    rows = {**groups, **{key: [key] for key in METRICS}}
    devices: dict[str, tuple[list[torch.Tensor], Callable[[], float]]] = {"CPU": (triplet(), time.process_time)}
    if torch.cuda.is_available():
        devices["GPU"] = [x.cuda() for x in triplet()], time.perf_counter
        print(f"GPU: {torch.cuda.get_device_name()}, torch {torch.__version__}")
    times: dict[tuple[str, str], list[float]] = {}
    for number in range(repeats + 1):
        for name, keys in rows.items():
            for device, (images, clock) in devices.items():
                seconds = cost(images, keys, clock)
                if number:  # the first round warms up
                    times.setdefault((name, device), []).append(seconds)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"median of {repeats} repeats; load of the machine {load} on {os.cpu_count()} processors")
    print(f"{'':<14}" + "".join(f"{f'{device} s':>10}" for device in devices))
    for name in rows:
        print(f"{name:<14}" + "".join(f"{statistics.median(times[name, device]):>10.4f}" for device in devices))


if __name__ == "__main__":
    main()
