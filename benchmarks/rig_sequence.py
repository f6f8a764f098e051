"""How far edges of two cameras lie apart on a real sequence, before and after a calibration from it.

Usage: python benchmarks/rig_sequence.py IR VIS [IR VIS ...]

Folders paired by name, or videos. Half of the frames calibrate, the others measure: the median and the 90th percentile
of the shifts that cells of the image show, in pixels of `b`.
"""

from __future__ import annotations

import sys

import numpy as np

from refinefuse.errors import AlignmentError
from refinefuse.rig.calibrate import calibrate_rig, to_lumas
from refinefuse.rig.cells import FINE, CellSurfaces
from refinefuse.rig.frames import read_frames
from refinefuse.rig.model import LensTransform

FRAMES, SURE = 40, 12.0


def residual(frames: list[tuple[np.ndarray, np.ndarray]], transform: LensTransform) -> str:
    """Median and 90th percentile of the shifts of all cells that are sure of theirs."""
    matches = CellSurfaces(to_lumas(frames), transform, FINE).matches()
    shifts = np.linalg.norm(matches.shifts[matches.scores >= SURE], axis=1)
    return f"{np.median(shifts):.2f} and {np.percentile(shifts, 90):.2f} px in {len(shifts)} cells"


def main() -> None:
    """Print a line for each sequence."""
    names = sys.argv[1:]
    for a, b in zip(names[::2], names[1::2], strict=True):
        frames = read_frames(a, b, FRAMES)
        size_a, size_b = frames[0][0].shape[:2], frames[0][1].shape[:2]
        before = LensTransform("homography", size_a, size_b, np.eye(3))
        print(f"{b}: {len(frames)} frames, as they are {residual(frames[1::2], before)}", end="; ", flush=True)
        try:
            rig = calibrate_rig(frames[::2])
        except AlignmentError as error:
            print("refused:", str(error).splitlines()[1].strip())
            continue
        print(f"calibrated {residual(frames[1::2], rig.transform())}, expected {rig.quality.corner_error:.2f} px")


if __name__ == "__main__":
    main()
