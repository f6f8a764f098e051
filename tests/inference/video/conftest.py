"""A small network and a pair of small videos."""

import numpy as np
import pytest
from clips import scene, write_video

from refinefuse import Fuser, NetworkConfig, RefineFuse


@pytest.fixture(scope="session")
def fuser():
    """An untrained small network: it returns the average of the sources."""
    config = NetworkConfig(channels=(4, 6), num_heads=2, context_size=8, context_channels=4)
    return Fuser(RefineFuse.from_config(config), device="cpu")


@pytest.fixture
def pair(tmp_path):
    """Two videos without loss of 12 frames: gray and YUV 4:2:0."""
    gray = [scene(index) for index in range(12)]
    color = [np.stack([scene(index, seed=seed) for seed in (1, 2, 3)], -1) for index in range(12)]
    return (
        write_video(tmp_path / "ir.mkv", gray),
        write_video(tmp_path / "vi.mkv", color, pixel_format="yuv420p"),
    )
