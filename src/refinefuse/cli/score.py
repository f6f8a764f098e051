"""`refinefuse score`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from refinefuse.cli.session import to_stderr

if TYPE_CHECKING:
    from refinefuse.image.medical.options import VolumeOptions


@dataclass
class VolumeArguments:
    """Volumes, as they were fused.

    Attributes:
        window: CT window: brain, bone, lung, tissue or CENTER,WIDTH in HU.
        range: Black and white points of A, in any modality: MIN,MAX or percentile:LOW,HIGH.
        suv_range: Black and white points of PET: MIN,MAX in SUV by body weight.
        colormap: Colormap of B; without it, inferno for PET and SPECT, otherwise none.
        kind: Modality of each source (ct, mri, pet or spect), separated by commas; without it, from the file or its
            name.
        series: Numbers or UIDs of the DICOM series, separated by commas, if a folder holds several.
    """

    window: str | None = None
    range: str | None = None
    suv_range: str | None = None
    colormap: Literal["inferno", "magma", "hot", "gray"] | None = None
    kind: str | None = None
    series: str | None = None

    def options(self) -> VolumeOptions:
        """As the library takes them."""
        from refinefuse.image.medical.intensity import parse_kinds
        from refinefuse.image.medical.options import VolumeOptions, parse_series

        return VolumeOptions(
            window=self.window,
            range=self.range,
            suv_range=self.suv_range,
            colormap=self.colormap,
            series=parse_series(self.series),
            kinds=parse_kinds(self.kind, 2) if self.kind else (),
        )


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
    task = find_task([Path(p) for p in fused.split(",")], Path(a), Path(b), volumes.options())
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
