"""`refinefuse rig calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refinefuse.rig.model import Rig

EXAMPLES = """\
  refinefuse rig calibrate ir/ vis/ -o rig.json
  refinefuse rig calibrate ir.mp4 vis.mp4 -o rig.json --distance 30
  refinefuse rig calibrate ir_near/ vis_near/ -o rig2.json --rig rig.json --distance 3
"""


@dataclass
class ResultArguments:
    """Result.

    Attributes:
        output: Rig file (.json).
        overwrite: Replace an existing file.
    """

    output: Path
    overwrite: bool = False


@dataclass
class CalibrationArguments:
    """Calibration.

    Attributes:
        frames: Maximum number of frame pairs to use, spread evenly over the sources.
        distance: Distance of the scenes in meters, for a rig to be used at several distances.
        rig: Existing rig: learn from these frames, taken at another distance, only how the images shift with distance.
        lens_a: OpenCV calibration or ROS camera_info file of camera A; without it, its distortion is estimated.
        lens_b: The same for camera B.
    """

    frames: int = 40
    distance: float | None = None
    rig: Path | None = None
    lens_a: Path | None = None
    lens_b: Path | None = None


def run(a: str, b: str, *, results: ResultArguments, calibration: CalibrationArguments) -> int:
    """Calibrate two cameras on one mount from frames of ordinary scenes.

    Both cameras must have taken the frames at the same times. If the frames do not determine the rig, nothing is
    written and the exit code is 1.

    Args:
        a: Folder of frames or video of the thermal camera.
        b: Folder of frames or video of the visible camera, in any size.
        results: Where the rig goes.
        calibration: How the rig is estimated.
    """
    from refinefuse.atomic import check_writable
    from refinefuse.errors import InputError, check_field
    from refinefuse.rig.calibrate import FEWEST, calibrate_rig
    from refinefuse.rig.convert import load_lens
    from refinefuse.rig.frames import read_frames
    from refinefuse.rig.model import load_rig

    check_writable(results.output, overwrite=results.overwrite)
    check_field(calibration.frames >= FEWEST, "frames", f"{FEWEST} or more", calibration.frames)
    if calibration.rig is not None and (calibration.distance is None or calibration.lens_a or calibration.lens_b):
        raise InputError("--rig needs --distance (of these frames) and excludes --lens-a and --lens-b.")
    before = None if calibration.rig is None else load_rig(calibration.rig)
    lenses = [None if path is None else load_lens(path) for path in (calibration.lens_a, calibration.lens_b)]
    if before is not None:
        lenses = [before.lens_moving, before.lens_fixed]
    pairs = read_frames(a, b, calibration.frames)
    rig = calibrate_rig(pairs, lens_a=lenses[0], lens_b=lenses[1], distance=calibration.distance)
    print(describe(rig))
    if before is not None and calibration.distance is not None:
        rig = before.with_parallax(rig.matrix, calibration.distance)
    rig.save(results.output, overwrite=results.overwrite)
    print(f"Saved '{results.output}'.")
    return 0


def describe(rig: Rig) -> str:
    """Describe the accuracy of a calibration, with the expected error by position."""
    quality = rig.quality
    if quality is None:
        return "This rig comes from another program, so its quality is unknown."
    rows = ("  ".join("    -" if one is None else f"{one:5.2f}" for one in row) for row in quality.error_map)
    return (
        f"{quality.frames} pairs of frames; corners are known to about {quality.corner_error:.1f} pixels, edges are "
        f"{quality.residual:.1f} pixels apart at a typical position.\n"
        "Expected error by position in B, in pixels (-: no data of A):\n" + "\n".join(rows)
    )
