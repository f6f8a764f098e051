"""Options and keys of version 0.1 that were renamed, to suggest the new name."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def renamed() -> dict[str, tuple[str, ...]]:
    """The new names of each old one, from `renamed.tsv`; several if the same key occurred in several kinds of file."""
    text = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8")
    return {old: tuple(new) for old, *new in (line.split("\t") for line in text.splitlines())}
