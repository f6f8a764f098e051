"""Checksums of everything that a result depends on."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import refinefuse
from refinefuse.errors import InputError


def checksum(*parts: str) -> str:
    """SHA-256 of several strings."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, cached until its size or modification time changes.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        state = path.stat()
        return _as_of(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.\nCheck the path.") from None


@lru_cache(maxsize=65536)
def _as_of(path: Path, _time: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=64)
def code_checksum(*packages: str) -> str:
    """Checksum of the source code of modules and packages of this project, to invalidate results when it changes."""
    root = Path(refinefuse.__file__).parent.parent
    files = []
    for package in packages:
        path = root.joinpath(*package.split("."))
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return checksum(*(file_checksum(file) for file in files))
