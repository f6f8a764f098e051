"""Record of how the results in a folder were made, which decides what a later run may skip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refinefuse.atomic import write_atomic
from refinefuse.errors import InputError, format_names
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.thermal import ThermalOptions

RECORD_NAME = ".refinefuse.json"
_FORMAT = "refinefuse-results-1"


class FolderRecord:
    """The settings behind the results of a folder, stored in a small file next to them.

    A result is assumed to match these settings if it is not older than the file, which is replaced when they change.

    Args:
        folder: folder of the results.
        fuser: the network and its options.
        thermal: options for reading the sources.
        alignment: options for aligning them.
    """

    def __init__(self, folder: Path, fuser: Fuser, thermal: ThermalOptions, alignment: AlignmentOptions) -> None:
        self.path = folder / RECORD_NAME
        self.settings = _settings(fuser, thermal, alignment)
        self._found: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # missing or not ours: no result matches
            found = json.loads(self.path.read_text(encoding="utf-8"))
            self._found = found if isinstance(found, dict) else {}

    @property
    def ranges(self) -> list[IntensityRange]:
        """The fixed ranges of an earlier run with the same settings; empty if there was none."""
        return [IntensityRange(**one) for one in self._found["ranges"]] if self._agrees() else []

    def _agrees(self) -> bool:
        return self._found.get("format") == _FORMAT and self._found.get("settings") == self.settings

    def check(self, results: Sequence[Path]) -> None:
        """Refuse existing results that were made with other or unknown settings.

        Raises:
            InputError: if there are any; the message names them.
        """
        since = self.path.stat().st_mtime_ns if self._agrees() else None
        others = [str(path) for path in results if since is None or path.stat().st_mtime_ns < since]
        if others:
            raise InputError(
                f"{len(others)} existing results were made with other options or weights, or by another program:\n"
                f"{format_names(others)}\nUse `overwrite` to replace them, or choose another folder."
            )

    def write(self, ranges: Sequence[IntensityRange]) -> None:
        """Write the file, unless it is up to date.

        Raises:
            InputError: if it cannot be written.
        """
        if not self._agrees():
            content = {"format": _FORMAT, "settings": self.settings, "ranges": [asdict(one) for one in ranges]}
            write_atomic(self.path, (json.dumps(content, indent=1) + "\n").encode())


def _settings(fuser: Fuser, thermal: ThermalOptions, alignment: AlignmentOptions) -> dict[str, Any]:
    """The settings that affect the values of a result, as JSON returns them."""
    transform = alignment.transform
    return {
        "weights": fuser.weights,
        "sha256": fuser.fingerprint(),
        "color": fuser.color,
        "contrast": fuser.contrast,
        "precision": str(fuser.dtype).removeprefix("torch."),
        "range": None if thermal.range is None else asdict(thermal.range),
        "range_per_image": thermal.per_image,
        "polarity": thermal.polarity,
        "palette": thermal.palette,
        "align": alignment.transform_type if alignment.align else None,
        "transform": _plain(transform),
    }


def _plain(value: Any) -> Any:
    """Convert a field of a transform to plain JSON types."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return list(value) if isinstance(value, tuple) else value.tolist() if isinstance(value, np.ndarray) else value
