"""`refinefuse score`."""

from __future__ import annotations

from typing import Literal

from refinefuse.cli.arguments import VolumeArguments
from refinefuse.cli.session import to_stderr


def run(
    fused: str,
    a: str,
    b: str,
    *,
    metrics: str = "common,diagnostics",
    convention: str = "default",
    channels: Literal["luma", "rgb"] = "luma",
    csv: str | None = None,
    json: str | None = None,
    latex: str | None = None,
    num_workers: int = 1,
    overwrite: bool = False,
    volumes: VolumeArguments = VolumeArguments(),  # noqa: B008  # read only
) -> int:
    """Score fused images against their sources, with common and diagnostic metrics.

    Volumes are scored slice by slice, in the ranges in which they were fused. Prints the means: for one method with 95
    % intervals, for several as a table in which the best and the second-best value are marked.

    Args:
        fused: Fused image, folder of images, folder of such folders (one per method), or volume; or several, separated
            by commas.
        a: First source (infrared, CT, PET, SPECT): image, folder with the same names, or volume.
        b: Second source (visible, MRI), likewise.
        metrics: Metrics, separated by commas; common, diagnostics and all stand for several.
        convention: Whose definitions to use; `refinefuse metrics` lists them.
        channels: Score the rounded luma, or each color channel separately and average.
        csv: Also write one row per image to this file.
        json: Also write scores, means and intervals to this file.
        latex: Also write the table as LaTeX to this file.
        num_workers: Number of images to score in parallel.
        overwrite: Replace existing files.
        volumes: how volumes were fused.
    """
    import warnings
    from pathlib import Path

    from refinefuse.atomic import check_writable, write_text_atomic
    from refinefuse.errors import check_field, format_names
    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.scoring import folders, tables
    from refinefuse.scoring.volumes import find_task

    check_field(num_workers >= 1, "num_workers", "1 or more", num_workers)
    forms = ((csv, tables.as_csv), (json, tables.as_json), (latex, tables.as_latex))
    outputs = {Path(path): form for path, form in forms if path is not None}
    for path in outputs:
        check_writable(path, overwrite=overwrite)
    retain_freed_memory()
    task = find_task([Path(p) for p in fused.split(",")], Path(a), Path(b), volumes.options(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        keys = [key.strip() for key in metrics.split(",")]
        result = folders.score_triplets(task.triplets, keys, convention, channels, num_workers, progress=None)
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        to_stderr(f"warning: {text}")
    if result.scores:
        print(tables.as_text(result))
        for path, form in outputs.items():
            write_text_atomic(path, form(result))
    for note in task.notes:
        to_stderr(f"note: {note}")
    for method, count in task.missing.items():
        to_stderr(f"note: {method} has no image of {count} of the pairs")
    if task.unmatched:
        to_stderr(f"not scored, because no source has that name:\n{format_names(list(task.unmatched))}")
    for failure in result.failures:
        to_stderr(f"not scored: {failure}")
    return 1 if task.unmatched or result.failures else 0
