"""Kill runs at random moments: `python tests/kills/run.py --kills 30`. Prints a row per signal and what went wrong.

Each run writes over an old result. Whatever kills it, the old file is there unchanged or the new one is complete; the
next run gives the bytes of a run that nothing disturbed, and removes what the killed one left.
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

sys.path.insert(0, str(Path(__file__).parents[1] / "inference" / "video"))

from clips import beep, scene, write_video

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SUFFIXES = (".mp4", ".mkv", ".avi")


class VideoRuns:
    """Runs of `refinefuse video` over one old result.

    Args:
        folder: to work in.
        suffix: of the result.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.output = folder, folder / f"o{suffix}"
        folder.mkdir()
        frames = [np.dstack([scene(index, 240, 320, seed) for seed in (1, 2, 3)]) for index in range(60)]
        write_video(folder / "a.mkv", [frame[..., 0] for frame in frames])
        sounds = [("aac", beep(6, 1), 0, {})]
        write_video(folder / "b.mp4", frames, codec="libx264", pixel_format="yuv420p", sounds=sounds)
        self.seconds, self.whole = self.undisturbed()
        codec = "ffv1" if suffix == ".avi" else "libx264"
        write_video(self.output, frames[:3], codec=codec, pixel_format="yuv420p")
        self.old = self.output.read_bytes()

    def start(self) -> subprocess.Popen[bytes]:
        """A run in a process of its own."""
        words = ["video", "a.mkv", "b.mp4", "-o", self.output.name, "--overwrite", "--quiet"]
        command = [sys.executable, "-m", "refinefuse", *words, "--weights", "infrared-visible-small"]
        return subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)

    def undisturbed(self) -> tuple[float, bytes]:
        """Seconds that a whole run takes, and what it writes."""
        begin = time.monotonic()
        if self.start().wait(timeout=300):
            raise RuntimeError("the undisturbed run failed")
        return time.monotonic() - begin, self.output.read_bytes()

    def kill(self, number: signal.Signals, after: float) -> list[str]:
        """Kill a run, then run again; what is wrong."""
        self.output.write_bytes(self.old)
        running = self.start()
        time.sleep(after)
        running.send_signal(number)
        running.wait(timeout=60)
        wrong = []
        if self.output.read_bytes() not in (self.old, self.whole):
            wrong.append("the old file is gone and the new one is not complete")
        if number != signal.SIGKILL and self.leftovers():
            wrong.append("a temporary file stayed")
        if self.undisturbed()[1] != self.whole:
            wrong.append("the next run gives other bytes")
        if self.leftovers():
            wrong.append("the next run did not remove what was left")
        return wrong

    def leftovers(self) -> list[Path]:
        """Temporary files."""
        return list(self.folder.glob(".refinefuse*"))


def main() -> int:
    """Print the table; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    kills: Counter[str] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        runs = [VideoRuns(Path(folder, suffix[1:]), suffix) for suffix in SUFFIXES]
        for index in range(options.kills):
            number, run = SIGNALS[index % 3], runs[index // 3 % 3]
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
