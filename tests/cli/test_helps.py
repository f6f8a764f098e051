"""Help texts are the recorded ones: whoever changes one sees it in the diff. `make snapshots` records them anew."""

import sys

import pytest
from helps import FOLDER, help_of, recorded_path

from refinefuse.cli import COMMANDS


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse prints options in another form")
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_the_recorded_one(command, monkeypatch):
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.setenv(name, "")  # so that they are put back
    assert help_of(command) == recorded_path(command).read_text(encoding="utf-8")


def test_every_recorded_help_is_of_a_command():
    assert set(FOLDER.iterdir()) == {recorded_path(command) for command in ("", *COMMANDS)}


def test_every_help_fits_a_screen():
    assert {path.name: lines for path in FOLDER.iterdir() if (lines := len(path.read_text().splitlines())) > 60} == {}
