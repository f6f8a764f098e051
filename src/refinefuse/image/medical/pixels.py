"""Read DICOM pixels as values: decoded, rescaled, without padding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.image.medical.elements import number, whole_number
from refinefuse.image.medical.volume import check_voxel_count, load

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_MAX_INFLATED = 256 * 2**20  # bytes of a deflated file, and of frames that a small compressed file declares
_MAX_RATIO = 1000  # bytes of pixels per byte of a larger compressed file
_SECONDS, _SECONDS_PER_FRAME = 20.0, 0.2  # time limit for decoding a file

Frames = tuple[NDArray[np.float32], NDArray[np.bool_] | None]
"""Values (frames, rows, columns), and which of them are not padding; None if all are values."""


class PixelReader:
    """Reads the pixels of the files of a series; a context manager.

    Compressed frames are decoded in a separate process, started on demand.
    """

    def __init__(self) -> None:
        self._decoder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PixelReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def read(self, file: Path) -> Frames:
        """The frames of a file, rescaled by the file's slope and intercept.

        Raises:
            InputError: pixels that are missing, too few, too many, or cannot be decoded.
            MissingDependencyError: no decoder for this compression is installed.
        """
        dataset = read_dataset(file, pixels=True)
        if "PixelData" not in dataset:
            raise InputError(
                f"Cannot use '{file}': it contains no pixel data.\nExport the series again with its pixels."
            )
        try:
            stored = self._decoded(file, dataset) if _is_compressed(dataset) else _native(file, dataset)
            size = (int(dataset.Rows), int(dataset.Columns))
            stored = stored.reshape(-1, *size)
            return _rescaled(stored, dataset), _valid(stored, dataset)
        except (InputError, MissingDependencyError):
            raise
        except Exception as error:  # pydicom has many for damaged elements
            raise InputError(_cannot_decode(file, dataset, str(error))) from None

    def _decoded(self, file: Path, dataset: Any) -> NDArray[Any]:
        if self._decoder is None:
            self._decoder = _start()
        frames = whole_number(dataset, "NumberOfFrames", 1)
        watchdog = Timer(_SECONDS + _SECONDS_PER_FRAME * frames, self._decoder.kill)
        watchdog.start()
        try:
            head, data = _request(self._decoder, file, declared_bytes(dataset))
        finally:
            watchdog.cancel()
        if head is None:
            self._stop()
            raise InputError(_cannot_decode(file, dataset, "the decoder crashed or ran out of time or memory"))
        if "error" in head:
            if "missing dependencies" in head["error"]:
                raise MissingDependencyError(
                    "python-gdcm", "medical", f"'{file}' is compressed ({_syntax(dataset)}): decoding it"
                )
            raise InputError(_cannot_decode(file, dataset, head["error"]))
        return np.frombuffer(data, head["dtype"]).reshape(head["shape"])

    def _stop(self) -> None:
        if self._decoder is not None:
            self._decoder.kill()
            self._decoder.communicate()
            self._decoder = None


def _start() -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("decode_frames.py")
    return subprocess.Popen(  # noqa: S603  # this interpreter, a script of the package, no shell
        [sys.executable, "-I", str(script), json.dumps([str(Path(entry).absolute()) for entry in sys.path])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _request(decoder: subprocess.Popen[bytes], file: Path, size: int) -> tuple[dict[str, Any] | None, bytes]:
    """The answer of the decoder; None if it ended without one."""
    assert decoder.stdin is not None and decoder.stdout is not None  # noqa: S101, PT018  # pipes, as `_start` asks for
    try:
        decoder.stdin.write(json.dumps({"path": str(file.absolute()), "bytes": size}).encode() + b"\n")
        decoder.stdin.flush()
        head: dict[str, Any] = json.loads(decoder.stdout.readline())
        count = 0 if "error" in head else int(np.prod(head["shape"])) * np.dtype(head["dtype"]).itemsize
        data = decoder.stdout.read(count)
    except (OSError, ValueError):
        return None, b""
    return (head, data) if len(data) == count else (None, b"")


class _WithinFile(io.BufferedReader):
    """Limits reads to the file size, because a damaged element may declare gigabytes, which `read` would allocate."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, and at most what is left."""
        left = max(0, os.fstat(self.fileno()).st_size - self.seek(0, os.SEEK_CUR))
        return super().read(left if size is None or size < 0 else min(size, left))


