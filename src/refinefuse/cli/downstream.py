"""`refinefuse downstream`."""

from __future__ import annotations

from pathlib import Path

from refinefuse.cli.session import to_stderr


def run(config: str, *, output: Path, data_root: Path | None = None, num_workers: int = 1, device: str = "cpu") -> int:
    """Train the same small detector and segmentation network on the images of each method, and compare them.

    Finished trainings are kept in the output folder: the same command resumes where it stopped, and after a change
    repeats only what the change affects. Each training runs on one thread, so that its results are reproducible. Needs
    the extras `benchmark` and `detection`.

    Args:
        config: YAML file, or the name of a shipped config: msrs, msrs-cross-validation.
        output: Folder for the results: report.html, tables, images, trainings.
        data_root: Folder of the config's images and masks; by default the environment variable REFINEFUSE_DATA, or the
            current folder.
        num_workers: Number of networks to train in parallel; several can share a GPU.
        device: Device to train on: cpu, cuda, cuda:N, or auto. Results on a GPU differ in the last digits.
    """
    import sys

    from tqdm import tqdm

    from refinefuse.benchmark.image_datasets import PathVariables
    from refinefuse.data.layout import benchmark_root
    from refinefuse.downstream.config import load_downstream_config
    from refinefuse.errors import check_field
    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.settings import locate_settings

    root = benchmark_root(data_root)
    check_field(num_workers >= 1, "num_workers", "1 or more", num_workers)
    retain_freed_memory()
    path = locate_settings(config, "downstream")
    settings = load_downstream_config(path)
    from refinefuse.downstream.report import study_sections, write_report
    from refinefuse.downstream.study import DownstreamRunner
    from refinefuse.scoring.rendering import as_text

    runner = DownstreamRunner(settings, PathVariables(root, path.parent), output, num_workers, device)
    study = runner.run(lambda steps, count, what: tqdm(steps, what, count, file=sys.stderr, disable=None))
    sections = study_sections(study)
    report = write_report(study, sections, output)
    for section in sections:
        print("\n".join(f"{table.title}\n{as_text(table)}" for table in section.tables))
    for remark in study.remarks:
        print(f"note: {remark}")
    print(f"{study.trained} networks trained, {study.reused} reused from an earlier run.\nSee '{report}'.")
    for failure in study.failures:
        to_stderr(f"failed: {failure}")
    return 1 if study.failures else 0
