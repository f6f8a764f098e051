"""Adapt messages of the engine to the page: no command-line options, no paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from refinefuse.errors import RefineFuseError
from refinefuse.inference.inspection import PairWarning, WarningKind

_ADVICE: dict[WarningKind, str] = {
    "alignment": "A and B are not aligned. Choose automatic alignment, or align them by hand",
    "order": "A is colored and B is gray: the images look swapped. Choose Swap A and B",
    "polarity": "A looks black-hot. If hot things are dark in it, say so under Hot things in A",
}
_OPTION = re.compile(r"--[a-z]|\brefinefuse [a-z]+|REFINEFUSE_[A-Z]")
_ASIDE = re.compile(r" \([^()]*--[a-z][^()]*\)")


def plain_warnings(warnings: Iterable[PairWarning]) -> list[str]:
    """Return the distinct warnings about a pair as sentences."""
    return list(dict.fromkeys(f"{_ADVICE.get(one.kind) or _plain(one.message)}." for one in warnings))


def plain_error(error: Exception, folder: Path) -> str:
    """Return an error message for the page, with file names instead of paths and without command-line options."""
    if not isinstance(error, RefineFuseError):
        return f"Something went wrong in the engine ({type(error).__name__}). Try other files, or report this."
    text = re.sub(rf"{re.escape(str(folder))}(?:/(?:out|a|b|transform))?/?", "", str(error))
    lines = [_plain(line) for line in text.splitlines()]
    return "\n".join(line for line in lines if line.strip())


def _plain(line: str) -> str:
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    line = _ASIDE.sub("", line).replace("`a`", "A").replace("`b`", "B")
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z])", line)
    return " ".join(sentence for sentence in sentences if not _OPTION.search(sentence))