def read_dataset(file: Path, *, pixels: bool) -> Any:
    """Read a DICOM file, with or without preamble.

    Raises:
        InputError: a deflated file that unpacks to more than the limit.
        Exception: whatever pydicom raises for a damaged file.
    """
    with file.open("rb") as stream:
        start = stream.read(1024)
    if _DEFLATED in start:
        _check_inflated(file, start)
    pydicom = load("pydicom")
    with _WithinFile(file.open("rb", buffering=0)) as bounded:
        dataset = pydicom.dcmread(bounded, stop_before_pixels=not pixels, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        uids = load("pydicom.uid")
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = uids.ImplicitVRLittleEndian if implicit else uids.ExplicitVRLittleEndian
    try:
        _is_compressed(dataset)
    except ValueError as error:  # the UID of something else
        raise InputError(f"Cannot read '{file}': it is damaged.\n  got: {error}\nCopy or export it again.") from None
    return dataset


def _check_inflated(file: Path, start: bytes) -> None:
    offset = 144 + int.from_bytes(start[140:144], "little")  # after the group of meta information
    inflater, size = zlib.decompressobj(-15), 0
    with file.open("rb") as stream:
        stream.seek(offset)
        chunk = stream.read(2**16)
        while chunk and not inflater.eof:
            size += len(inflater.decompress(chunk, 2**22))
            chunk = inflater.unconsumed_tail or stream.read(2**16)
            if size > _MAX_INFLATED:
                raise InputError(
                    f"Cannot read '{file}': it is deflated and unpacks to more than the limit.\n"
                    f"  expected: at most {_MAX_INFLATED:,} bytes\nExport it in another transfer syntax."
                )


def _is_compressed(dataset: Any) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID.is_compressed) and not _is_deflated(dataset)


def _is_deflated(dataset: Any) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID == _DEFLATED.decode())


def declared_bytes(header: Any) -> int:
    """Size of the decoded pixels according to the header.

    Raises:
        ValueError: an element is not a number.
    """
    count = whole_number(header, "Rows", 1) * whole_number(header, "Columns", 1)
    bits = count * whole_number(header, "NumberOfFrames", 1) * whole_number(header, "BitsAllocated", 16)
    return (bits * whole_number(header, "SamplesPerPixel", 1) + 7) // 8


def check_declared_size(file: Path, header: Any, max_voxels: int) -> None:
    """Refuse a file that declares more pixels than it can hold or than the limit allows.

    Raises:
        InputError: if it does; the message gives both numbers.
    """
    try:
        declared = declared_bytes(header)
        shape = tuple(whole_number(header, name, 1) for name in ("Rows", "Columns", "NumberOfFrames"))
    except (TypeError, ValueError) as error:
        raise InputError(f"Cannot use '{file}': {error}.\nExport the series again.") from None
    check_voxel_count(shape, file, max_voxels)
    size = file.stat().st_size
    if _is_compressed(header) or _is_deflated(header):
        most, least = max(_MAX_INFLATED, _MAX_RATIO * size), 8 * shape[2] if _is_compressed(header) else 0
    else:
        most, least = size, 0
    if declared > most or least > size:
        raise InputError(
            f"Cannot use '{file}': pixels are missing, because it declares more of them than its size allows.\n"
            f"  expected: {' x '.join(map(str, shape))} values, {declared:,} bytes\n"
            f"  got: a file of {size:,} bytes\nCopy or export the file again."
        )


def _native(file: Path, dataset: Any) -> NDArray[Any]:
    """Read uncompressed pixels, exactly as many as declared."""
    expected, got = declared_bytes(dataset), len(dataset.PixelData)
    frame = expected // whole_number(dataset, "NumberOfFrames", 1)
    if got < expected or got >= expected + max(frame, 2):
        raise InputError(_cannot_decode(file, dataset, f"{got:,} bytes of pixels, not {expected:,}"))
    return np.asarray(dataset.pixel_array)


def _rescaled(stored: NDArray[Any], dataset: Any) -> NDArray[np.float32]:
    if dataset.get("ModalityLUTSequence"):
        values = load("pydicom.pixels").apply_modality_lut(stored, dataset)
        return np.asarray(values, np.float32)
    slope, intercept = number(dataset, "RescaleSlope", 1.0), number(dataset, "RescaleIntercept", 0.0)
    if slope == 0:
        raise ValueError("RescaleSlope is 0")
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    return (stored * slope + intercept).astype(np.float32)


def _valid(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_] | None:
    """Which stored values are not padding."""
    if dataset.get("PixelPaddingValue") in (None, ""):
        return None
    low = int(number(dataset, "PixelPaddingValue", 0))
    high = int(number(dataset, "PixelPaddingRangeLimit", low))
    bits = 8 * stored.dtype.itemsize
    if stored.dtype.kind == "i":  # written as unsigned by some: the same bits
        low, high = (value - 2**bits if value >= 2 ** (bits - 1) else value for value in (low, high))
    elif stored.dtype.kind == "u":
        low, high = (value % 2**bits for value in (low, high))
    padding = (stored >= min(low, high)) & (stored <= max(low, high))
    return ~padding if padding.any() else None


def _syntax(dataset: Any) -> str:
    return str(getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "unknown"))


def _cannot_decode(file: Path, dataset: Any, reason: str) -> str:
    return (
        f"Cannot decode '{file}' ({_syntax(dataset)}).\n  got: {reason}\n"
        "Copy the file again, or export it uncompressed."
    )
