"""Find the DICOM files of a folder and group them into series. No file is dropped silently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinefuse.errors import InputError, RefineFuseError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS
from refinefuse.image.medical.elements import check_elements, text
from refinefuse.image.medical.pixels import read_dataset

_SUFFIXES = (".dcm", ".dicom", ".ima")
_MAX_LISTED = 20  # series: the user has to choose among them
_MAX_LENGTH = 1024  # bytes of the first element of a file without preamble
_DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR: lists the files of a medium


@dataclass
class Series:
    """The images of one series.

    Attributes:
        files: paths and headers (without pixels).
        warnings: what a user should know about files that were left out.
    """

    files: list[tuple[Path, Any]]
    warnings: list[str] = field(default_factory=list)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its name or content, or a folder holds such a file at any depth."""
    if path.is_dir():
        return any(is_dicom(file) for file in _files(path) if file.suffix.lower() not in IMAGE_EXTENSIONS)
    return path.suffix.lower() in _SUFFIXES or _has_dicom_content(path)


def _files(path: Path) -> Iterator[Path]:
    yield from sorted(file for file in path.rglob("*") if file.is_file())


def _has_dicom_content(path: Path) -> bool:
    """Whether a file has DICOM's preamble, or starts like a dataset without one."""
    if not path.is_file():  # nor a pipe, which would block
        return False
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    if start[128:] == b"DICM":
        return True
    if start[:2] not in (b"\x02\0", b"\x08\0") or len(start) < 12 or start[3] != 0:
        return False
    if start[4:6].isalpha() and start[4:6].isupper():
        return start[4:6] in (b"UL", b"CS", b"UI", b"DA", b"TM", b"SH", b"LO", b"OB")
    return int.from_bytes(start[4:8], "little") <= _MAX_LENGTH


def read_series(path: Path, wanted: str | None) -> Series:
    """The headers of a series.

    Args:
        path: a file, or a folder with the files of one or more series at any depth.
        wanted: number or UID of the series, if the folder holds several.

    Raises:
        InputError: no image, several series and no choice, or a file that may belong to the series and cannot be read.
    """
    files = list(_files(path)) if path.is_dir() else [path]
    if not path.exists():
        raise InputError(f"Cannot read '{path}': there is no such file.\nCheck the path.")
    headers, foreign = [], []
    damaged: list[tuple[Path, str]] = []
    for file in files:
        if not is_dicom(file):
            foreign.append(file)
            continue
        try:
            headers.append((file, _header(file)))
        except RefineFuseError as error:
            if not path.is_dir():
                raise
            damaged.append((file, str(error).partition("\n")[0].partition("': ")[2]))
    if not any("Rows" in header for _, header in headers):
        kinds = [f"{file.name}: {_kind(header)}" for file, header in headers]
        others = [f"{file.name}: not DICOM" for file in foreign] + [f"{file.name}: damaged" for file, _ in damaged]
        raise InputError(
            f"Cannot read '{path}': it contains no DICOM image.\n  got:\n{format_names(kinds + others)}\n"
            "Pass the folder or file that contains the images."
        )
    chosen = _choose(path, headers, wanted)
    damaged += [
        (file, "it has no pixels, but the rest of its series has") for file, header in chosen if "Rows" not in header
    ]
    if damaged:
        raise InputError(
            f"Cannot read '{path}': it contains damaged files that may belong to the series.\n  got:\n"
            + format_names([f"{file.name}: {reason}" for file, reason in damaged])
            + "\nCopy them again, or move them out of the folder to continue without them."
        )
    return Series(*_without_duplicates(path, chosen, _unrecognized(chosen, foreign)))


def _header(file: Path) -> Any:
    """The elements of a file without its pixels.

    Raises:
        InputError: a damaged file.
    """
    try:
        header = read_dataset(file, pixels=False)
        is_directory = header.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY
    except RefineFuseError:
        raise
    except Exception as error:  # pydicom may raise anything on damage
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"Cannot read '{file}': it is not a DICOM file, or it is damaged.\n  got: {reason}\n"
            "Copy or export it again."
        ) from None
    if not is_directory:
        check_elements(file, header)
        if "Rows" not in header and ("SeriesInstanceUID" not in header or _is_image(header)):
            raise InputError(
                f"Cannot read '{file}': it is not a DICOM file, or it is damaged.\n  expected: Rows, Columns, pixels\n"
                "Copy or export it again."
            )
    return header


def _is_image(header: Any) -> bool:
    """Whether a file claims to be an image; by modality if its SOP class is unknown."""
    uid = header.get("SOPClassUID")
    name = getattr(uid, "name", "")
    return "Image Storage" in name or (name == str(uid or "") and text(header, "Modality") in ("CT", "MR", "PT", "NM"))


def _kind(header: Any) -> str:
    return f"{text(header, 'Modality') or getattr(header.get('SOPClassUID'), 'name', 'DICOM')} without pixel data"


def _choose(path: Path, found: list[tuple[Path, Any]], wanted: str | None) -> list[tuple[Path, Any]]:
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for file, header in found:
        groups.setdefault(text(header, "SeriesInstanceUID"), []).append((file, header))
    groups = {uid: files for uid, files in groups.items() if any("Rows" in header for _, header in files)}
    matching = {
        uid: files
        for uid, files in groups.items()
        if wanted is None or wanted in (uid, text(files[0][1], "SeriesNumber"))
    }
    if len(matching) == 1:
        return next(iter(matching.values()))
    rows = [
        f"  {text(files[0][1], 'SeriesNumber') or '-'}: {text(files[0][1], 'Modality') or '?'}, {len(files)} files, "
        f"'{text(files[0][1], 'SeriesDescription')}', {uid or 'without SeriesInstanceUID'}"
        for uid, files in (matching or groups).items()
    ]
    more = f"\n  ... and {len(rows) - _MAX_LISTED} more" if len(rows) > _MAX_LISTED else ""
    what = "several series" if wanted is None else f"{'several' if matching else 'no'} series {wanted!r}"
    raise InputError(
        f"'{path}' holds {what}:\n" + "\n".join(rows[:_MAX_LISTED]) + more + "\n"
        "Choose by number or UID in `series`, with one entry per source; leave an entry empty to choose automatically."
    )


def _unrecognized(chosen: list[tuple[Path, Any]], foreign: list[Path]) -> list[str]:
    """Files named like those of the series that are not DICOM: one of them may be a damaged slice."""
    suffixes = {file.suffix.lower() for file, _ in chosen}
    similar = [file.name for file in foreign if file.suffix.lower() in suffixes]
    if not similar:
        return []
    names = ", ".join(f"'{name}'" for name in similar[:5]) + (
        f" and {len(similar) - 5} more" if len(similar) > 5 else ""
    )
    return [f"ignored, because they are not DICOM: {names}; if one of them is a slice, it is damaged"]


def _without_duplicates(
    path: Path, chosen: list[tuple[Path, Any]], warnings: list[str]
) -> tuple[list[tuple[Path, Any]], list[str]]:
    """Drop duplicate instances: same UID, or same position."""
    unique: dict[tuple[str, ...], tuple[Path, Any]] = {}
    for file, header in chosen:
        uid = text(header, "SOPInstanceUID")
        key = (uid, text(header, "ImagePositionPatient"), text(header, "InstanceNumber"))
        unique.setdefault(key if uid else (str(file),), (file, header))
    count = len(chosen) - len(unique)
    if count:
        warnings = [
            *warnings,
            f"{count} files of '{path}' are copies of others (same SOPInstanceUID) and are used once",
        ]
    return list(unique.values()), warnings
