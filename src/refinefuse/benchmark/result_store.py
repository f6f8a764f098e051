"""Store of fused images and scores: an append-only JSON Lines file.

A killed run loses at most the line that it was writing; incomplete lines are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refinefuse.errors import InputError


class ResultStore:
    """The stored results of an output folder.

    Args:
        path: path of the file, which is created if missing.

    Raises:
        InputError: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images: dict[str, tuple[str, str]] = {}
        self._scores: dict[str, dict[str, float]] = {}
        self._boxes: dict[str, list[list[Any]]] = {}
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            for line in text.split("\n"):
                self._read(line)
            self._file = path.open("a", encoding="utf-8")
            if text and not text.endswith("\n"):  # incomplete line of a killed run
                self._file.write("\n")
        except OSError as error:
            raise InputError(f"Cannot store results in '{path}': {error.strerror}.\nChoose another folder.") from None

    def _read(self, line: str) -> None:
        try:
            entry: Any = json.loads(line)
            if "image" in entry:
                self._images[entry["image"]] = entry["key"], entry["sha256"]
            elif "boxes" in entry:
                self._boxes[entry["key"]] = entry["boxes"]
            else:
                self._scores.setdefault(entry["key"], {}).update(entry["scores"])
        except (ValueError, KeyError, TypeError):
            return

    def image(self, name: str) -> tuple[str, str]:
        """Return the key with which an image was fused and its checksum; empty strings if it was not fused."""
        return self._images.get(name, ("", ""))

    def scores(self, key: str) -> Mapping[str, float]:
        """Return the stored scores of a key."""
        return self._scores.get(key, {})

    def add_image(self, name: str, key: str, sha256: str) -> None:
        """Record a fused image."""
        self._images[name] = key, sha256
        self._write({"image": name, "key": key, "sha256": sha256})

    def add_scores(self, key: str, scores: Mapping[str, float]) -> None:
        """Record the scores of an image."""
        self._scores.setdefault(key, {}).update(scores)
        self._write({"key": key, "scores": dict(scores)})

    def boxes(self, key: str) -> list[list[Any]] | None:
        """Return the stored detections of a key; None if there are none."""
        return self._boxes.get(key)

    def add_boxes(self, key: str, boxes: list[list[Any]]) -> None:
        """Record the detections in an image."""
        self._boxes[key] = boxes
        self._write({"key": key, "boxes": boxes})

    def _write(self, entry: Mapping[str, object]) -> None:
        try:
            self._file.write(f"{json.dumps(entry)}\n")
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"Cannot write '{self.path}': {error.strerror}.\nFree some disk space, then run the command again."
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
