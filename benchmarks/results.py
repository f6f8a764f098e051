"""Run the experiments of `benchmark` and write `docs/results.md` from what they give.

The detection study has a program of its own, detection.py.

Usage: python benchmarks/results.py FOLDER, with REFINEFUSE_DATA set. FOLDER keeps the results: what is done there is
not done again. The ablation joins when benchmarks/ablation.py has put networks into runs/ablation.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark.summary import penalty
from refinefuse.cli import main as refinefuse
from refinefuse.metrics.table import METRICS
from refinefuse.settings import RECIPES
from refinefuse.weights.store import shipped

ROOT = Path(__file__).parents[1]
CONFIGS = RECIPES / "benchmark"
DOCS = ROOT / "docs"

INTRODUCTION = """# Results

Written by `make results` (benchmarks/results.py) from the shipped benchmark configs; do not edit by hand.
[benchmark.md](benchmark.md) says how to run them, and how to add a method of your own. The weights are this project's,
not the paper's: {weights}. Metrics follow the convention
`cddfuse255` ([metrics.md](metrics.md)); the last columns before the ranks are the diagnostics, which see what the
common metrics reward wrongly. Bold: best among ranked methods; italics: second.
"""


class Chapter(NamedTuple):
    """What the document says of one experiment: its heading, a few words, and names of tables and figures."""

    title: str
    what: str
    tables: tuple[str, ...]
    figures: tuple[str, ...] = ()
    ours: str = "infrared-visible"


_FIGURES = ("ranks-16", "quality-cost-9", "images")
SECTIONS = {
    "comparison": Chapter(
        "Comparison",
        "Our weights against published methods, on the pairs that most papers report. Methods without diagnostics are "
        "known by their published scores alone; three of them (GuidedFilter, LaplacianPyramid, Wavelet) are classical "
        "methods that are here a second time. Copies are not ranked.",
        ("TNO", "RoadScene"),
        tuple(f"{name}-{figure}" for name in ("TNO", "RoadScene") for figure in _FIGURES),
    ),
    "generalization": Chapter(
        "Generalization",
        "The same weights on data that they never saw. A bullet marks sets of which another part was trained on. "
        "Published methods have images of the medical datasets alone. In near infrared and on medical pairs "
        "`missed_targets` means nothing.",
        (
            "MSRS-day",
            "MSRS-night",
            "M3SVD",
            "VIFB",
            "NIR",
            *(f"matrix-{m}" for m in ("VIF", "Qabf", "SCD", "edge_recall")),
        ),
    ),
    "degradations": Chapter(
        "Adverse lighting",
        "The visible image is degraded by underexposure, overexposure with lamps that shine into the lens, haze or "
        "noise. Everything is compared with the clean scene. These degradations are also those of training, with other "
        "seeds: that favors our weights.",
        ("RoadScene-degradations",),
        ("RoadScene-degradations",),
    ),
    "medical": Chapter(
        "Medical pairs",
        "CT, PET and SPECT with MRI, by the medical weights, which were trained on other patients, and by the "
        "infrared-visible weights as they are. The ground is black and nothing is hot: `noise_gain` and "
        "`missed_targets` are left out.",
        ("MRI_CT", "MRI_PET", "MRI_SPECT"),
        ours="medical",
    ),
    "ablation": Chapter(
        "Ablation",
        "What each part of the network and of its training brings: every row but the first was trained without "
        "one, all by the same budget, a small part of that of the shipped weights (`make ablation`). A number at the "
        "end is another seed: what is not larger than the differences of `all-parts-2` and `-3` is chance.",
        ("TNO-differences", "RoadScene-differences"),
    ),
    "cost": Chapter("Cost", "All methods interleaved in one run.", ("cost",)),
}


def section(name: str, folder: Path) -> str:
    """One experiment: its tables, its figures, and where our weights are not first."""
    chapter = SECTIONS[name]
    parts = [f"## {chapter.title}", chapter.what]
    for table in chapter.tables:
        parts.append(f"### {(folder / 'tables' / f'{table}.md').read_text(encoding='utf-8')}".rstrip())
        compared = name in ("comparison", "medical")
        behind = not_first(folder / "tables" / f"{table}.csv", chapter.ours) if compared else []
        parts += [f"`{chapter.ours}` is not first in: {'; '.join(behind)}."] if behind else []
    (DOCS / "results").mkdir(exist_ok=True)
    for stale in (DOCS / "results").glob(f"{name}-*.png"):
        stale.unlink()
    for figure in chapter.figures:
        with Image.open(folder / "figures" / f"{figure}.png") as drawn:  # few colors: a third of the bytes
            drawn.convert("RGB").quantize(64).save(DOCS / "results" / f"{name}-{figure}.png", optimize=True)
        parts.append(f"![{figure.replace('-', ' ')}](results/{name}-{figure}.png)")
    return "\n\n".join(parts)


def not_first(path: Path, ours: str) -> list[str]:
    """The columns in which another ranked method is better than the weights, with the best one."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    own = next(row for row in rows if row["method"].split()[0] == ours)
    rivals = [row for row in rows if row["ranked"] == "yes"]
    found = []
    for column in (key for key in own if key.split()[0] in METRICS and not key.endswith("interval")):
        key = column.split()[0]
        penalties = {
            row["method"]: penalty(key, np.asarray(float(row[column]))) for row in [own, *rivals] if row[column]
        }
        best = min(penalties, key=lambda name: float(penalties[name]))
        if penalties[best] < penalties[own["method"]]:
            found.append(f"{key} ({best.rstrip(' †')})")
    return found


def experiments() -> Iterable[str]:
    """The names of the experiments that can be run here."""
    ablated = any((ROOT / "runs" / "ablation").glob("*/*.safetensors"))
    return (name for name in SECTIONS if name != "ablation" or ablated)


def main(output: Path) -> int:
    """Run the experiments, then write the document."""
    weights = ", ".join(f"`{Path(entry.file).stem}`" for entry in shipped().values())
    parts = [INTRODUCTION.format(weights=weights).rstrip()]
    for name in experiments():
        code = refinefuse(["benchmark", str(CONFIGS / f"{name}.yaml"), "-o", str(output / name)])
        if code:
            return code
        parts.append(section(name, output / name))
    write_text_atomic(DOCS / "results.md", "\n\n".join(parts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
