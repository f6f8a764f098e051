"""Run the detection study of `benchmark/detection.yaml` and put its results into `docs/detection.md`.

Usage: python benchmarks/detection.py FOLDER, with REFINEFUSE_DATA set. FOLDER keeps the fused images and the boxes:
what is done there is not done again, and new weights touch their own rows alone.
"""

from __future__ import annotations

import csv
import resource
import shutil
import sys
from pathlib import Path

from refinefuse.atomic import write_text_atomic
from refinefuse.cli import main as refinefuse
from refinefuse.settings import RECIPES

ROOT = Path(__file__).parents[1]
CONFIG = RECIPES / "benchmark" / "detection.yaml"
DOCS = ROOT / "docs"
BEGIN, END = "<!-- results: written by make detection -->", "<!-- end of results -->"
OURS, SOURCES = ("infrared-visible-detection", "infrared-visible"), ("infrared", "visible")


def verdict(table: Path, ours: str) -> str:
    """What the first table says of weights of ours: against both sensors, and their rank among the methods."""
    rows = {row[""]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    column = list(next(iter(rows.values())))[1]
    values = {name: float(row[column]) for name, row in rows.items()}
    methods = sorted((name for name in rows if name == ours or name not in (*OURS, *SOURCES)), key=lambda x: -values[x])
    rank = methods.index(ours) + 1
    gains = ", ".join(f"{values[ours] - values[name]:+.3f} against {name} alone" for name in SOURCES)
    ahead = "; ".join(f"{name} {values[name]:.3f}" for name in methods[: rank - 1])
    behind = f"; before it: {ahead}" if ahead else ""
    return f"`{ours}`: AP50 {values[ours]:.3f}, {gains}; rank {rank} of {len(methods)} fusion methods{behind}."


def results(folder: Path, seconds: float) -> str:
    """The tables and the figure of the study, and what it took."""
    tables = {path.stem: path.read_text(encoding="utf-8").rstrip() for path in (folder / "tables").glob("MSRS*.md")}
    parts = [f"Processor time of the last run, with what was kept: {seconds / 60:.0f} min."]
    parts += [verdict(folder / "tables" / "MSRS-detection.csv", ours) for ours in OURS]
    parts += [f"### {tables['MSRS-detection']}", "![AP50 with intervals](detection-ap50.png)"]
    parts += [f"### {tables[name]}" for name in ("MSRS-classes", "MSRS-sizes", "MSRS-gray")]
    parts.append("The next table is against the boxes that the authors of MSRS drew; they leave vans and trucks out.")
    parts.append(f"### {tables['MSRS-drawn-detection']}")
    shutil.copyfile(folder / "figures" / "MSRS-detection.png", DOCS / "detection-ap50.png")
    return "\n\n".join(parts)


def main(folder: Path) -> int:
    """Run the study, then write the document."""
    code = refinefuse(["benchmark", str(CONFIG), "-o", str(folder)])
    if code:
        return code
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    document = DOCS / "detection.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_text_atomic(document, f"{before}{BEGIN}\n\n{results(folder, seconds)}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
