"""Find the pairs to fuse: in a manifest, two folders or glob patterns, or a folder with `ir` and `vi`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from refinefuse.batch.storage import join, list_files, local_path, read_bytes
from refinefuse.data.pairs import match_names
from refinefuse.errors import InputError, MissingDependencyError, PairingError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS
from refinefuse.image.medical.nifti import NIFTI_EXTENSIONS
from refinefuse.inference.video.sources import VIDEO_EXTENSIONS

_KINDS = (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS, *NIFTI_EXTENSIONS)


@dataclass(frozen=True)
class BatchItem:
    """One pair: images, videos or volumes.

    Attributes:
        name: unique name of the result, without extension.
        a: path or URL of the source whose color is not used.
        b: path or URL of the source whose color is kept.
    """

    name: str
    a: str
    b: str


def find_items(sources: Sequence[str], pair_by: str | None = None) -> list[BatchItem]:
    """Find the pairs given by the user.

    Args:
        sources: a manifest (.csv or .parquet with columns a, b and optionally name), a folder with subfolders `ir` and
            `vi`, or two folders or glob patterns; paths, or URLs supported by fsspec.
        pair_by: regular expression for what the names of a pair have in common.

    Raises:
        InputError: a file or folder does not exist, or the manifest lacks a column.
        PairingError: nothing can be paired, or two items have the same name.
        MissingDependencyError: pyarrow or fsspec is not installed.
    """
    if len(sources) > 2:
        raise InputError(f"A batch takes a manifest, or two folders.\n  got: {len(sources)} sources")
    if len(sources) == 2:
        items = _paired(list_files(sources[0]), list_files(sources[1]), pair_by)
    elif sources[0].lower().endswith((".csv", ".parquet")):
        items = _of_manifest(sources[0])
    else:
        items = _paired(list_files(join(sources[0], "ir")), list_files(join(sources[0], "vi")), pair_by)
    _check_names(items)
    return items


def stem(url: str) -> str:
    """Return a file name without its extension (.nii.gz counts as one)."""
    name = PurePosixPath(urlsplit(url).path if "://" in url else url).name
    suffix = next((suffix for suffix in NIFTI_EXTENSIONS[::-1] if name.lower().endswith(suffix)), None)
    return name[: -len(suffix)] if suffix else PurePosixPath(name).stem


def _paired(in_a: list[str], in_b: list[str], pair_by: str | None) -> list[BatchItem]:
    known = [{stem(url): url for url in urls if url.lower().endswith(_KINDS)} for urls in (in_a, in_b)]
    by_name = [{name: Path(name) for name in urls} for urls in known]
    first, second = match_names(by_name[0], by_name[1], pair_by)
    shared = [name for name in first if name in second]
    if not shared:
        raise PairingError(
            f"The two sources share no file name, so nothing can be paired.\n  a: {len(known[0])} files\n"
            f"  b: {len(known[1])} files\nGive both files of a pair the same name, or use `pair_by` or a manifest."
        )
    return [BatchItem(name, known[0][str(first[name])], known[1][str(second[name])]) for name in shared]


def _of_manifest(url: str) -> list[BatchItem]:
    rows = list(_rows(url))
    if not rows:
        raise InputError(f"The manifest '{url}' lists no pairs.\n  expected: one row per pair\nCheck the file.")
    lacking = [column for column in ("a", "b") if column not in rows[0]]
    if lacking:
        raise InputError(
            f"The manifest '{url}' lacks a column.\n  expected: a, b and optionally name\n"
            f"  got: {', '.join(rows[0])}\nAdd the column with the path or URL of each source."
        )
    empty = [number for number, row in enumerate(rows, 1) if not row["a"] or not row["b"]]
    if empty:
        raise InputError(
            f"The manifest '{url}' has rows without a source.\n  rows: {empty[:5]}\nAdd the missing paths."
        )
    folder = url.rpartition("/")[0]
    absolute = [[_beside(folder, row[side]) for side in ("a", "b")] for row in rows]
    return [BatchItem(row.get("name") or stem(b), a, b) for row, (a, b) in zip(rows, absolute, strict=True)]


def _rows(url: str) -> Iterable[dict[str, str]]:
    data = read_bytes(url)
    if url.lower().endswith(".csv"):
        return csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "ray", "A manifest in Parquet") from error
    rows: list[dict[str, str]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    return rows


def _beside(folder: str, source: str) -> str:
    """Resolve a path of a manifest relative to the manifest's folder."""
    return source if "://" in source or Path(source).is_absolute() or not folder else join(folder, source)


def _check_names(items: Sequence[BatchItem]) -> None:
    names = [item.name for item in items]
    if twice := sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
        raise PairingError(
            f"Several pairs have the same name, so their results would overwrite each other:\n{format_names(twice)}\n"
            "Give each pair its own name (column `name` of the manifest)."
        )
    if outside := [name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]:
        raise InputError(
            "The results must stay inside the output folder, but these names lead out of it:\n"
            f"{format_names(outside)}\nRename them."
        )


def absolute(url: str) -> str:
    """Make a path absolute, for processes with another working directory; URLs are returned unchanged."""
    here = local_path(url)
    return url if here is None else str(here.absolute())
