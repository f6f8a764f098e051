"""`score`: the public function that scores files and folders of fused images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from refinefuse.errors import InputError
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.scoring.folders import Channels, ScoreTable, score_triplets
from refinefuse.scoring.volumes import find_task

PathLike = str | os.PathLike[str]


def score(
    fused: PathLike | Sequence[PathLike],
    a: PathLike,
    b: PathLike,
    *,
    metrics: Sequence[str] = ("common", "diagnostics"),
    convention: str = "default",
    channels: Channels = "luma",
    num_workers: int = 1,
    volumes: VolumeOptions = VolumeOptions(),  # noqa: B008  # frozen
) -> ScoreTable:
    """Score fused images against their sources, paired by name, or fused volumes slice by slice.

    Images without a source of the same name are left out, as are slices in which a source has no data; images that
    cannot be scored are listed in the result. The sources of a volume are resampled to its grid and displayed as for
    the fusion: CT in its window, PET and SPECT in their colormap.

    Args:
        fused: an image, a folder of images, a folder of such folders (one per method), or several of them; or a
            volume (NIfTI, DICOM), or several.
        a: the first source (infrared, CT, PET, SPECT): an image, a folder with the same names, or a volume.
        b: the second source (visible, MRI), likewise.
        metrics: keys, as in `refinefuse.metrics.evaluate`.
        convention: whose definitions to use; see `refinefuse.metrics.CONVENTIONS`.
        channels: score the rounded luma, or each color channel separately and average.
        num_workers: number of images to score in parallel.
        volumes: how the volumes were fused (window, range, kinds).

    Raises:
        PairingError: if files and folders are mixed, or nothing matches.
        InputError: if a name is unknown or an option is out of range.

    Example:
        >>> table = score("fused", "ir", "vi", metrics=["VIF", "edge_recall"])  # doctest: +SKIP
        >>> table.means()["fused"]["VIF"].value  # doctest: +SKIP
        0.897
    """
    if num_workers < 1:
        raise InputError(f"`num_workers` must be 1 or more.\n  got: {num_workers}")
    several = [fused] if isinstance(fused, str | os.PathLike) else fused
    task = find_task([Path(path) for path in several], Path(a), Path(b), volumes)
    return score_triplets(task.triplets, metrics, convention, channels, num_workers)
