"""Run the configs `detection` and `segmentation`, and put their results into `docs/detection.md`.

Usage: python benchmarks/detection.py FOLDER, with REFINEFUSE_DATA set. FOLDER keeps the fused images and the
detections: existing results are reused, and new weights only change their own rows. Both configs use all networks in
the folder `models` next to the data.
"""

from __future__ import annotations

import csv
import resource
import sys
from pathlib import Path

from refinefuse.atomic import write_text_atomic
from refinefuse.cli import main as refinefuse

DOCUMENT = Path(__file__).parents[1] / "docs" / "detection.md"
BEGIN, END = "<!-- results: written by make detection -->", "<!-- end of results -->"
OURS, SOURCES = ("infrared-visible-detection", "infrared-visible"), ("infrared", "visible")
CONFIGS = ("detection", "segmentation")
SHOWN = (
    "MSRS-detectors", *(f"MSRS-detectors-{name}" for name in OURS), "MSRS*-detection", "MSRS*-classes",
    "MSRS-networks", *(f"MSRS-networks-{name}" for name in OURS), "MSRS*-segmentation",
)  # fmt: skip
"""The tables to show, in this order; of those with manually drawn boxes, which are few, only the overall one."""


def verdict(table: Path, ours: str) -> str:
    """Summarize the table of all networks for our weights: gains over both sensors, and the rank among methods."""
    rows = {row[""]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    column = next(name for name in next(iter(rows.values())) if name.startswith("mean: ") and "interval" not in name)
    values = {name: float(row[column]) for name, row in rows.items()}
    methods = sorted((name for name in rows if name == ours or name not in (*OURS, *SOURCES)), key=lambda x: -values[x])
    rank = methods.index(ours) + 1
    gains = ", ".join(f"{values[ours] - values[name]:+.3f} against {name} alone" for name in SOURCES)
    ahead = "; ".join(f"{name} {values[name]:.3f}" for name in methods[: rank - 1])
    behind = f"; ahead of it: {ahead}" if ahead else ""
    what = column.removeprefix("mean: ").removesuffix(" ↑")
    return f"`{ours}`: mean {what} {values[ours]:.3f}, {gains}; rank {rank} of {len(methods)} fusion methods{behind}."


def results(folder: Path, seconds: float) -> str:
    """The tables of both studies, and what they took."""
    tables = folder / "tables"
    parts = [f"CPU time of the last run, which reused earlier results: {seconds / 60:.0f} min."]
    for whole in ("MSRS-detectors.csv", "MSRS-networks.csv"):
        parts += [verdict(tables / whole, ours) for ours in OURS if (tables / whole).is_file()]
    for pattern in SHOWN:
        found = [path for path in sorted(tables.glob(f"{pattern}.md")) if not path.stem.startswith("MSRS-drawn")]
        parts += [f"### {path.read_text(encoding='utf-8').rstrip()}" for path in found]
    return "\n\n".join(parts)


def main(folder: Path) -> int:
    """Run both studies, then write the document."""
    for config in CONFIGS:
        code = refinefuse(["benchmark", config, "-o", str(folder)])
        if code:
            return code
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_text_atomic(DOCUMENT, f"{before}{BEGIN}\n\n{results(folder, seconds)}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
