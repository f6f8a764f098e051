"""Cache of drawn figures: a figure is redrawn only if its content has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark import figures
from refinefuse.benchmark.identity import code_checksum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDERS = ("tables", "figures", "grids")
"""Folders within the output folder."""
_REPORT = "report.html"
_CODE = ("refinefuse.benchmark", "refinefuse.detection.drawing", "refinefuse.image.color")


class FigureCache:
    """The figures of an output folder.

    Args:
        folder: output folder; its `drawn.json` stores the fingerprint of each figure's content.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "drawn.json"
        self._drawn: dict[str, str] = {}
        try:
            content = json.loads(self._file.read_bytes())
            self._drawn = {str(name): str(key) for name, key in content.items()}
        except (OSError, ValueError, AttributeError, RecursionError):
            pass  # treat every figure as not drawn

    def draw(self, path: Path, shows: object, make: Callable[[], Figure]) -> Path:
        """Draw a figure unless it is up to date; return its PNG file.

        Args:
            path: path without extension.
            shows: everything that the figure depends on, except the code.
            make: creates the figure.

        Raises:
            InputError: the figure cannot be written.
        """
        name, key = str(path.relative_to(self._folder)), fingerprint(code_checksum(*_CODE), shows)
        files = [path.with_name(f"{path.name}{suffix}") for suffix in (".png", ".pdf")]
        if self._drawn.get(name) != key or not all(file.is_file() for file in files):
            figures.save(make(), path)
            self._keep(name, key)
        return files[0]

    def is_finished(self, shows: object) -> bool:
        """Whether an earlier run with the same content and code finished and all its files still exist."""
        return self._drawn.get(_REPORT) == self._key_of_all(shows)

    def finish(self, shows: object) -> None:
        """Record that all files are written.

        Args:
            shows: everything that the files depend on, except the code.

        Raises:
            InputError: the record cannot be written.
        """
        self._keep(_REPORT, self._key_of_all(shows))

    def _key_of_all(self, shows: object) -> str:
        files = [*self._folder.glob(_REPORT), *(file for name in FOLDERS for file in self._folder.glob(f"{name}/*"))]
        return fingerprint(code_checksum("refinefuse"), sorted(str(file) for file in files), shows)

    def _keep(self, name: str, key: str) -> None:
        self._drawn[name] = key
        write_text_atomic(self._file, json.dumps(self._drawn, indent=1) + "\n")


def fingerprint(*values: object) -> str:
    """Checksum of numbers, strings and arrays, and of containers and dataclasses of these."""
    digest = hashlib.sha256()
    _update(digest, values)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, value: object) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        _update(digest, list(value.items()))
    elif isinstance(value, (set, frozenset)):
        _update(digest, sorted(value, key=repr))
    elif isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _update(digest, item)
    elif is_dataclass(value):
        _update(digest, [getattr(value, field.name) for field in fields(value)])
    else:
        digest.update(f"{type(value).__name__}{value!r};".encode())
