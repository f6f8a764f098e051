"""Access files by path or URL: local files directly, all others through fsspec."""

from __future__ import annotations

import secrets
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from refinefuse.atomic import write_atomic
from refinefuse.errors import InputError, MissingDependencyError

_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
"""Protocols with atomic writes, which need no temporary file."""


def local_path(url: str) -> Path | None:
    """Return the path of a local file (also of a `file://` URL); None for other URLs."""
    if url.startswith("file://"):
        return Path(urlsplit(url).path)
    return None if "://" in url else Path(url)


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        MissingDependencyError: fsspec, or its package for this protocol, is not installed.
        InputError: the protocol is unknown.
    """
    try:
        import fsspec
    except ImportError as error:
        raise MissingDependencyError("fsspec", "ray", f"'{url}'") from error
    try:
        found: tuple[Any, str] = fsspec.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"Cannot access '{url}': {error}.\nInstall that library.") from None
    except ValueError as error:
        raise InputError(f"Cannot access '{url}': {error}.\nCheck the URL.") from None
    return found


def list_files(url: str) -> list[str]:
    """List the files in a folder, or those that match a glob pattern (`*`, `?`, `[`), sorted.

    Raises:
        InputError: the folder does not exist.
    """
    files, path = file_system(url)
    try:
        if any(sign in path for sign in "*?["):
            found = [name for name, entry in files.glob(path, detail=True).items() if entry["type"] == "file"]
        else:
            found = [entry["name"] for entry in files.ls(path, detail=True) if entry["type"] == "file"]
    except FileNotFoundError:
        raise InputError(f"The folder '{url}' does not exist.\nCheck the path.") from None
    is_local = local_path(url) is not None
    return sorted(name if is_local else files.unstrip_protocol(name) for name in found)


def read_bytes(url: str) -> bytes:
    """Read an entire file.

    Raises:
        InputError: the file does not exist.
    """
    files, path = file_system(url)
    try:
        data: bytes = files.cat_file(path)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"Cannot read '{url}': there is no such file.\nCheck the path.") from None
    return data


def fetch(url: str, folder: Path) -> Path:
    """Return a local file: the file itself, or a copy in `folder` that keeps its name and that of its parent folder.

    Raises:
        InputError: the file does not exist.
    """
    here = local_path(url)
    if here is not None:
        return here
    names = [part for part in PurePosixPath(urlsplit(url).path).parts if part not in ("/", "..")]
    target = folder.joinpath(*names[-2:])
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(read_bytes(url))
    return target


def publish(data: bytes, url: str) -> None:
    """Write a file atomically; an existing file is replaced."""
    here = local_path(url)
    if here is not None:
        write_atomic(here, data)
        return
    files, path = file_system(url)
    if urlsplit(url).scheme in _OBJECT_STORES:
        files.pipe_file(path, data)
        return
    folder, _, _ = path.rpartition("/")
    temporary = f"{folder}/.refinefuse-{secrets.token_hex(8)}.tmp"
    files.makedirs(folder, exist_ok=True)
    files.pipe_file(temporary, data)
    files.mv(temporary, path)


def join(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"
