"""Lets the tests import `rigs` and `scenes`, and one rig for all of them."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "alignment")]


@pytest.fixture(scope="session")
def rig_frames():
    """Eight frames of a rig with another focal length, a rotation, a shift and barrel distortion; and the truth."""
    from rigs import SIZE, seen
    from scenes import motion

    return seen(motion(SIZE, (12, -8), 2.5, 0.8), k1=-0.15)
