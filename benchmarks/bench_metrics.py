"""What the metrics cost: process time on one thread for one 480x640 triplet, and on a GPU where there is one."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from refinefuse.metrics import FAULTS, METRICS, USUAL, evaluate


def triplet(h: int = 480, w: int = 640) -> list[torch.Tensor]:
    """Two smooth pictures with texture, and a mixture of them."""
    noise = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 1, h // 20, w // 20, generator=noise, dtype=torch.float64) * 220
    pictures = torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic")
    pictures = (pictures + torch.randn(pictures.shape, generator=noise, dtype=torch.float64) * 6).round().clamp(0, 255)
    a, b = pictures[:1], pictures[1:]
    return [(0.5 * torch.maximum(a, b) + 0.25 * (a + b)).round(), a, b]


def cost(
    pictures: list[torch.Tensor], keys: list[str], clock: Callable[[], float] = time.process_time, rounds: int = 5
) -> float:
    """The least time of some rounds, in seconds, after one for warming up."""
    times = []
    for _ in range(rounds + 1):
        start = clock()
        for value in evaluate(*pictures, metrics=keys).values():
            value.tolist()  # waits for a GPU
        times.append(clock() - start)
    return min(times[1:])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    pictures = triplet()
    groups = {"usual nine": list(USUAL), "five faults": list(FAULTS), f"all {len(METRICS)}": list(METRICS)}
    print(f"{'':<14}{'CPU s':>8}" + (f"{'GPU s':>8}" if torch.cuda.is_available() else ""))
    for name, keys in {**groups, **{key: [key] for key in METRICS}}.items():
        cells = [cost(pictures, keys, rounds=3)]
        if torch.cuda.is_available():
            cells.append(cost([x.cuda() for x in pictures], keys, time.perf_counter))
        print(f"{name:<14}" + "".join(f"{cell:>8.4f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
