"""A small network and a pair of small videos."""

import numpy as np
import pytest
from clips import scene, write_video

from refinefuse import Fuser, NetworkConfig, RefineFuse


@pytest.fixture(scope="session")
def fuser():
    """An untrained small network: it returns the average of the sources."""
    config = NetworkConfig(widths=(4, 6), heads=2, grid=8, context_width=4)
    return Fuser(RefineFuse.from_config(config), device="cpu")


@pytest.fixture
def pair(tmp_path):
    """Two videos without loss of 12 frames: grey and YUV 4:2:0."""
    grey = [scene(index) for index in range(12)]
    colour = [np.stack([scene(index, seed=seed) for seed in (1, 2, 3)], -1) for index in range(12)]
    return (
        write_video(tmp_path / "ir.mkv", grey),
        write_video(tmp_path / "vi.mkv", colour, pixel_format="yuv420p"),
    )
