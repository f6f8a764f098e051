"""Write files whole or not at all, which every writer of the package does through here.

A temporary file beside the target is created exclusively, under a name that cannot be guessed, for this user alone, so
that a planted file or link is never followed; it gets its final name and mode only when it is complete.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refinefuse.errors import InputError

_UMASK = os.umask(0o022)
os.umask(_UMASK)


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file to write to; it becomes `path` when the block ends without an error.

    Raises:
        OSError: the system refuses to write. Use `atomic_path` for an error that a user can read.
    """
    temporary = temporary_name(path)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    finally:
        with suppress(OSError):  # a read-only file system refuses this too, and the first refusal says more
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Do as `replace_when_done`, in a folder that is created if need be, with an error that a user can read.

    Raises:
        InputError: the system refuses to write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_done(path) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(
            f"Cannot write '{path}': {error.strerror}.\nCheck the permissions of the folder and the space left."
        ) from None


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all, with line ends as in `text`.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    write_atomic(path, text.encode())


def temporary_name(path: Path) -> Path:
    """Make up a hidden name beside `path` that no other file has."""
    return path.with_name(f".refinefuse-{secrets.token_hex(8)}.tmp")


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Refuse a path to which no file can be written, whatever its format, before the work is done.

    Raises:
        InputError: it is a folder, there can be no folder for it, or the file exists and must not be replaced.
    """
    if path.is_dir():
        raise InputError(f"Cannot write '{path}': it is a folder.\nGive the name of a file in it.")
    above = next((folder for folder in path.parents if os.path.lexists(folder)), path.parent)
    if not above.is_dir():
        raise InputError(f"Cannot write '{path}': '{above}' is not a folder.\nChoose another folder.")
    if os.path.lexists(path) and not overwrite:
        raise InputError(
            f"Cannot write '{path}': the file exists.\nAllow it to be replaced (--overwrite), or choose another name."
        )
