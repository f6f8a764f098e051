"""Run the engine in a separate process, so that the studio survives a crash of it."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from refinefuse.errors import RefineFuseError
from refinefuse.studio.options import Kind, Options

_POLL, _PATIENCE = 0.1, 15.0  # seconds between polls, and seconds that a canceled job may take to stop
_STOPPED = (
    "The engine stopped while it worked on these files: this machine has too little memory for them, or a file is "
    "damaged. Try smaller files, or export them again."
)


class WorkerError(RefineFuseError):
    """A job failed; the message is meant for the user."""


class Canceled(KeyboardInterrupt):
    """The user canceled the job.

    Args:
        result: partial result, if usable.
    """

    def __init__(self, result: dict[str, Any] | None = None) -> None:
        super().__init__(result)
        self.result = result


@dataclass(frozen=True)
class Task:
    """Description of a job for the engine."""

    kind: Kind
    folder: Path
    options: Options
    weights: str


@dataclass(frozen=True)
class Report:
    """Report on a job: its progress or its result."""

    done: int = 0
    total: int | None = None
    result: dict[str, Any] | None = None


class Worker:
    """A process that runs jobs one by one. It is started for the first job, and restarted after it has ended.

    Args:
        threads: number of CPU threads; 0 means all available to this process.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads
        self._spawn = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._stop = self._spawn.Event()

    def run(self, task: Task, on_report: Callable[[Report], None], is_canceled: Callable[[], bool]) -> None:
        """Run a job and block until it ends.

        Args:
            task: the job.
            on_report: called with each report.
            is_canceled: returns whether the job should stop.

        Raises:
            WorkerError: the job failed.
            Canceled: the job was canceled.
        """
        connection = self._start()
        self._stop.clear()
        connection.send(task)
        deadline: float | None = None
        try:
            while True:
                if is_canceled() and deadline is None:
                    self._stop.set()
                    deadline = time.monotonic() + _PATIENCE
                if deadline is not None and time.monotonic() > deadline:
                    self.close()
                    raise Canceled
                if connection.poll(_POLL):
                    message = connection.recv()
                    if not isinstance(message, Report):
                        return self._end(message)
                    on_report(message)
        except (EOFError, OSError):
            self.close()
            raise (Canceled() if is_canceled() else WorkerError(_STOPPED)) from None

    @staticmethod
    def _end(message: BaseException | None) -> None:
        if message is not None:
            raise message

    def _start(self) -> Connection:
        if self._process is None or self._connection is None or not self._process.is_alive():
            self.close()
            self._connection, theirs = self._spawn.Pipe()
            self._process = self._spawn.Process(target=_serve, args=(theirs, self._stop, self._threads), daemon=True)
            self._process.start()
            theirs.close()
        return self._connection

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._connection = None


def _serve(connection: Connection, stop: Any, threads: int) -> None:
    """Main loop of the process: receive jobs and send reports until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the studio handles Ctrl-C and then ends this process
    import cv2
    from tqdm import tqdm

    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.inference.resources import limit_threads
    from refinefuse.studio.tasks import run_task

    tqdm.set_lock(threading.RLock())  # tqdm's own multiprocessing lock would leak when this process is killed
    retain_freed_memory()
    cv2.setNumThreads(limit_threads(threads))

    def report(message: Report) -> None:
        if stop.is_set():
            raise Canceled
        connection.send(message)

    with suppress(EOFError, OSError):
        while True:
            task = connection.recv()
            outcome: BaseException | None = None
            try:
                run_task(task, report)
            except Canceled as error:
                outcome = Canceled(error.result)
            except RefineFuseError as error:
                outcome = WorkerError(str(error))
            except MemoryError:
                outcome = WorkerError("This machine has too little memory for these files. Try smaller ones.")
            except Exception as error:
                outcome = WorkerError(f"Something went wrong in the engine: {type(error).__name__}: {error}")
            connection.send(outcome)
