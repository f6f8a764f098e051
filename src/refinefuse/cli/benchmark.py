"""`refinefuse benchmark`."""

from __future__ import annotations

from pathlib import Path


def run(plan: Path, *, output: Path, data: Path | None = None, jobs: int = 0) -> int:
    """Run an experiment: methods x data sets x metrics, with tables, figures and a report.

    Needs the extra `benchmark`. What is done is kept in the output folder: the same call goes on where it stopped, and
    after a change does only what the change touches.

    Args:
        plan: a YAML file such as recipes/benchmark/comparison.yaml.
        output: the folder of the results: scores.csv, report.html, tables, figures, grids, fused pictures.
        data: the folder below which the plan's sets lie; by default the environment variable REFINEFUSE_DATA, or
            the current folder.
        jobs: how many processes; 0 is one a processor.
    """
    import os
    import sys
    from functools import partial

    from tqdm import tqdm

    from refinefuse.errors import InputError
    from refinefuse.inference.device import keep_freed_memory

    root = data or Path(os.environ.get("REFINEFUSE_DATA") or ".")
    if not root.is_dir():
        raise InputError(f"The folder of the data sets does not exist: '{root}'.\nGive --data, or set REFINEFUSE_DATA.")
    if jobs < 0:
        raise InputError(f"--jobs must not be negative.\n  expected: 0 or more\n  found: {jobs}")
    keep_freed_memory()
    from refinefuse.benchmark.experiment import run_experiment
    from refinefuse.benchmark.plan import Places, load_plan
    from refinefuse.benchmark.tables import as_text

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bar = partial(tqdm, desc="fusing and scoring", unit="picture", file=sys.stderr, disable=None)
    done = run_experiment(
        load_plan(plan), Places(root, plan.parent), output, jobs or available, lambda steps, n: bar(steps, total=n)
    )
    for section in done.sections:
        print("\n".join(f"{table.title}\n{as_text(table)}" for table in section.tables[:1]))
        for remark in section.remarks:
            print(f"note: {remark}")
    results = done.results
    print(f"{results.fused} pictures fused, {results.scored} scored, {results.kept} kept from an earlier run.")
    if done.study is not None:
        print(f"A detector looked at {done.study.looked} pictures; {done.study.kept} kept from an earlier run.")
    print(f"See '{output / 'report.html'}'.")
    failures = [*done.results.failures, *(done.study.failures if done.study else [])]
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0
