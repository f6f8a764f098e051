"""Run other people's programs, and report their versions."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outputs import Outputs

_VERSION = re.compile(r"\d+(\.\d+)+|20\d{6,12}")


@dataclass(frozen=True)
class Client:
    """One program or library, and what it makes of our files.

    Attributes:
        name: as people call it.
        files: what it is given, in words.
        check: raises AssertionError with what is wrong, or returns what was compared, in words.
        program: its command and the words that let it print its version; empty: a Python library.
        package: of Debian, or of PyPI.
    """

    name: str
    files: str
    check: Callable[[Outputs], str]
    package: str
    program: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        """Whether it can run here."""
        return not self.program or shutil.which(self.program[0]) is not None

    @property
    def version(self) -> str:
        """Its version, or that of its package."""
        if not self.program:
            return version(self.package)
        shown = subprocess.run(self.program, capture_output=True, text=True, timeout=60)
        found = _VERSION.search((shown.stdout + shown.stderr).replace(self.program[0], ""))
        return found.group() if found else run("dpkg-query", "-W", "-f", "${Version}", self.package)


def run(*command: object, codes: tuple[int, ...] = (0,)) -> str:
    """What a program prints on both outputs.

    Raises:
        AssertionError: it ends with another code.
    """
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, timeout=180)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode in codes, f"{words[0]} ends with {done.returncode}: {text[-300:]}"
    return text
