"""Atomic file writing, used by every writer of the package.

A temporary file next to the target is created exclusively, with an unpredictable name, for this user only, so that a
planted file or link is never followed; it gets its final name and mode once it is complete.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from refinefuse.errors import InputError
from refinefuse.paths import as_path

_HAS_LOCKS = os.name == "posix"
if _HAS_LOCKS:
    import fcntl

_UMASK = os.umask(0o022)
os.umask(_UMASK)


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file beside `path`; it is removed when the block ends, unless it was published.

    A lock shows other processes that it is in use. Leftovers of killed processes are removed first.

    Raises:
        OSError: the system refuses to write.
    """
    _remove_leftovers(path.parent)
    temporary, lock = _create_locked(path)
    try:
        yield temporary
    finally:
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # fails on a read-only file system too; the first error is clearer
            temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Rename a complete temporary file to its final name, with the mode of new files.

    Raises:
        OSError: the system refuses.
    """
    temporary.chmod(0o666 & ~_UMASK)
    temporary.replace(path)


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file to write to; it becomes `path` when the block ends without an error.

    Raises:
        OSError: the system refuses to write. Use `atomic_path` for an error that a user can read.
    """
    with temporary_file(path) as temporary:
        yield temporary
        publish(temporary, path)


def _create_locked(path: Path) -> tuple[Path, int | None]:
    """Create a temporary file; also returns the descriptor that holds its lock, if the system supports locks."""
    while True:
        temporary = temporary_name(path)
        lock = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        if not _HAS_LOCKS:
            os.close(lock)
            return temporary, None
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_SH)
        if os.path.lexists(temporary):
            return temporary, lock
        os.close(lock)  # another process removed it as a leftover before it was locked


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove unlocked temporary files in a folder, once per process."""
    if not _HAS_LOCKS:
        return
    with suppress(OSError):
        for leftover in folder.glob(".refinefuse-*.tmp"):
            if leftover.is_symlink() or not leftover.is_file():
                continue
            with suppress(OSError), leftover.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while it is in use
                leftover.unlink()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Like `replace_when_done`, but creates the folder and raises readable errors.

    Raises:
        InputError: the system refuses to write.
    """
    try:
        as_path(path).parent.mkdir(parents=True, exist_ok=True)
        with replace_when_done(path) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(
            f"Cannot write '{path}': {error.strerror}.\nCheck the folder's permissions and the free disk space."
        ) from None


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with line endings as in `text`.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    write_atomic(path, text.encode())


def temporary_name(path: Path) -> Path:
    """Create a unique hidden name next to `path`."""
    return path.with_name(f".refinefuse-{secrets.token_hex(8)}.tmp")


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be written to a path, before any work is done.

    Raises:
        InputError: it is a folder, its folder cannot be created, or the file exists and `overwrite` is not set.
    """
    if as_path(path).is_dir():
        raise InputError(f"Cannot write '{path}': it is a folder.\nPass the name of a file in it.")
    above = next((folder for folder in path.parents if os.path.lexists(folder)), path.parent)
    if not above.is_dir():
        raise InputError(f"Cannot write '{path}': '{above}' is not a folder.\nChoose another folder.")
    if os.path.lexists(path) and not overwrite:
        raise InputError(
            f"Cannot write '{path}': the file already exists.\nUse `overwrite` to replace it, or choose another name."
        )
