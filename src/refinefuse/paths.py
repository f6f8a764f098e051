"""User-supplied paths."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from refinefuse.errors import InputError

_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
_SHOWN = 100


def as_path(path: str | os.PathLike[str]) -> Path:
    """Convert to a path that the system can look up, whether or not it exists.

    Raises:
        InputError: it contains a NUL character, is too long, or has a symbolic link loop.
    """
    found = Path(path)
    try:
        found.stat()
    except ValueError as error:  # a NUL character, or half of a surrogate pair
        raise _impossible(path, str(error)) from None
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            raise _impossible(path, error.strerror or str(error)) from None
    return found


def _impossible(path: str | os.PathLike[str], reason: str) -> InputError:
    name = os.fspath(path)
    shown = name if len(name) <= _SHOWN else f"{name[: _SHOWN // 2]}...{name[-_SHOWN // 2 :]}"
    return InputError(f"{shown!r} is not a valid path: {reason[0].lower()}{reason[1:]}.\nUse another path.")
