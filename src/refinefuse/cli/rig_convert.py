"""`refinefuse rig convert`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXAMPLES = """\
  refinefuse rig convert rig.json -o stereo.yml
  refinefuse rig convert rig.json -o thermal.yaml --ros visible.yaml
  refinefuse rig convert stereo.yml -o rig.json
  refinefuse rig convert thermal.yaml -o rig.json --ros visible.yaml
"""


@dataclass
class ConvertArguments:
    """Conversion.

    Attributes:
        output: File to write: .json for a rig, .yml or .xml for OpenCV.
        ros: ROS camera_info file of camera B; the other file is that of camera A.
        overwrite: Replace existing files.
    """

    output: Path
    ros: Path | None = None
    overwrite: bool = False


def run(rig: Path, *, conversion: ConvertArguments) -> int:
    """Convert a rig to or from the file formats of OpenCV and ROS.

    A .json file is read as a rig and converted; any other file is converted to a rig.

    Args:
        rig: Rig (.json), OpenCV stereo calibration, or with --ros the camera_info file of camera A.
        conversion: What is written.
    """
    from refinefuse.rig.convert import load_opencv, load_ros, save_opencv, save_ros
    from refinefuse.rig.model import load_rig

    output, ros, overwrite = conversion.output, conversion.ros, conversion.overwrite
    if rig.suffix.lower() != ".json":
        found = load_opencv(rig) if ros is None else load_ros(rig, ros)
        found.save(output, overwrite=overwrite)
    elif ros is None:
        save_opencv(load_rig(rig), output, overwrite=overwrite)
    else:
        save_ros(load_rig(rig), output, ros, overwrite=overwrite)
    print(f"Saved '{output}'.")
    return 0
