"""Measure what copies, an average and a maximum score against published methods, and write `docs/metrics.md` from it.

Usage: python benchmarks/copies.py FOLDER_OF_METHODS A B "TNO, 25 pairs"
Without arguments only the guide is written anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from refinefuse.metrics import METRICS, evaluate
from refinefuse.metrics.guide import guide
from refinefuse.scoring.folders import find_triplets, read_triplet

DOCS = Path(__file__).parents[1] / "docs"
NUMBERS = DOCS / "metrics-experiment.json"
SIMPLE = {
    "copy of A": lambda a, b: a,
    "copy of B": lambda a, b: b,
    "average": lambda a, b: (a + b) / 2,
    "maximum": torch.maximum,
}


def measure(fused: str, a: str, b: str, title: str) -> None:
    """Score every method and the simple rules in every metric, and keep the means."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for triplet in find_triplets([Path(fused)], Path(a), Path(b)).triplets:
        picture, first, second = read_triplet(triplet, "luma")
        jobs = {triplet.method: picture} | {name: rule(first, second) for name, rule in SIMPLE.items()}
        for method, result in jobs.items():
            if triplet.name not in rows.setdefault(method, {}):
                scores = evaluate(result, first, second)
                rows[method][triplet.name] = {key: float(value) for key, value in scores.items()}
        sys.stderr.write(f"{triplet.method} {triplet.name}\n")
    means = {m: {key: float(np.mean([x[key] for x in found.values()])) for key in METRICS} for m, found in rows.items()}
    ordered = {m: means[m] for m in sorted(means, key=lambda m: m in SIMPLE)}
    text = json.dumps({"title": title, "methods": ordered}, indent=1, allow_nan=False)
    NUMBERS.write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Measure if there are arguments, then write the guide."""
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        measure(*sys.argv[1:])
    experiment = json.loads(NUMBERS.read_text(encoding="utf-8"))
    (DOCS / "metrics.md").write_text(guide(experiment["methods"], experiment["title"]), encoding="utf-8")


if __name__ == "__main__":
    main()
