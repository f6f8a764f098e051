"""The results of a batch as Parquet files, so that a later run can resume."""

from __future__ import annotations

import io
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from refinefuse.batch.storage import file_system, join, publish, read_bytes
from refinefuse.batch.work import BatchResult
from refinefuse.errors import InputError, MissingDependencyError

FOLDER = "results.parquet"
"""Partitioned dataset in the output folder, which pandas, pyarrow and Ray read as one table."""
_ROWS, _SECONDS = 500, 10.0  # maximum number and age of unwritten results, which are lost if this process is killed


class ResultStore:
    """Record the result of each pair; pairs without a record are fused again, with identical bytes.

    Args:
        output: path or URL of the folder for results.
        settings: checksum of everything that affects the results; records with another one do not count as done.
    """

    def __init__(self, output: str, settings: str) -> None:
        self._folder = join(output, FOLDER)
        self._settings = settings
        self._rows: list[dict[str, Any]] = []
        self._written_at = time.monotonic()
        _parquet()

    def done(self) -> set[str]:
        """Return the names of the pairs that earlier runs fused with these settings.

        Raises:
            InputError: a results file is damaged.
        """
        files, path = file_system(self._folder)
        files.invalidate_cache()
        found: set[str] = set()
        for name in files.glob(f"{path}/*.parquet"):
            found |= self._done_in(files.unstrip_protocol(name))
        return found

    def _done_in(self, part: str) -> set[str]:
        try:
            rows = _parquet().read_table(io.BytesIO(read_bytes(part))).to_pylist()
            return {row["name"] for row in rows if row["output"] and row["settings"] == self._settings}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"'{part}' is not a result table: {error}.\nRemove it, and run again.") from None

    def add(self, result: BatchResult) -> None:
        """Add a result; results are written at intervals."""
        self._rows.append(asdict(result) | {"settings": self._settings, "warnings": list(result.warnings)})
        if len(self._rows) >= _ROWS or time.monotonic() - self._written_at > _SECONDS:
            self.write()

    def write(self) -> None:
        """Write the results added since the last write."""
        if self._rows:
            import pyarrow

            data = io.BytesIO()
            _parquet().write_table(_table(pyarrow, self._rows), data)
            publish(data.getvalue(), join(self._folder, f"{time.time_ns()}-{secrets.token_hex(4)}.parquet"))
        self._rows, self._written_at = [], time.monotonic()


def _table(pyarrow: Any, rows: Iterable[dict[str, Any]]) -> Any:
    text = ("name", "a", "b", "output", "error", "machine", "settings")
    schema = pyarrow.schema(
        [
            *((name, pyarrow.string()) for name in text),
            ("warnings", pyarrow.list_(pyarrow.string())),
            ("seconds", pyarrow.float64()),
            ("attempts", pyarrow.int32()),
        ]
    )
    return pyarrow.Table.from_pylist(list(rows), schema)


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "ray", "A batch") from error
    return parquet
