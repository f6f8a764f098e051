"""One studio for all tests: its engine starts once."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the studio needs the extra web")
sys.path.insert(0, str(Path(__file__).parent))
from studio_in_process import Studio


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A studio that many tests use: its engine starts once."""
    with Studio(tmp_path_factory.mktemp("jobs")) as studio:
        yield studio


@pytest.fixture
def browser(shared):
    """A new user of the shared studio."""
    return shared()
