"""What `refinefuse --help` and the help of every command print; `python tests/cli/helps.py` records it anew."""

import contextlib
import io
import os
from pathlib import Path

from refinefuse.cli import COMMANDS, main

FOLDER = Path(__file__).parent / "helps"


def recorded_path(command):
    """The file of a command; that of the overview for an empty one."""
    return FOLDER / f"{command.replace(' ', '-') or 'refinefuse'}.txt"


def help_of(command):
    """The help as printed in a terminal of 100 columns."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    return printed.getvalue()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for one in ("", *COMMANDS):
        recorded_path(one).write_text(help_of(one), encoding="utf-8")
