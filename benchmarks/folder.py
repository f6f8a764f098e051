"""The rate of a folder run against the network alone, on a quiet machine and beside busy processes, and its memory.

Usage: python benchmarks/folder.py IR VI [--backends torch,onnxruntime] [--busy 0,1,2,4] [--repeats 3] [--copies 1]

IR and VI are folders of pairs, each taken as often as --copies says. Rounds of the network alone and of the folder take
turns, so that both meet the same load; files come from the page cache. Start-up is left out of both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from refinefuse.cli.session import prepare
from refinefuse.data.pairs import pair_folders
from refinefuse.image.color import to_tensor, to_ycbcr
from refinefuse.image.files import read_image
from refinefuse.inference.folders import fuse_folder
from refinefuse.inference.fuser import Fuser


def spin() -> None:
    """Keep one processor busy."""
    while True:
        pass


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many other jobs beside this process."""
    jobs = [multiprocessing.get_context("fork").Process(target=spin, daemon=True) for _ in range(count)]
    for job in jobs:
        job.start()
    try:
        yield
    finally:
        for job in jobs:
            job.terminate()
            job.join()


def resident() -> float:
    """MiB of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def linked(sources: list[Path], folder: Path, copies: int) -> Path:
    """A folder with so many links to each file."""
    folder.mkdir()
    for copy in range(copies):
        for source in sources:
            (folder / f"{copy:04}_{source.stem}{source.suffix}").symlink_to(source.resolve())
    return folder


def network_rate(fuser: Fuser, lumas: list[tuple[torch.Tensor, torch.Tensor]], count: int) -> float:
    """Pairs a second from luma to luma."""
    start = time.perf_counter()
    for number in range(count):
        fuser.fuse_lumas(lumas[number % len(lumas)])
    return count / (time.perf_counter() - start)


def folder_rate(fuser: Fuser, ir: Path, vi: Path, sizes: list[float]) -> float:
    """Pairs a second from files to files; `sizes` gets the memory of this process at every fiftieth pair."""

    def watch(done: int, total: int | None) -> None:
        if done % 50 == 0:
            sizes.append(resident())

    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        result = fuse_folder(ir, vi, out, fuser=fuser, progress=watch)
        return len(result.fused) / (time.perf_counter() - start)


def measure(fuser: Fuser, ir: Path, vi: Path, repeats: int) -> dict[str, Any]:
    """Medians of rounds that take turns."""
    pairs = pair_folders(ir, vi).pairs[:8]
    lumas = [tuple(to_ycbcr(to_tensor(read_image(path))).luma for path in (pair.a, pair.b)) for pair in pairs]
    network_rate(fuser, lumas, 8)
    rates, sizes = [], []
    for _ in range(repeats):
        alone = network_rate(fuser, lumas, 60)
        rates.append((alone, folder_rate(fuser, ir, vi, sizes)))
    alone, folder = (statistics.median(one) for one in zip(*rates, strict=True))
    ratio = statistics.median(y / x for x, y in rates)
    return {
        "network /s": alone, "folder /s": folder, "ratio": ratio,
        "MiB, first": sizes[0] if sizes else resident(), "MiB, last": sizes[-1] if sizes else resident(),
        "MiB, peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def main() -> None:
    """Print one line of JSON for each backend and number of busy processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ir", type=Path)
    parser.add_argument("vi", type=Path)
    parser.add_argument("--backends", default="torch,onnxruntime")
    parser.add_argument("--busy", default="0,1,2,4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1)
    options = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        pairs = pair_folders(options.ir, options.vi).pairs
        ir = linked([pair.a for pair in pairs], Path(folder) / "ir", options.copies)
        vi = linked([pair.b for pair in pairs], Path(folder) / "vi", options.copies)
        for backend in options.backends.split(","):
            fuser = Fuser(backend=backend)
            for count in map(int, options.busy.split(",")):
                with busy(count):
                    row = measure(fuser, ir, vi, options.repeats)
                print(json.dumps({"backend": backend, "busy": count, **row}), flush=True)


if __name__ == "__main__":
    main()
