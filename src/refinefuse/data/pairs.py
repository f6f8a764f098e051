"""Pair the files of two folders by name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refinefuse.data.timestamps import TIME, pair_by_time
from refinefuse.errors import PairingError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS
from refinefuse.paths import as_path


@dataclass(frozen=True)
class Pair:
    """Two files of the same scene.

    Attributes:
        name: the name of both, without extension.
        a: the file of the first folder.
        b: the file of the second folder.
    """

    name: str
    a: Path
    b: Path


@dataclass(frozen=True)
class Pairing:
    """Paired and unpaired files of two folders.

    Attributes:
        pairs: the pairs in natural order (2 before 10).
        only_a: names of the files that only the first folder has.
        only_b: names of the files that only the second folder has.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


#: Words in file names that identify the sensor rather than the scene.
_SENSORS = re.compile(
    r"(?<![a-z])(?:ir|lwir|nir|swir|mwir|thermal|infrared|vi|vis|visible|rgb|color|ct|mri?|pet|spect)(?![a-z])",
    re.IGNORECASE,
)


def pair_folders(
    a: str | os.PathLike[str], b: str | os.PathLike[str], *, pair_by: str | None = None, recursive: bool = False
) -> Pairing:
    """Pair the images of two folders by name without extension.

    A pair may differ in extension ("01.png" and "01.jpg"). If the folders share no name, words that name a sensor are
    left out ("01_ir" and "01_vis", "IR1" and "VIS1" are pairs). Hidden files, files that are no images, and folders
    inside are passed over.

    Args:
        a: the folder of the first sources.
        b: the folder of the second sources.
        pair_by: a regular expression for the part of a name that both files of a pair have in common: its first group,
            or the whole match; files without a match are skipped. `time:SECONDS` pairs files by the timestamps in their
            names, the nearest ones, if they differ by no more than that.
        recursive: also take images in sub-folders, which are part of their names ("day/01").

    Returns:
        At least one pair, and the files that are left over on either side.

    Raises:
        PairingError: a folder is missing or holds no image, two files of one folder have the same name, or the
            folders have no name in common; or the expression is invalid.
    """
    in_a, in_b = _images(as_path(a), recursive), _images(as_path(b), recursive)
    in_a, in_b = match_names(in_a, in_b, pair_by)
    shared = sorted(in_a.keys() & in_b.keys(), key=_natural)
    if not shared:
        raise PairingError(
            "The two folders share no file name, so nothing can be paired.\n"
            f"in '{a}' ({len(in_a)}):\n{format_names([file.name for file in in_a.values()])}\n"
            f"in '{b}' ({len(in_b)}):\n{format_names([file.name for file in in_b.values()])}\n"
            "Both images of a pair must have the same name; the extension may differ. Rename them, or define "
            "how to pair "
            "them: `pair_by` with a regular expression, or time:SECONDS."
        )
    return Pairing(
        pairs=tuple(Pair(name, in_a[name], in_b[name]) for name in shared),
        only_a=tuple(str(file.relative_to(a)) for name, file in in_a.items() if name not in in_b),
        only_b=tuple(str(file.relative_to(b)) for name, file in in_b.items() if name not in in_a),
    )


