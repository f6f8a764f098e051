"""One step of a run, in whatever process: fuse a pair with a method if need be, and score the result."""

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
"""Stored beside the scores: the correlation of a coarse fused image with the best mix of its sources, 0..1."""


@dataclass(frozen=True)
class Job:
    """What one step is to do.

    Attributes:
        method: whose image it is.
        dataset: the name of the dataset.
        pair: the sources.
        degradation: the degradation on the second one.
        image: the file of the fused image, which is there unless `fuse` says to make it.
        fuse: whether to make it.
        clean: the image that the method makes of the clean pair, if the config asks for worse degradation.
        metrics: what to score.
        convention: whose definitions.
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
    """What became of a job: the checksum of the image and its scores, or what went wrong."""

    image: str = ""
    scores: Mapping[str, float] | None = None
    failure: str = ""


def work(job: Job) -> JobResult:
    """Do a job; an error of one pair or method is reported, and does not stop the run."""
    try:
        if job.fuse:
            _fuse(job)
        return JobResult(file_checksum(job.image), _score(job))
    except RefineFuseError as error:
        return JobResult(failure=str(error))


def prepare() -> None:
    """Make a process fit for jobs: one thread, no answer to Ctrl-C, and an end when its parent ends."""
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
        warnings.simplefilter("ignore")  # a metric for which the image is too small shows as nan
        values = evaluate(fused, a, b, metrics=job.metrics, convention=job.convention) if job.metrics else {}
    scores = {key: float(value) for key, value in values.items()}
    scores[SOURCE_CORRELATION] = source_correlation(fused, a, b)
    if job.clean is not None:
        scores |= keeps(fused, a, b, read_levels(job.clean, "luma"))
    return scores


def source_correlation(fused: Tensor, a: Tensor, b: Tensor) -> float:
    """How well a fused image, reduced to 32 x 32, is a weighted sum of its sources: their multiple correlation.

    It is small for the image of another scene, as a file under a wrong name is.
    """
    planes = [F.adaptive_avg_pool2d(x, 32).flatten().double().numpy() for x in (fused, a, b)]
    target, *sources = (x - x.mean() for x in planes)
    if np.allclose(target, 0):
        return 1.0 if all(np.allclose(x, 0) for x in sources) else 0.0
    basis = np.stack(sources, 1)
    weights, *_ = np.linalg.lstsq(basis, target, rcond=None)
    correlation = float(np.linalg.norm(basis @ weights) / np.linalg.norm(target))
    return min(correlation, 1.0)
