"""Run a plan: every picture is fused once and scored once, and what is kept from an earlier run is not done again."""

from __future__ import annotations

import csv
import io
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

import refinefuse
from refinefuse.benchmark.coverage import Coverage, pictures_of
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.ledger import Ledger
from refinefuse.benchmark.lighting import CLEAN, KEEPS, Light
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.plan import PictureSet, Plan
from refinefuse.benchmark.sources import numbers, read_scores
from refinefuse.benchmark.work import LIKENESS, Job, prepare, work
from refinefuse.data.pairs import Pair
from refinefuse.errors import PairingError, RefineFuseError
from refinefuse.metrics.conventions import chosen_metrics, convention_named

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
Progress = Callable[[Iterable[None], int], Iterable[None]]


class Row(NamedTuple):
    """One number: what one picture scores in one metric.

    `sha256` begins the checksum of the weights, the ONNX file or the module that made the picture, else of the picture
    or of the file of scores.
    """

    method: str
    set: str
    light: str
    strength: float
    image: str
    metric: str
    value: float
    sha256: str


@dataclass
class Results:
    """What a run gives.

    Attributes:
        metrics: the plan's metrics, in order.
        rows: every score.
        pictures: the fused picture of (method, set, image) in clean light, where there is one.
        coverage: by method and set, whether all pictures are there.
        failures: what went wrong, each with the method and the pair.
        fused: how many pictures were fused now.
        scored: how many pictures were scored now.
        kept: how many results were there already.
    """

    metrics: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    pictures: dict[tuple[str, str, str], Path] = field(default_factory=dict)
    coverage: dict[tuple[str, str], Coverage] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    fused: int = 0
    scored: int = 0
    kept: int = 0


