"""Pairs on disk, and the command line in this process or in one of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refinefuse.cli import main
from refinefuse.image.files import write_image

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Folders `ir` and `vi` with three small pairs of different extension."""
    generator = np.random.default_rng(0)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
    for name in ("1", "2", "10"):
        write_image(tmp_path / "ir" / f"{name}.png", generator.integers(0, 256, (24, 30), np.uint8))
        write_image(tmp_path / "vi" / f"{name}.bmp", generator.integers(0, 256, (24, 30, 3), np.uint8))
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run the command line here: exit code, standard output, standard error."""

    def call(*words) -> tuple[int, str, str]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def process():
    """Start the command line as a user does."""

    def start(*words, **options) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "refinefuse", *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    return start
