"""Kill volume runs at random moments: `python tests/kills/volumes.py --kills 30`. Prints a row per signal.

Each run writes over an old result, a NIfTI file or a DICOM folder. Whatever kills it, the old result is there
unchanged or the new one is complete; the next run gives the bytes of a run that nothing disturbed, and leaves nothing.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from series import CT_CLASS, head, write_series

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class VolumeRuns:
    """Runs of `refinefuse volume` over one old result.

    Args:
        folder: to work in.
        output: the name of a NIfTI file, or of a folder for DICOM.
    """

    def __init__(self, folder: Path, output: str) -> None:
        self.folder, self.output = folder, output
        write_series(folder / "ct", head((96, 90, 24)) - 500, Modality="CT", SOPClassUID=CT_CLASS)
        write_series(folder / "mr", head((96, 90, 24), seed=1))
        self.undisturbed("--window", "bone")
        self.old = self.result()
        self.seconds = self.undisturbed()
        self.whole = self.result()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A run in a process of its own."""
        command = [
            sys.executable,
            "-m",
            "refinefuse",
            "volume",
            "ct",
            "mr",
            "-o",
            self.output,
            "--overwrite",
            "--quiet",
        ]
        return subprocess.Popen([*command, *words], cwd=self.folder, stderr=subprocess.DEVNULL)

    def result(self) -> bytes:
        """The bytes of the result; empty if there is none."""
        path = self.folder / self.output
        file = path / "fused.dcm" if path.is_dir() else path
        return file.read_bytes() if file.is_file() else b""

    def undisturbed(self, *words: str) -> float:
        """Seconds that a whole run takes."""
        begin = time.monotonic()
        if self.start(*words).wait(timeout=300):
            raise RuntimeError("the undisturbed run failed")
        return time.monotonic() - begin

    def kill(self, number: signal.Signals, after: float) -> list[str]:
        """Kill a run over the old result, then run again; what is wrong."""
        path = self.folder / self.output
        (path / "fused.dcm" if path.is_dir() else path).write_bytes(self.old)
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


def main() -> int:
    """Print the table; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    kills: Counter[str] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        runs = []
        for output in ("fused.nii.gz", "fused"):
            folder = Path(name, output)
            folder.mkdir()
            runs.append(VolumeRuns(folder, output))
        for index in range(options.kills):
            number, run = SIGNALS[index % 3], runs[index // 3 % 2]
            for failure in run.kill(number, random.uniform(0.3, 1) * run.seconds):
                wrong[number.name, failure] += 1
            kills[number.name] += 1
    print(f"{'signal':<10}{'kills':>8}{'failures':>8}")
    for name, count in kills.items():
        print(f"{name:<10}{count:>8}{sum(times for (one, _), times in wrong.items() if one == name):>8}")
    for (name, failure), times in wrong.items():
        print(f"  {times} x {name}: {failure}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
