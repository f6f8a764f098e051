"""Match the files of two folders into pairs by their names."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from refinefuse.errors import PairingError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS


@dataclass(frozen=True)
class Pair:
    """Two files that show one scene.

    Attributes:
        name: the name that they share, without extension.
        a: the file of the first folder.
        b: the file of the second folder.
    """

    name: str
    a: Path
    b: Path


@dataclass(frozen=True)
class Pairing:
    """What two folders have in common, and what not.

    Attributes:
        pairs: the pairs in natural order (2 before 10).
        only_a: names of the files that only the first folder has.
        only_b: names of the files that only the second folder has.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def pair_folders(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Pairing:
    """Pair the images of two folders by name without extension.

    A pair may differ in extension ("01.png" and "01.jpg"). Hidden files, files that are no images, and folders inside
    are passed over.

    Args:
        a: the folder of the first sources.
        b: the folder of the second sources.

    Returns:
        At least one pair, and the files that are left over on either side.

    Raises:
        PairingError: a folder is missing or holds no image, two files of one folder share a name, or the folders
            share none.
    """
    in_a, in_b = _images(Path(a)), _images(Path(b))
    shared = sorted(in_a.keys() & in_b.keys(), key=_natural)
    if not shared:
        raise PairingError(
            "The two folders share no file name, so nothing can be paired.\n"
            f"in '{a}' ({len(in_a)}):\n{format_names([file.name for file in in_a.values()])}\n"
            f"in '{b}' ({len(in_b)}):\n{format_names([file.name for file in in_b.values()])}\n"
            "Both images of a pair must have the same name; the extension may differ. "
            "Rename them, or check that these are the folders that you mean."
        )
    return Pairing(
        pairs=tuple(Pair(name, in_a[name], in_b[name]) for name in shared),
        only_a=tuple(file.name for name, file in in_a.items() if name not in in_b),
        only_b=tuple(file.name for name, file in in_b.items() if name not in in_a),
    )


def images_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The images of a folder in natural order (2 before 10).

    Raises:
        PairingError: as `pair_folders`.
    """
    return list(_images(Path(folder)).values())


def _images(folder: Path) -> dict[str, Path]:
    """The images of a folder by name without extension, in natural order."""
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "it does not exist"
        raise PairingError(f"'{folder}' is not a folder: {what}.\nPass two files or two folders.")
    try:
        entries = sorted(folder.iterdir(), key=lambda path: _natural(path.name))
    except OSError as error:
        raise PairingError(f"Cannot list the folder '{folder}': {error.strerror}.\nCheck its permissions.") from None
    found: dict[str, Path] = {}
    for path in entries:
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_EXTENSIONS or not path.is_file():
            continue
        name = unicodedata.normalize("NFC", path.stem)  # macOS and Linux write "é" in two ways
        if name in found:
            raise PairingError(
                f"Two files in '{folder}' have the same name but for the extension:\n"
                f"{format_names([found[name].name, path.name])}\n"
                "Only one of them can belong to a pair: move the other one away."
            )
        found[name] = path
    if not found:
        raise PairingError(
            f"The folder '{folder}' holds no image.\n  expected: {', '.join(IMAGE_EXTENSIONS)}\n"
            f"  found: {len(entries)} other entries\nCheck the path."
        )
    return found


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which 'frame2' comes before 'frame10'."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], name
