"""Measure what copies, an average and a maximum score against published methods, for `docs/metrics.md` (`make docs`).

Usage: python benchmarks/copies.py FOLDER_OF_METHODS A B "TNO, 25 pairs"
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from refinefuse.image.files import write_image
from refinefuse.scoring.folders import Triplet, find_triplets, read_levels, score_triplets

DOCS = Path(__file__).parents[1] / "docs"
NUMBERS = DOCS / "metrics-experiment.json"
SIMPLE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "copy of A": lambda a, b: a,
    "copy of B": lambda a, b: b,
    "average": lambda a, b: (a + b) / 2,
    "maximum": torch.maximum,
}


def simple_images(triplets: tuple[Triplet, ...], folder: Path) -> None:
    """Write what the simple rules make of every pair of sources, a folder each."""
    for name, a, b in {(t.name, t.a, t.b) for t in triplets}:
        sources = read_levels(a, "luma"), read_levels(b, "luma")
        for rule, function in SIMPLE.items():
            levels = torch.floor(function(*sources) + 0.5)[0, 0].numpy().astype(np.uint8)
            (folder / rule).mkdir(exist_ok=True)
            write_image(folder / rule / f"{name}.png", levels)


def measure(fused: str, a: str, b: str, title: str) -> None:
    """Score every method and the simple rules in every metric, and keep the means."""
    with TemporaryDirectory() as temporary:
        simple_images(find_triplets([Path(fused)], Path(a), Path(b)).triplets, Path(temporary))
        simple = [Path(temporary) / rule for rule in SIMPLE]
        triplets = find_triplets([Path(fused), *simple], Path(a), Path(b)).triplets
        num_workers = os.cpu_count() or 1
        result = score_triplets(triplets, ["all"], num_workers=num_workers, progress=True)
    means = {method: {key: mean.value for key, mean in row.items()} for method, row in result.means().items()}
    text = json.dumps({"title": title, "methods": means}, indent=1, allow_nan=False)
    NUMBERS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    measure(*sys.argv[1:])
