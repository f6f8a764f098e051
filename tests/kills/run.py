"""Kill runs at random moments: `python tests/kills/run.py --kills 30`. Prints a row per signal and what went wrong.

Each run writes over an old result. Whatever kills it, the old file is there unchanged or the new one is complete; the
next run gives the bytes of a run that nothing disturbed, and removes what the killed one left.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from harness import Runs, report

sys.path.insert(0, str(Path(__file__).parents[1] / "inference" / "video"))

from clips import beep, scene, write_video

SUFFIXES = (".mp4", ".mkv", ".avi")


class VideoRuns(Runs):
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
        self.seconds = self.undisturbed()
        self.whole = self.result()
        codec = "ffv1" if suffix == ".avi" else "libx264"
        write_video(self.output, frames[:3], codec=codec, pixel_format="yuv420p")
        self.old = self.result()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A run in a process of its own."""
        given = ["video", "a.mkv", "b.mp4", "-o", self.output.name, "--overwrite", "--quiet", *words]
        command = [sys.executable, "-m", "refinefuse", *given, "--weights", "infrared-visible-small"]
        return subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)

    def put_back(self) -> None:
        """Put the old video where the new one will be."""
        self.output.write_bytes(self.old)

    def result(self) -> bytes:
        """The bytes of the video."""
        return self.output.read_bytes()


if __name__ == "__main__":
    sys.exit(report(__doc__, lambda folder: [VideoRuns(folder / suffix[1:], suffix) for suffix in SUFFIXES]))