class Runner:
    """Runs a plan into a folder.

    Args:
        plan: what to do.
        methods: the methods that the plan names.
        sets: its data sets.
        output: the folder of the results.
        jobs: how many processes; with 1 everything runs in this one.
    """

    def __init__(
        self, plan: Plan, methods: Sequence[Method], sets: Sequence[PictureSet], output: Path, jobs: int
    ) -> None:
        self.plan, self.methods, self.sets, self.output, self.jobs = plan, methods, sets, output, jobs
        self.metrics = tuple(chosen_metrics(plan.metrics, convention_named(plan.convention)))
        self.lights = [Light(entry.kind, strength) for entry in plan.lighting for strength in entry.strengths]
        self.results = Results(self.metrics)
        self._scoring = code_checksum("refinefuse.metrics", "refinefuse.filters", "refinefuse.benchmark.work")
        self._lighting = code_checksum("refinefuse.data.lighting", "refinefuse.benchmark.lighting")

    def run(self, progress: Progress) -> Results:
        """Do what is not done yet, clean light first, and gather all results."""
        self.output.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(self.output / "ledger.jsonl")
        try:
            for lights in ([CLEAN], self.lights):
                jobs = list(self._jobs(lights))
                todo = [job for job in jobs if not self._is_kept(job, ledger)]
                self.results.kept += len(jobs) - len(todo)
                steps = self._collect(todo, ledger)
                for _ in progress(steps, len(todo)):
                    pass
                for job in jobs:
                    self._gather(job, ledger)
        finally:
            ledger.close()
        self._gather_published()
        self._cover()
        return self.results

    def _jobs(self, lights: Sequence[Light]) -> Iterator[Job]:
        for pictures in self.sets:
            folders = {m: self._pictures_of(m, pictures) for m in self.methods if m.kind == "folder"}
            for pair in pictures.pairs:
                for light in lights:
                    for method in self.methods:
                        path = folders[method].get(pair.name) if method in folders else None
                        if (path and light == CLEAN) or self._can_run(method, pictures.name, pair, light):
                            yield self._job(method, pictures.name, pair, light, path)

    def _can_run(self, method: Method, set_name: str, pair: Pair, light: Light) -> bool:
        """In bad light only with a clean picture to compare with, which is not there if the method failed."""
        return method.runs and (light == CLEAN or self._made(method, set_name, pair, CLEAN).is_file())

    def _pictures_of(self, method: Method, pictures: PictureSet) -> dict[str, Path]:
        try:
            found, extra = pictures_of(method, pictures)
        except PairingError as error:
            self.results.failures.append(f"{method.name}, {pictures.name}: {error}")
            return {}
        if extra:
            self.results.coverage[method.name, pictures.name] = Coverage(len(pictures.pairs), extra=extra)
        return found

    def _job(self, method: Method, set_name: str, pair: Pair, light: Light, path: Path | None) -> Job:
        made = self._made(method, set_name, pair, light)
        clean = self._made(method, set_name, pair, CLEAN) if self.lights and method.runs else None
        metrics = self.metrics
        return Job(method, set_name, pair, light, path or made, path is None, clean, metrics, self.plan.convention)

    def _made(self, method: Method, set_name: str, pair: Pair, light: Light) -> Path:
        return self.output / "fused" / method.slug / f"{set_name}{light.folder}" / f"{pair.name}.png"

    def _is_kept(self, job: Job, ledger: Ledger) -> bool:
        """Whether nothing is to be done for a job. A picture that is there is not made again, only scored."""
        if not self._is_made(job, ledger):
            return False
        return {*_keys(job), LIKENESS} <= ledger.scores(self._score_key(job)).keys()

    def _is_made(self, job: Job, ledger: Ledger) -> bool:
        if not job.fuse:
            return True
        key, sha256 = ledger.picture(self._name(job))
        return key == self._fuse_key(job) and job.picture.is_file() and file_checksum(job.picture) == sha256

    def _name(self, job: Job) -> str:
        return str(job.picture.relative_to(self.output))

    def _fuse_key(self, job: Job) -> str:
        light = [] if job.light == CLEAN else [*map(str, job.light), job.pair.name, self._lighting]
        return checksum(job.method.identity, file_checksum(job.pair.a), file_checksum(job.pair.b), *light)

    def _score_key(self, job: Job) -> str:
        pictures = [job.picture, job.pair.a, job.pair.b, *([job.clean] if job.clean else [])]
        return checksum(
            *map(file_checksum, pictures), job.convention, self._scoring, *([self._lighting] if job.clean else [])
        )

    def _collect(self, todo: Sequence[Job], ledger: Ledger) -> Iterator[None]:
        """Do the jobs and write down each result as it comes."""
        steps = [replace(job, fuse=False) if job.fuse and self._is_made(job, ledger) else job for job in todo]
        for job, done in in_processes(work, steps, self.jobs):
            if done.scores is None:
                where = f"{job.method.name}, {job.set}{job.light.folder}, {job.pair.name}"
                self.results.failures.append(f"{where}: {done.failure}")
            else:
                if job.fuse:
                    ledger.add_picture(self._name(job), self._fuse_key(job), done.picture)
                    self.results.fused += 1
                ledger.add_scores(self._score_key(job), done.scores)
                self.results.scored += 1
            yield

    def _gather(self, job: Job, ledger: Ledger) -> None:
        if not self._is_kept(job, ledger):
            return
        scores = ledger.scores(self._score_key(job))
        content = job.method.content if job.fuse else file_checksum(job.picture)
        for key in _keys(job):
            self.results.rows.append(
                Row(job.method.name, job.set, *job.light, job.pair.name, key, scores[key], content[:12])
            )
        if job.light == CLEAN:
            self.results.pictures[job.method.name, job.set, job.pair.name] = job.picture
            if job.method.kind == "folder" and scores[LIKENESS] < 0.5:
                self._note_unlike(job)

    def _note_unlike(self, job: Job) -> None:
        former = self.results.coverage.get((job.method.name, job.set), Coverage(0))
        self.results.coverage[job.method.name, job.set] = replace(former, unlike=(*former.unlike, job.picture.name))

    def _gather_published(self) -> None:
        """The numbers of `scores` files, of the pictures that the plan chose."""
        painted = {(method, set_name) for method, set_name, _ in self.results.pictures}
        for method in (m for m in self.methods if m.published):
            for pictures in (one for one in self.sets if (method.name, one.name) not in painted):
                file = Path(method.published.replace("{set}", pictures.name))
                table = read_scores(file).get(method.name, {}) if file.is_file() else {}
                for pair in pictures.pairs:
                    values = numbers(table.get(pair.name, {}), self.metrics, self.plan.convention, file)
                    where = method.name, pictures.name, *CLEAN, pair.name
                    self.results.rows += [Row(*where, k, v, file_checksum(file)[:12]) for k, v in values.items()]

    def _cover(self) -> None:
        """Which pictures are missing, now that all is done that could be done."""
        scored: dict[tuple[str, str], set[str]] = {}
        for method_name, set_name, image in self.results.pictures:
            scored.setdefault((method_name, set_name), set()).add(image)
        for row in self.results.rows:
            if row.light == CLEAN.kind:
                scored.setdefault((row.method, row.set), set()).add(row.image)
        for method in self.methods:
            for pictures in self.sets:
                where = method.name, pictures.name
                names = [pair.name for pair in pictures.pairs]
                missing = tuple(name for name in names if name not in scored.get(where, set()))
                former = self.results.coverage.get(where, Coverage(0))
                self.results.coverage[where] = replace(former, expected=len(names), missing=missing)


def _keys(job: Job) -> tuple[str, ...]:
    """What a job scores."""
    return job.metrics if job.clean is None else (*job.metrics, *(curve.key for curve in KEEPS))


def in_processes(
    work: Callable[[Task], Outcome], jobs: Sequence[Task], processes: int
) -> Iterator[tuple[Task, Outcome]]:
    """Do jobs and give each with what became of it, in whatever order they end."""
    if processes == 1 or len(jobs) < 2:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in several processes: the same bytes
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
            "A process of the run ended by itself, most likely for want of memory.\n"
            "What is done is kept: start again with fewer --jobs."
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def tidy(results: Results, convention: str) -> str:
    """All scores as CSV, one line a method, set, light, image and metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*Row._fields, "convention", "version"])
    for row in results.rows:
        writer.writerow([*row[:6], repr(row.value), row.sha256, convention, refinefuse.__version__])
    return text.getvalue()
