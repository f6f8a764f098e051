"""`score`: the public function that scores files and folders of fused images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from refinefuse.errors import InputError
from refinefuse.scoring.folders import Channels, ScoreTable, find_triplets, score_triplets

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
) -> ScoreTable:
    """Score fused images against their sources, by name.

    Images without a source of their name are left out; images that cannot be scored are listed in the result.

    Args:
        fused: an image, a folder of images, a folder of such folders (one per method), or several of them.
        a: the first source (infrared, CT, PET, SPECT): an image, or a folder with the same names.
        b: the second source (visible, MRI): likewise.
        metrics: keys, as in `refinefuse.metrics.evaluate`.
        convention: whose definitions; see `refinefuse.metrics.CONVENTIONS`.
        channels: score the rounded luma, or each color channel by itself and take the mean.
        num_workers: images to score at the same time.

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
    task = find_triplets([Path(path) for path in several], Path(a), Path(b))
    return score_triplets(task.triplets, metrics, convention, channels, num_workers)
