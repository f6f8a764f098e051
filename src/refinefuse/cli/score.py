"""`refinefuse score`."""

from __future__ import annotations

from typing import Literal


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
) -> int:
    """Score fused images against their sources, in the metrics of the literature and in diagnostic metrics.

    Prints the means, with 95 % intervals for one method, or a table of several with the best and the second marked.

    Args:
        fused: an image, a folder of images, a folder of such folders (one per method), or several with commas between.
        a: the first source (infrared, CT, PET, SPECT): an image or a folder with the same names.
        b: the second source (visible, MRI): an image or a folder with the same names.
        metrics: names with commas between; common, diagnostics and all stand for several.
        convention: whose definitions; `refinefuse metrics` lists them.
        channels: score the rounded luma, or each color channel by itself and take the mean.
        csv: write one row per image to this file.
        json: write images, means and intervals to this file.
        latex: write the table for a paper to this file.
        num_workers: how many images to score at the same time.
        overwrite: replace existing files.
    """
    import sys
    import warnings
    from pathlib import Path

    from refinefuse.atomic import check_writable, write_text_atomic
    from refinefuse.errors import InputError, format_names
    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.scoring import folders, tables

    if num_workers < 1:
        raise InputError(f"--num-workers must be a positive number.\n  expected: 1 or more\n  found: {num_workers}")
    forms = ((csv, tables.as_csv), (json, tables.as_json), (latex, tables.as_latex))
    outputs = {Path(path): form for path, form in forms if path is not None}
    for path in outputs:
        check_writable(path, overwrite=overwrite)
    retain_freed_memory()
    task = folders.find_triplets([Path(p) for p in fused.split(",")], Path(a), Path(b))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        keys = [key.strip() for key in metrics.split(",")]
        result = folders.score_triplets(task.triplets, keys, convention, channels, num_workers, progress=None)
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"warning: {text}", file=sys.stderr)
    if result.scores:
        print(tables.as_text(result))
        for path, form in outputs.items():
            write_text_atomic(path, form(result))
    for method, count in task.missing.items():
        print(f"note: {method} has no image of {count} of the pairs", file=sys.stderr)
    if task.unmatched:
        print(f"not scored, for want of a source of that name:\n{format_names(list(task.unmatched))}", file=sys.stderr)
    for failure in result.failures:
        print(f"not scored: {failure}", file=sys.stderr)
    return 1 if task.unmatched or result.failures else 0
