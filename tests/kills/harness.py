"""Runs that are killed at random moments, and what is wrong after it. `run.py` has the kinds of runs.

SIGKILL hits the process alone, as the kernel does it when memory is short; SIGTERM and SIGINT hit its process group, as
`timeout`, Slurm, systemd and a terminal do it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS_TO_END = 120


class Runs(ABC):
    """Runs of one command over old results, or over none; a subclass makes the sources and says what is run.

    Attributes:
        folder: to work in.
        old: the bytes of the old results, by their names.
        whole: those of a run that nothing disturbed.
        seconds: that such a run takes.
        longest: seconds of work that a kill lost at most, where it may lose only so much.
    """

    folder: Path
    old: dict[str, bytes]
    whole: dict[str, bytes]
    seconds: float
    longest = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.make_sources()
        self.make_old()
        self.old = self.results()
        self.seconds = self.undisturbed()
        self.whole = self.results()

    @property
    @abstractmethod
    def command(self) -> Sequence[str]:
        """The words after `refinefuse`."""

    @abstractmethod
    def make_sources(self) -> None:
        """Write what is read."""

    @abstractmethod
    def make_old(self) -> None:
        """Write other results to where the new ones will be."""

    @abstractmethod
    def files(self) -> list[Path]:
        """The results that are there now."""

    def results(self) -> dict[str, bytes]:
        """Their bytes."""
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.files()}

    def put_back(self) -> None:
        """Put the old results where the new ones will be."""
        for path in self.files():
            path.unlink()
        for name, content in self.old.items():
            (self.folder / name).write_bytes(content)

    def is_same(self, one: bytes, other: bytes) -> bool:
        """Whether two files hold the same result."""
        return one == other

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a run, with further arguments, in a process of its own."""
        command = [sys.executable, "-m", "refinefuse", *self.command, *words]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a process group of its own
        )

    def undisturbed(self, *words: str) -> float:
        """Run to the end, and return the seconds that it took."""
        begin = time.monotonic()
        if self.start(*words).wait(timeout=600):
            raise RuntimeError("the undisturbed run failed")
        return time.monotonic() - begin

    def kill(self, number: signal.Signals, after: float) -> list[str]:
        """Kill a run, then run again; what is wrong."""
        self.put_back()
        running = self.start()
        time.sleep(after)
        os.kill(running.pid if number == signal.SIGKILL else -running.pid, number)
        moment = time.time()
        wrong = []
        try:
            running.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            wrong.append(f"it had not ended {SECONDS_TO_END} s after the signal")
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        wrong += self.lost_work(moment)
        if not self._is_old_or_whole():
            wrong.append("an old result is gone and the new one is not complete")
        if number != signal.SIGKILL and self.leftovers():
            wrong.append("a temporary file stayed")
        self.undisturbed()
        found = self.results()
        if found.keys() != self.whole.keys() or not all(self.is_same(found[n], self.whole[n]) for n in found):
            wrong.append("the next run gives other results")
        if self.leftovers():
            wrong.append("the next run did not remove what was left")
        return wrong

    def lost_work(self, moment: float) -> list[str]:
        """What a run that was killed at a moment lost beyond what it may."""
        return []

    def _is_old_or_whole(self) -> bool:
        found = self.results()
        known = [{n: of[n] for n in found if n in of} for of in (self.old, self.whole)]
        return self.old.keys() <= found.keys() <= self.old.keys() | self.whole.keys() and all(
            any(name in of and self.is_same(content, of[name]) for of in known) for name, content in found.items()
        )

    def leftovers(self) -> list[Path]:
        """Temporary files."""
        return list(self.folder.rglob(".refinefuse-*.tmp"))
