"""`refinefuse rig check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refinefuse.cli.session import to_stderr

EXAMPLES = """\
  refinefuse rig check ir_today/ vis_today/ --rig rig.json
  refinefuse rig check ir.mp4 vis.mp4 --rig rig.json --frames 60
"""


@dataclass
class CheckArguments:
    """Check.

    Attributes:
        rig: Rig file of these cameras.
        frames: Maximum number of frame pairs to use.
        distance: Distance of the scenes in meters; without it, that of the calibration.
    """

    rig: Path
    frames: int = 20
    distance: float | None = None


def run(a: str, b: str, *, check: CheckArguments) -> int:
    """Check on later frames whether a camera of a rig has moved.

    The exit code is 1 if one has.

    Args:
        a: Folder of frames or video of the thermal camera.
        b: Folder of frames or video of the visible camera.
        check: With what they are compared.
    """
    from refinefuse.errors import check_field
    from refinefuse.rig.check import check_rig, describe, require_known
    from refinefuse.rig.frames import read_frames
    from refinefuse.rig.model import load_rig

    check_field(check.frames >= 1, "frames", "1 or more", check.frames)
    rig = load_rig(check.rig)
    found = check_rig(rig, read_frames(a, b, check.frames), distance=check.distance)
    require_known(found)
    if found.has_moved:
        to_stderr(f"warning: {describe(found)}\nCalibrate again: refinefuse rig calibrate")
        return 1
    print(describe(found))
    return 0
