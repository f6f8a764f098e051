"""Output paths, and their checks before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from refinefuse.errors import InputError
from refinefuse.paths import as_path

OutputFormat: TypeAlias = Literal["auto", "png", "tiff", "webp", "jpeg"]
_SUFFIXES = {"auto": None, "png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}


def suffix_of(output_format: OutputFormat) -> str | None:
    """The file suffix of a format; None for `auto`.

    Raises:
        InputError: if the format is unknown.
    """
    if output_format not in _SUFFIXES:
        raise InputError(f"The output format must be {', '.join(_SUFFIXES)}.\n  got: {output_format!r}")
    return _SUFFIXES[output_format]


@dataclass(frozen=True)
class OutputPaths:
    """Output paths and formats: files for one pair, folders for many.

    Attributes:
        output: the fused image.
        weight_map: the weight map of all sources but the last; None writes none.
        montage: sources and result side by side; None writes none.
        suffix: suffix of the fused images of a folder run; None chooses it for each pair.
        png_level: PNG compression level, as in `write_images`.
    """

    output: Path
    weight_map: Path | None = None
    montage: Path | None = None
    suffix: str | None = None
    png_level: int = 1

    def wanted(self) -> list[Path]:
        """The paths that are not None, the fused image first."""
        return [path for path in (self.output, self.weight_map, self.montage) if path is not None]

    def inside(self, name: str, suffix: str) -> OutputPaths:
        """The files of one pair of a folder run: the fused image with this suffix, the others as PNG."""
        return replace(
            self,
            output=self.output / f"{name}{self.suffix or suffix}",
            weight_map=self.weight_map and self.weight_map / f"{name}.png",
            montage=self.montage and self.montage / f"{name}.png",
        )


def check_apart(outputs: Sequence[Path], sources: Sequence[Path], *, inside: bool = False) -> None:
    """Refuse outputs that would overwrite a source or another output.

    Args:
        outputs: outputs of the run.
        sources: sources of the run.
        inside: also refuse output folders inside the sources, where a later run would read them as sources.

    Raises:
        InputError: if there is a conflict; the message names the path.
    """
    for path in (*outputs, *sources):
        as_path(path)
    within = [path for path in outputs if inside and any(_is_below(path, source) for source in sources)]
    if within:
        raise InputError(
            f"'{within[0]}' is inside a source folder that is read recursively.\nChoose a folder outside the sources."
        )
    seen = {os.path.realpath(source) for source in sources}
    for path in outputs:
        if os.path.realpath(path) in seen:
            raise InputError(
                f"'{path}' is named twice, as a source or as another result.\nGive each result its own path."
            )
        seen.add(os.path.realpath(path))


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        InputError: if that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the folder '{folder}': {error.strerror}.\nChoose another folder.") from None