def match_names(
    in_a: dict[str, Path], in_b: dict[str, Path], pair_by: str | None = None
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Both groups of files by common name, as in `pair_folders`.

    Raises:
        PairingError: two files of one set have the same name; or the expression is invalid.
    """
    if pair_by is not None and pair_by.startswith(TIME):
        return pair_by_time(in_a, in_b, pair_by)
    if pair_by is not None:
        return _by_key(in_a, _matcher(pair_by)), _by_key(in_b, _matcher(pair_by))
    return (in_a, in_b) if in_a.keys() & in_b.keys() else _without_sensors(in_a, in_b)


def _matcher(pair_by: str) -> Callable[[str], str]:
    try:
        pattern = re.compile(pair_by)
    except re.error as error:
        raise PairingError(f"'{pair_by}' is not a regular expression: {error}.\nCorrect it.") from None

    def key(name: str) -> str:
        match = pattern.search(name)
        return "" if match is None else match[min(1, pattern.groups)] or ""

    return key


def _by_key(files: dict[str, Path], key: Callable[[str], str]) -> dict[str, Path]:
    """Files by a part of their names; those without it are skipped.

    Raises:
        PairingError: two files have the same name.
    """
    found: dict[str, Path] = {}
    for name, path in files.items():
        part = key(name)
        if part in found:
            raise PairingError(
                f"Two files in '{path.parent}' have the same key '{part}':\n"
                f"{format_names([found[part].name, path.name])}\nPair by a part of the name that is unique."
            )
        if part:
            found[part] = path
    return found


def _without_sensors(in_a: dict[str, Path], in_b: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Both folders by names without words that name a sensor; unchanged if these are ambiguous or match nothing."""
    try:
        shorter = [_by_key(files, lambda name: _SENSORS.sub("", name).strip("_-. ")) for files in (in_a, in_b)]
    except PairingError:
        return in_a, in_b
    complete = [len(short) == len(files) for short, files in zip(shorter, (in_a, in_b), strict=True)]
    return (shorter[0], shorter[1]) if all(complete) and shorter[0].keys() & shorter[1].keys() else (in_a, in_b)


def check_distinct(*sources: Path) -> None:
    """Refuse the same file or folder as two sources.

    Raises:
        PairingError: if it is; the message names it.
    """
    real = [os.path.realpath(as_path(path)) for path in sources]
    if twice := next((path for path, other in zip(sources, real, strict=True) if real.count(other) > 1), None):
        raise PairingError(f"Both sources are '{twice}'.\n  expected: two different sources\nPass the other source.")


def images_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The images of a folder in natural order (2 before 10).

    Raises:
        PairingError: as `pair_folders`.
    """
    return list(_images(as_path(folder)).values())


def _images(folder: Path, recursive: bool = False) -> dict[str, Path]:
    """The images of a folder by name without extension, in natural order; those in sub-folders by their path in it."""
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "it does not exist"
        raise PairingError(f"'{folder}' is not a folder: {what}.\nPass two files or two folders.")
    try:
        found_here = (path for path in _walk(folder)) if recursive else folder.iterdir()
        entries = sorted(found_here, key=lambda path: _natural(path.relative_to(folder).as_posix()))
    except OSError as error:
        raise PairingError(f"Cannot list the folder '{folder}': {error.strerror}.\nCheck its permissions.") from None
    found: dict[str, Path] = {}
    for path in entries:
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_EXTENSIONS or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        name = unicodedata.normalize("NFC", name)  # macOS and Linux write "é" in two ways
        if name in found:
            raise PairingError(
                f"Two files in '{folder}' have names that differ only in the extension:\n"
                f"{format_names([found[name].name, path.name])}\n"
                "Only one of them can belong to a pair. Move the other one elsewhere."
            )
        found[name] = path
    if not found:
        _check_subfolders(folder, entries)
        raise PairingError(
            f"The folder '{folder}' contains no images.\n  expected: {', '.join(IMAGE_EXTENSIONS)}\n"
            f"  got: {len(entries)} other entries\nCheck the path."
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """All files at any depth, but for hidden folders and folders that are links, which may be loops."""
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(top) / name for name in files)


def _check_subfolders(folder: Path, entries: list[Path]) -> None:
    """Report that the images of a folder are in its subfolders."""
    below = [
        entry.name
        for entry in entries
        if entry.is_dir() and any(path.suffix.lower() in IMAGE_EXTENSIONS for path in _walk(entry))
    ]
    if below:
        raise PairingError(
            f"The folder '{folder}' contains images only in its subfolders:\n{format_names(below)}\n"
            "Use `recursive`, or pass one subfolder of each source at a time."
        )


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Natural sort key: 'frame2' comes before 'frame10'."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], name
