"""One step of a run, in any process: fuse a pair with a method, if necessary, and score the result."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refinefuse.benchmark.degradations import CLEAN, DegradationLevel, degrade, keeps
from refinefuse.benchmark.identity import file_checksum
from refinefuse.benchmark.methods import Method, fuse_checked
from refinefuse.data.pairs import Pair
from refinefuse.errors import InputError, RefineFuseError
from refinefuse.image.files import read_image, write_image
from refinefuse.metrics import evaluate
from refinefuse.scoring.folders import Triplet, read_levels, read_triplet

SOURCE_CORRELATION = "source_correlation"
"""Key of the value of `source_correlation`, which is stored with the scores."""


@dataclass(frozen=True)
class Job:
    """One step of a run.

    Attributes:
        method: fusion method.
        dataset: name of the dataset.
        pair: sources.
        degradation: degradation of the second source.
        image: file of the fused image, which exists unless `fuse` is set.
        fuse: whether to fuse the pair.
        clean: the method's result for the clean pair, if the source is degraded.
        metrics: metrics to compute.
        convention: convention of the metrics' definitions.
    """

    method: Method
    dataset: str
    pair: Pair
    degradation: DegradationLevel
    image: Path
    fuse: bool
    clean: Path | None
    metrics: tuple[str, ...]
    convention: str


@dataclass(frozen=True)
class JobResult:
    """Result of a job: checksum of the fused image and its scores, or an error message."""

    image: str = ""
    scores: Mapping[str, float] | None = None
    failure: str = ""


def work(job: Job) -> JobResult:
    """Run a job; an error of one pair or method is returned and does not stop the run."""
    try:
        if job.fuse:
            _fuse(job)
        return JobResult(file_checksum(job.image), _score(job))
    except RefineFuseError as error:
        return JobResult(failure=str(error))


def prepare() -> None:
    """Initialize a worker process: one thread, ignore Ctrl-C, and exit with the parent process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fuse(job: Job) -> None:
    a, b = read_image(job.pair.a), read_image(job.pair.b)
    if a.shape[:2] != b.shape[:2]:
        sizes = [" x ".join(map(str, x.shape[:2])) for x in (a, b)]
        raise InputError(
            "The two sources must have the same height and width.\n"
            f"  a: {sizes[0]}   '{job.pair.a}'\n  b: {sizes[1]}   '{job.pair.b}'"
        )
    if job.degradation != CLEAN:
        b = degrade(b, job.degradation, job.pair.name)
    fused = fuse_checked(job.method, a, b)
    job.image.parent.mkdir(parents=True, exist_ok=True)
    write_image(job.image, fused, overwrite=True)


def _score(job: Job) -> dict[str, float]:
    fused, a, b = read_triplet(Triplet(job.method.name, job.pair.name, job.image, job.pair.a, job.pair.b), "luma")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metrics are NaN if the image is too small
        values = evaluate(fused, a, b, metrics=job.metrics, convention=job.convention) if job.metrics else {}
    scores = {key: float(value) for key, value in values.items()}
    scores[SOURCE_CORRELATION] = source_correlation(fused, a, b)
    if job.clean is not None:
        scores |= keeps(fused, a, b, read_levels(job.clean, "luma"))
    return scores


def source_correlation(fused: Tensor, a: Tensor, b: Tensor) -> float:
    """Multiple correlation of a fused image with its sources, downsampled to 32 x 32, 0..1.

    It is low for an image of another scene, such as a misnamed file.
    """
    planes = [F.adaptive_avg_pool2d(x, 32).flatten().double().numpy() for x in (fused, a, b)]
    target, *sources = (x - x.mean() for x in planes)
    if np.allclose(target, 0):
        return 1.0 if all(np.allclose(x, 0) for x in sources) else 0.0
    basis = np.stack(sources, 1)
    weights, *_ = np.linalg.lstsq(basis, target, rcond=None)
    correlation = float(np.linalg.norm(basis @ weights) / np.linalg.norm(target))
    return min(correlation, 1.0)
