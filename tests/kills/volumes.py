"""Kill volume runs at random moments: `python tests/kills/volumes.py --kills 30`. Prints a row per signal.

Each run writes over an old result, a NIfTI file or a DICOM folder. Whatever kills it, the old result is there
unchanged or the new one is complete; the next run gives the bytes of a run that nothing disturbed, and leaves nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import Runs, report

sys.path.insert(0, str(Path(__file__).parents[1]))

from series import CT_CLASS, head, write_series


class VolumeRuns(Runs):
    """Runs of `refinefuse volume` over one old result.

    Args:
        folder: to work in.
        output: the name of a NIfTI file, or of a folder for DICOM.
    """

    def __init__(self, folder: Path, output: str) -> None:
        self.folder, self.output = folder, output
        folder.mkdir()
        write_series(folder / "ct", head((96, 90, 24)) - 500, Modality="CT", SOPClassUID=CT_CLASS)
        write_series(folder / "mr", head((96, 90, 24), seed=1))
        self.undisturbed("--window", "bone")
        self.old = self.result()
        self.seconds = self.undisturbed()
        self.whole = self.result()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A run in a process of its own."""
        given = ["volume", "ct", "mr", "-o", self.output, "--overwrite", "--quiet", *words]
        return subprocess.Popen(
            [sys.executable, "-m", "refinefuse", *given], cwd=self.folder, stderr=subprocess.DEVNULL
        )

    def put_back(self) -> None:
        """Put the old result where the new one will be."""
        self.file().write_bytes(self.old)

    def file(self) -> Path:
        """The file of the result."""
        path = self.folder / self.output
        return path / "fused.dcm" if path.is_dir() else path

    def result(self) -> bytes:
        """The bytes of the result; empty if there is none."""
        return self.file().read_bytes() if self.file().is_file() else b""


if __name__ == "__main__":
    sys.exit(report(__doc__, lambda folder: [VolumeRuns(folder / name, name) for name in ("fused.nii.gz", "fused")]))
