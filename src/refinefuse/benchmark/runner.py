"""Run a config: every image is fused and scored once, and results of earlier runs are reused."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

import refinefuse
from refinefuse.benchmark.config import BenchmarkConfig
from refinefuse.benchmark.coverage import Coverage, images_of
from refinefuse.benchmark.degradations import CLEAN, ROBUSTNESS_METRICS, DegradationLevel
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.image_datasets import ImageDataset
from refinefuse.benchmark.jobs import SOURCE_CORRELATION, Job, prepare, work
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.result_store import ResultStore
from refinefuse.benchmark.sources import numbers, read_scores
from refinefuse.data.pairs import Pair
from refinefuse.errors import PairingError, RefineFuseError
from refinefuse.metrics.conventions import chosen_metrics, convention_named
from refinefuse.progress import progress_bar
from refinefuse.scoring.rendering import csv_text

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


class Row(NamedTuple):
    """Score of one image in one metric.

    `sha256` is a prefix of the checksum of the weights, the ONNX file or the module that fused the image, otherwise of
    the image or of the scores file.
    """

    method: str
    dataset: str
    degradation: str
    severity: float
    image: str
    metric: str
    value: float
    sha256: str


@dataclass
class Results:
    """Results of a run.

    Attributes:
        metrics: metrics of the config, in order.
        rows: all scores.
        images: fused image by (method, dataset, image), without degradation, if there is one.
        coverage: coverage by method and dataset.
        failures: error messages with method and pair.
        fused: number of images fused in this run.
        scored: number of images scored in this run.
        cached: number of results taken from the result store.
    """

    metrics: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    images: dict[tuple[str, str, str], Path] = field(default_factory=dict)
    coverage: dict[tuple[str, str], Coverage] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    fused: int = 0
    scored: int = 0
    cached: int = 0


class Runner:
    """Runs a config and writes the results to a folder.

    Args:
        config: benchmark config.
        methods: methods of the config.
        sets: datasets of the config.
        output: output folder.
        num_workers: number of processes; 1 runs everything in this process.
    """

    def __init__(
        self,
        config: BenchmarkConfig,
        methods: Sequence[Method],
        sets: Sequence[ImageDataset],
        output: Path,
        num_workers: int,
    ) -> None:
        self.config, self.methods, self.sets, self.output, self.num_workers = config, methods, sets, output, num_workers
        self.metrics = tuple(chosen_metrics(config.metrics, convention_named(config.convention)))
        self.lights = [
            DegradationLevel(entry.kind, severity) for entry in config.degradations for severity in entry.severities
        ]
        self.results = Results(self.metrics)
        self._scoring = code_checksum("refinefuse.metrics", "refinefuse.filters", "refinefuse.benchmark.jobs")
        self._lighting = code_checksum("refinefuse.data.degradations", "refinefuse.benchmark.degradations")

    def run(self, progress: bool | None) -> Results:
        """Run the missing jobs, those without degradation first, and collect all results."""
        self.output.mkdir(parents=True, exist_ok=True)
        store = ResultStore(self.output / "results.jsonl")
        try:
            for lights in ([CLEAN], self.lights):
                jobs = list(self._jobs(lights))
                todo = [job for job in jobs if not self._is_kept(job, store)]
                self.results.cached += len(jobs) - len(todo)
                steps = self._collect(todo, store)
                for _ in progress_bar("fusing and scoring", steps, total=len(todo), show=progress):
                    pass
                for job in jobs:
                    self._gather(job, store)
        finally:
            store.close()
        self._gather_published()
        self._cover()
        return self.results

    def _jobs(self, lights: Sequence[DegradationLevel]) -> Iterator[Job]:
        for images in self.sets:
            folders = {m: self._images_of(m, images) for m in self.methods if m.kind == "folder"}
            for pair in images.pairs:
                for degradation in lights:
                    for method in self.methods:
                        path = folders[method].get(pair.name) if method in folders else None
                        if (path and degradation == CLEAN) or self._can_run(method, images.name, pair, degradation):
                            yield self._job(method, images.name, pair, degradation, path)

    def _can_run(self, method: Method, dataset: str, pair: Pair, degradation: DegradationLevel) -> bool:
        """Whether a pair can be fused; degraded pairs need the clean result, which is missing if the method failed."""
        return method.runs and (degradation == CLEAN or self._made(method, dataset, pair, CLEAN).is_file())

    def _images_of(self, method: Method, images: ImageDataset) -> dict[str, Path]:
        try:
            found, extra = images_of(method, images)
        except PairingError as error:
            self.results.failures.append(f"{method.name}, {images.name}: {error}")
            return {}
        if extra:
            self.results.coverage[method.name, images.name] = Coverage(len(images.pairs), extra=extra)
        return found

    def _job(self, method: Method, dataset: str, pair: Pair, degradation: DegradationLevel, path: Path | None) -> Job:
        made = self._made(method, dataset, pair, degradation)
        clean = self._made(method, dataset, pair, CLEAN) if self.lights and method.runs else None
        metrics = self.metrics
        return Job(
            method, dataset, pair, degradation, path or made, path is None, clean, metrics, self.config.convention
        )

    def _made(self, method: Method, dataset: str, pair: Pair, degradation: DegradationLevel) -> Path:
        return self.output / "fused" / method.slug / f"{dataset}{degradation.folder}" / f"{pair.name}.png"

    def _is_kept(self, job: Job, store: ResultStore) -> bool:
        """Whether the result of a job is in the store. Existing images are only scored, not fused again."""
        if not self._is_made(job, store):
            return False
        return {*_keys(job), SOURCE_CORRELATION} <= store.scores(self._score_key(job)).keys()

    def _is_made(self, job: Job, store: ResultStore) -> bool:
        if not job.fuse:
            return True
        key, sha256 = store.image(self._name(job))
        return key == self._fuse_key(job) and job.image.is_file() and file_checksum(job.image) == sha256

    def _name(self, job: Job) -> str:
        return str(job.image.relative_to(self.output))

    def _fuse_key(self, job: Job) -> str:
        degradation = [] if job.degradation == CLEAN else [*map(str, job.degradation), job.pair.name, self._lighting]
        return checksum(job.method.identity, file_checksum(job.pair.a), file_checksum(job.pair.b), *degradation)

    def _score_key(self, job: Job) -> str:
        images = [job.image, job.pair.a, job.pair.b, *([job.clean] if job.clean else [])]
        return checksum(
            *map(file_checksum, images), job.convention, self._scoring, *([self._lighting] if job.clean else [])
        )

    def _collect(self, todo: Sequence[Job], store: ResultStore) -> Iterator[None]:
        """Run the jobs and store each result as soon as it is available."""
        steps = [replace(job, fuse=False) if job.fuse and self._is_made(job, store) else job for job in todo]
        for job, done in in_processes(work, steps, self.num_workers):
            if done.scores is None:
                where = f"{job.method.name}, {job.dataset}{job.degradation.folder}, {job.pair.name}"
                self.results.failures.append(f"{where}: {done.failure}")
            else:
                if job.fuse:
                    store.add_image(self._name(job), self._fuse_key(job), done.image)
                    self.results.fused += 1
                store.add_scores(self._score_key(job), done.scores)
                self.results.scored += 1
            yield

    def _gather(self, job: Job, store: ResultStore) -> None:
        if not self._is_kept(job, store):
            return
        scores = store.scores(self._score_key(job))
        content = job.method.content if job.fuse else file_checksum(job.image)
        for key in _keys(job):
            self.results.rows.append(
                Row(job.method.name, job.dataset, *job.degradation, job.pair.name, key, scores[key], content[:12])
            )
        if job.degradation == CLEAN:
            self.results.images[job.method.name, job.dataset, job.pair.name] = job.image
            if job.method.kind == "folder" and scores[SOURCE_CORRELATION] < 0.5:
                self._note_unlike(job)

    def _note_unlike(self, job: Job) -> None:
        former = self.results.coverage.get((job.method.name, job.dataset), Coverage(0))
        self.results.coverage[job.method.name, job.dataset] = replace(former, unlike=(*former.unlike, job.image.name))

    def _gather_published(self) -> None:
        """Collect the scores of `scores` files for the selected images."""
        fused = {(method, dataset) for method, dataset, _ in self.results.images}
        for method in (m for m in self.methods if m.published):
            for images in (one for one in self.sets if (method.name, one.name) not in fused):
                file = Path(method.published.replace("{dataset}", images.name))
                table = read_scores(file).get(method.name, {}) if file.is_file() else {}
                for pair in images.pairs:
                    values = numbers(table.get(pair.name, {}), self.metrics, self.config.convention, file)
                    where = method.name, images.name, *CLEAN, pair.name
                    self.results.rows += [Row(*where, k, v, file_checksum(file)[:12]) for k, v in values.items()]

    def _cover(self) -> None:
        """Determine which images are missing after all jobs have run."""
        scored: dict[tuple[str, str], set[str]] = {}
        for method_name, dataset, image in self.results.images:
            scored.setdefault((method_name, dataset), set()).add(image)
        for row in self.results.rows:
            if row.degradation == CLEAN.kind:
                scored.setdefault((row.method, row.dataset), set()).add(row.image)
        for method in self.methods:
            for images in self.sets:
                where = method.name, images.name
                names = [pair.name for pair in images.pairs]
                missing = tuple(name for name in names if name not in scored.get(where, set()))
                former = self.results.coverage.get(where, Coverage(0))
                self.results.coverage[where] = replace(former, expected=len(names), missing=missing)


def _keys(job: Job) -> tuple[str, ...]:
    """Metrics that a job computes."""
    return job.metrics if job.clean is None else (*job.metrics, *(curve.key for curve in ROBUSTNESS_METRICS))


def in_processes(
    work: Callable[[JobT], ResultT], jobs: Sequence[JobT], processes: int
) -> Iterator[tuple[JobT, ResultT]]:
    """Run jobs in several processes and yield each job with its result, in order of completion."""
    if processes == 1 or len(jobs) < 2:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # one thread, as in worker processes, for identical results
        try:
            yield from ((job, work(job)) for job in jobs)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(jobs)), context, initializer=prepare)
    try:
        waiting = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
    except BrokenProcessPool:
        raise RefineFuseError(
            "A worker process died, most likely because memory ran out.\n"
            "Finished results are kept: run the command again with fewer `num_workers`."
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def to_long_csv(results: Results, convention: str) -> str:
    """Format all scores as CSV, one line per method, dataset, degradation, image and metric."""
    rows = ([*row[:6], repr(row.value), row.sha256, convention, refinefuse.__version__] for row in results.rows)
    return csv_text([[*Row._fields, "convention", "version"], *rows])
