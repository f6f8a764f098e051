"""Give damaged files to the readers, each in a process that may die, and say what became of each of them.

The rule for every reader, whatever it is given: a `RefineFuseError` or a result; no other exception, no signal, at most
`SECONDS` and `MEMORY`, and nothing left behind: no open file, no thread, no file.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mutations import mutate
from readers import READERS, Reader

SECONDS = 30.0
MEMORY = 1 << 30  # bytes, beyond what the process needs for a sound file


class FuzzResult(NamedTuple):
    """What became of one input: `result` and `refused` are right, every other kind is a defect."""

    kind: str
    detail: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the reader kept to the rule."""
        return self.kind in ("result", "refused")


class Worker:
    """A process that reads files; started anew when it has died."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(self.name, other), daemon=True)
        self.process.start()
        other.close()

    def read(self, path: Path) -> FuzzResult:
        """What becomes of a file."""
        try:
            self.pipe.send(path)
            if self._answers():
                outcome: FuzzResult = self.pipe.recv()
                if outcome.kind == "memory":
                    self._restart()
                return outcome
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            self._start()
            return FuzzResult("signal", signal.Signals(-code).name if code < 0 else f"exit {code}")
        self._restart()
        return FuzzResult("hang", f"over {SECONDS:g} s")

    def _answers(self) -> bool:
        """Whether it answers before it has worked for `SECONDS`; on a busy machine it may wait for longer."""
        end = self._worked() + SECONDS
        return next((ready for _ in range(20) if (ready := self.pipe.poll(SECONDS)) or self._worked() > end), False)

    def _worked(self) -> float:
        """Seconds of a processor that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _restart(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(name: str, pipe: Connection) -> None:
    """The loop of a worker. What its first file makes libraries open for good (caches, pools) is no leak."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders print about damaged files
    reader, baseline = READERS[name], 0
    while True:
        path = pipe.recv()
        before = _resources(path.parent)
        outcome = _read(reader, path)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        after = _settled(path.parent, before) if baseline else before
        baseline = baseline or peak
        if peak - baseline > MEMORY:
            outcome = FuzzResult("memory", f"{(peak - baseline) / 2**20:.0f} MB; {outcome.detail}")
        elif after != before:
            outcome = FuzzResult("leak", f"{sorted(after ^ before)}; {outcome.detail}")
        pipe.send(outcome)


def _read(reader: Reader, path: Path) -> FuzzResult:
    from refinefuse.errors import RefineFuseError

    try:
        reader.read(path)
    except RefineFuseError as error:
        return FuzzResult("refused", str(error).partition("\n")[0])
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in where if "refinefuse" in frame.filename] or where
        position = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return FuzzResult("other", f"{type(error).__name__}: {str(error)[:200]} ({position})")
    return FuzzResult("result")


def _resources(folder: Path) -> set[str]:
    """Open files of the process, its threads, and the files of the folder."""
    fds = {f"open {link.readlink()}" for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    names = {f"file {entry.name}" for entry in folder.iterdir()}
    threads = {f"thread {thread.name}" for thread in threading.enumerate()}
    return {item for item in fds if "/proc/" not in item and "memfd" not in item} | names | threads


def _settled(folder: Path, before: set[str]) -> set[str]:
    """The resources after reading; threads and files that are about to go get a second for it."""
    for _ in range(20):
        after = _resources(folder)
        if after <= before:
            return before
        time.sleep(0.05)
    return after


def fuzz(name: str, count: int, seed: int, keep: Path | None = None) -> Iterator[FuzzResult]:
    """The outcomes of `count` damaged files for one reader; inputs that fail are kept in `keep`."""
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        seeds = []
        for index, make in enumerate(reader.seeds):
            path = Path(folder, f"seed{index}{reader.suffix}")
            make(path)
            seeds.append(path.read_bytes())
            path.unlink()
        worker = Worker(name)
        try:
            for data in seeds:
                outcome = _one(worker, reader, Path(folder), data)
                if outcome.kind != "result":
                    raise AssertionError(f"{name}: the undamaged file was not read: {outcome}")
            for number in range(count):
                rng = np.random.default_rng((seed, number))
                data = mutate(seeds[number % len(seeds)], rng, seeds)
                outcome = _one(worker, reader, Path(folder), data)
                if keep is not None and not outcome.is_right:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{name}-{seed}-{number}{reader.suffix}").write_bytes(data)
                yield outcome
        finally:
            worker.close()


def _one(worker: Worker, reader: Reader, folder: Path, data: bytes) -> FuzzResult:
    inside = folder / "input"
    inside.mkdir()
    path = inside / f"{reader.stem}{reader.suffix}"
    path.write_bytes(data)
    try:
        return worker.read(path)
    finally:
        for entry in inside.iterdir():
            entry.unlink()
        inside.rmdir()
