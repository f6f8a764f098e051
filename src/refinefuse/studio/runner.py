"""Run the jobs: short and long ones in separate processes, so that images do not wait for videos."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from refinefuse.studio.jobs import FairQueue, Job, JobStore, RefusedError
from refinefuse.studio.options import Kind, Options
from refinefuse.studio.worker import Canceled, Report, Task, Worker, WorkerError
from refinefuse.weights.store import DEFAULT, MEDICAL, shipped

_CLEANING = 60.0  # seconds between removals of old jobs


class Lane:
    """One worker and its queue."""

    def __init__(self, threads: int) -> None:
        self.queue, self.worker = FairQueue(), Worker(threads)
        self._news = asyncio.Event()

    def put(self, job: Job) -> None:
        """Queue a job."""
        self.queue.put(job)
        self._news.set()

    async def take(self) -> Job:
        """Wait for the next job."""
        while (job := self.queue.take()) is None:
            self._news.clear()
            await self._news.wait()
        return job


class Runner:
    """Start, cancel and clean up jobs.

    Args:
        store: store of the jobs.
        weights: additional weights files by display name.
        threads: number of CPU threads per process; 0 means all available to this process.
    """

    def __init__(self, store: JobStore, weights: dict[str, str], threads: int = 0) -> None:
        self.store, self.weights = store, weights
        self._short, self._long = Lane(threads), Lane(threads)
        self._tasks: list[asyncio.Task[None]] = []

    def names(self) -> list[str]:
        """Return the names of the available weights."""
        return [*shipped(), *self.weights]

    def start(self) -> None:
        """Start processing jobs."""
        work = [self._work(lane) for lane in (self._short, self._long)]
        self._tasks = [asyncio.create_task(one) for one in (*work, self._clean())]

    async def close(self) -> None:
        """Stop all jobs and workers."""
        for job in self.store.all():
            job.is_canceled = True
        for lane in (self._short, self._long):
            lane.worker.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def enqueue(self, job: Job, options: Options) -> None:
        """Queue a job.

        Raises:
            RefusedError: the job is running, has an unknown option, or too many jobs are queued.
        """
        if job.state in ("waiting", "running"):
            raise RefusedError(409, "This job is running. Cancel it first.")
        if options.weights and options.weights not in self.names():
            raise RefusedError(422, f"There are no weights with this name. Choose one of: {', '.join(self.names())}.")
        if len(self._short.queue) + len(self._long.queue) >= self.store.limits.waiting:
            raise RefusedError(429, "Too many jobs are waiting. Try again in a while.")
        job.options, job.state, job.message, job.result = options, "waiting", "", {}
        job.done, job.total, job.is_canceled, job.runs = 0, None, False, job.runs + 1
        self._lane(job.kind).put(job)

    def ahead(self, job: Job) -> int:
        """Return the number of jobs ahead of this one."""
        return self._lane(job.kind).queue.ahead(job)

    async def cancel(self, job: Job) -> None:
        """Stop a job and wait until it has stopped."""
        job.is_canceled = True
        while job.state == "running":
            await asyncio.sleep(0.05)
        if job.state == "waiting":
            self._lane(job.kind).queue.remove(job)
            job.state = "canceled"

    def _lane(self, kind: Kind) -> Lane:
        return self._short if kind == "images" else self._long

    async def _work(self, lane: Lane) -> None:
        while True:
            job = await lane.take()
            job.state = "running"
            await self._run(lane, job)

    async def _run(self, lane: Lane, job: Job) -> None:
        name = job.options.weights or (MEDICAL if job.kind == "volumes" else DEFAULT)
        task = Task(job.kind, job.folder, job.options, self.weights.get(name, name))
        loop = asyncio.get_running_loop()

        def report(message: Report) -> None:  # called in the thread that waits for the worker
            loop.call_soon_threadsafe(_update, job, message)

        try:
            await asyncio.to_thread(lane.worker.run, task, report, lambda: job.is_canceled)
            job.state = "done"
        except WorkerError as error:
            job.state, job.message = "failed", str(error)
        except Canceled as error:
            job.state, job.result = "canceled", error.result or {}

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(_CLEANING)
            with suppress(OSError):
                self.store.remove_old()


def _update(job: Job, report: Report) -> None:
    job.done, job.total = report.done, report.total
    if report.result is not None:
        job.result = report.result
