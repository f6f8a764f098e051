"""Write docs/performance.md: this machine, the time of every network by every backend, and that of published methods.

Usage: python benchmarks/performance.py docs/performance.md
"""

from __future__ import annotations

import csv
import os
import platform
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from refinefuse.benchmark.speed import as_text, installed_backends, measure, setups_of
from refinefuse.cli.session import prepare
from refinefuse.weights.store import shipped

PUBLISHED = files("refinefuse") / "recipes/benchmark/published-cost.csv"
PAGE = """# Performance

Written by `make bench`, on {machine}: one pair of 480 x 640 from memory to memory,
{table}

`relative_time` is that of a fixed reference network (ten 3 x 3 convolutions of 32 channels, float32, torch) in the same
repeats, so that it can be compared between machines. What changed it, predicted and measured: [Speed and
backends](backends.md). Many pairs on many machines: [batch](batch.md).

## Published methods

Multiples of the same reference network, measured on two threads of a quiet machine, in float32 by torch.

{published}
"""


def machine() -> str:
    """The processor of this machine, and the versions of what computes."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.machine()
    return f"{name}, {os.cpu_count()} processors, Python {platform.python_version()}"


def published(rows: Iterable[dict[str, str]]) -> str:
    """A table in Markdown, fastest first."""
    known = sorted((float(row["relative_time"]), row["method"]) for row in rows if row["relative_time"])
    lines = [f"| {method} | {time:.2f} |" for time, method in known]
    return "\n".join(["| method | relative_time |", "|---|---|", *lines])


def main() -> None:
    """Measure, and write the page."""
    prepare()
    setups = setups_of(list(shipped()), installed_backends(), ["float32"], [(480, 640)], "cpu", 1)
    table = as_text(measure(setups, 9, reference=True), reference=True)
    lines = (line for line in PUBLISHED.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    page = PAGE.format(machine=machine(), table=table, published=published(csv.DictReader(lines)))
    Path(sys.argv[1]).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
