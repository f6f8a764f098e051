"""Runs that are killed at random moments over an old result, and what is wrong after it. See `run.py`, `volumes.py`."""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Runs(ABC):
    """Runs over one old result; a subclass sets these.

    Attributes:
        folder: to work in.
        old: the bytes of the old result.
        whole: those of a run that nothing disturbed.
        seconds: that such a run takes.
    """

    folder: Path
    old: bytes
    whole: bytes
    seconds: float

    @abstractmethod
    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a run, with further arguments, in a process of its own."""

    @abstractmethod
    def put_back(self) -> None:
        """Put the old result where the new one will be."""

    @abstractmethod
    def result(self) -> bytes:
        """What is there now."""

    def undisturbed(self, *words: str) -> float:
        """Run to the end, and return the seconds that it took."""
        begin = time.monotonic()
        if self.start(*words).wait(timeout=300):
            raise RuntimeError("the undisturbed run failed")
        return time.monotonic() - begin

    def kill(self, number: signal.Signals, after: float) -> list[str]:
        """Kill a run, then run again; what is wrong."""
        self.put_back()
        running = self.start()
        time.sleep(after)
        running.send_signal(number)
        running.wait(timeout=60)
        wrong = []
        if self.result() not in (self.old, self.whole):
            wrong.append("the old result is gone and the new one is not complete")
        if number != signal.SIGKILL and self.leftovers():
            wrong.append("a temporary file stayed")
        self.undisturbed()
        if self.result() != self.whole:
            wrong.append("the next run gives other bytes")
        if self.leftovers():
            wrong.append("the next run did not remove what was left")
        return wrong

    def leftovers(self) -> list[Path]:
        """Temporary files."""
        return list(self.folder.rglob(".refinefuse*"))


def report(description: str, make: Callable[[Path], Sequence[Runs]]) -> int:
    """Kill runs as the command line says, by each signal in turn, and print a table.

    Args:
        description: of the script.
        make: the runs, which may work in a folder.

    Returns:
        The exit code: 1 if anything is wrong.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    kills: Counter[str] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        runs = make(Path(folder))
        for index in range(options.kills):
            number, run = SIGNALS[index % 3], runs[index // 3 % len(runs)]
            for failure in run.kill(number, random.uniform(0.3, 1) * run.seconds):
                wrong[number.name, failure] += 1
            kills[number.name] += 1
    print(f"{'signal':<10}{'kills':>8}{'failures':>10}")
    for name, count in kills.items():
        print(f"{name:<10}{count:>8}{sum(times for (one, _), times in wrong.items() if one == name):>10}")
    for (name, failure), times in wrong.items():
        print(f"  {times} x {name}: {failure}")
    return int(bool(wrong))
