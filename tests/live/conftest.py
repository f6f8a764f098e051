"""A small network, and the folder of helpers."""

import sys
from pathlib import Path

import pytest

from refinefuse import Fuser, NetworkConfig, RefineFuse

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "alignment")]


@pytest.fixture(scope="session")
def fuser():
    """An untrained small network: it returns the average of the sources."""
    config = NetworkConfig(channels=(4, 6), num_heads=2, context_size=8, context_channels=4)
    return Fuser(RefineFuse.from_config(config), device="cpu")
