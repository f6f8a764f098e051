"""`refinefuse benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinefuse.cli.session import to_stderr

if TYPE_CHECKING:
    from refinefuse.benchmark.detection import Looks


def run(config: str, *, output: Path, data_root: Path | None = None, num_workers: int = 0) -> int:
    """Run an experiment: methods x datasets x metrics, with tables, figures and a report.

    Finished work is kept in the output folder: the same command resumes a run that was stopped, and after a change
    recomputes only what the change affects. Needs the extra `benchmark`. To measure speed, use `refinefuse bench`.

    Args:
        config: YAML file, or the name of a shipped config: ablation, comparison, cost, degradations, detection,
            generalization, medical, segmentation.
        output: Folder for the results: scores.csv, report.html, tables, figures, grids, fused images.
        data_root: Folder of the config's datasets; by default the environment variable REFINEFUSE_DATA, or the current
            folder.
        num_workers: Number of processes; 0 means one per CPU.
    """
    import os

    from refinefuse.data.layout import benchmark_root
    from refinefuse.errors import check_field
    from refinefuse.inference.device import retain_freed_memory

    root = benchmark_root(data_root)
    check_field(num_workers >= 0, "num_workers", "0 or more", num_workers)
    retain_freed_memory()
    from refinefuse.benchmark.config import load_benchmark_config
    from refinefuse.benchmark.experiment import run_experiment
    from refinefuse.benchmark.image_datasets import PathVariables
    from refinefuse.scoring.rendering import as_text
    from refinefuse.settings import locate_settings

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    path = locate_settings(config, "benchmark")
    done = run_experiment(
        load_benchmark_config(path),
        PathVariables(root, path.parent),
        output,
        num_workers or available,
        progress=None,
    )
    for section in done.sections:
        print("\n".join(f"{table.title}\n{as_text(table)}" for table in section.tables[:1]))
        for remark in section.remarks:
            print(f"note: {remark}")
    results = done.results
    print(f"{results.fused} images fused, {results.scored} scored, {results.cached} reused from an earlier run.")
    kinds: dict[str, Sequence[Looks]] = {"detector": done.studies, "segmentation network": done.segmentations}
    for what, studies in kinds.items():
        if studies:
            looked, cached = sum(study.looked for study in studies), sum(study.cached for study in studies)
            print(f"A {what} looked at {looked} images; {cached} reused from an earlier run.")
    print(f"See '{output / 'report.html'}'.")
    failures = [*results.failures, *(text for studies in kinds.values() for one in studies for text in one.failures)]
    for failure in failures:
        to_stderr(f"failed: {failure}")
    return 1 if failures else 0
