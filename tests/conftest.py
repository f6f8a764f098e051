"""Fixtures of all tests."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # how long an example takes is no property of the code
settings.load_profile("any machine")
torch.set_num_threads(1)  # the images are small: threads would only wait for each other


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real datasets; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("REFINEFUSE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "manifest.json").is_file():
        pytest.skip(
            f"the datasets are not at hand: no '{folder / 'manifest.json'}' (REFINEFUSE_DATA says where they lie)"
        )
    return folder
