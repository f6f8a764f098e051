"""The strips and tiles of a TIFF: decoded one by one, and refused where they hold less than they should."""

from __future__ import annotations

import copy
import struct
from typing import Any

import numpy as np
from tifffile import COMPRESSION

from refinefuse.errors import InputError
from refinefuse.image import opencv
from refinefuse.image.pixels import Pixels

_JPEG = (COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)
_HEADER = 8 + 2 + 10 * 12 + 4  # bytes of a file header and a directory of ten entries
_CLEAR, _END, _FIRST = 256, 257, 258  # codes of LZW


def strip_height(page: Any) -> int:
    """Rows of a strip or tile."""
    return int(page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength))


def decode_strips(page: Any, start: int, stop: int) -> Pixels:
    """All strips (rows of tiles) of a page from row `start`, where one begins, up to row `stop`.

    Returns:
        (planes, rows, width, samples), as stored.
    """
    side = strip_height(page)
    planes, _, height, width, samples = page.shaped
    pixels = np.empty((planes, min(stop, height) - start, width, samples), page.dtype)
    down, across = -(-height // side), -(-width // page.tilewidth) if page.is_tiled else 1
    is_lzw = page.compression == COMPRESSION.LZW
    stored = _as_unpacked(page) if is_lzw else page
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression in _JPEG else {}
    for plane in range(planes):
        for index in range(start // side, -(-stop // side)):
            top = index * side - start
            for column in range(across):
                number = (plane * down + index) * across + column
                data = unpack_lzw(page, number) if is_lzw else _segment(page, number)
                part, (_, _, _, left, _), _ = stored.decode(data, number, **tables)
                room = pixels[plane, top : top + side, left : left + (page.tilewidth if page.is_tiled else width)]
                if part is None or any(got < needed for got, needed in zip(part.shape[1:], room.shape, strict=True)):
                    raise _short(number)
                room[...] = part[0, : room.shape[0], : room.shape[1]]  # tiles at the edges reach over them
    return pixels


def _as_unpacked(page: Any) -> Any:
    """The page as if its strips and tiles were not compressed."""
    stored = copy.copy(page)
    stored.compression = COMPRESSION.NONE
    for kept in ("decode", "hash"):
        stored.__dict__.pop(kept, None)
    return stored


def unpack_lzw(page: Any, number: int) -> bytes:
    """The bytes of one strip or tile, unpacked by OpenCV as a gray TIFF of its own.

    Its pixels have 16 bits: of those of 8, OpenCV does not notice that some are missing.
    Source: "TIFF revision 6.0", 1992, section 2.

    Raises:
        InputError: if they are fewer than there should be, or the kind of LZW is one of before 1992.
    """
    data, rows, width, bits = _segment(page, number), _rows(page, number), _bytes_per_row(page), 16
    if data[:1] == b"\0" and len(data) > 1 and data[1] & 1:
        raise InputError("this kind of TIFF cannot be read (old-style LZW).\nSave it with ZIP (deflate) compression.")
    if width % 2 == 0:
        width //= 2
    elif rows % 2 == 0:
        rows //= 2
    elif _lzw_length(data) < rows * width:
        raise _short(number)
    else:
        bits = 8
    long, short = 4, 3
    entries = (
        (256, long, width), (257, long, rows), (258, short, bits), (259, short, COMPRESSION.LZW), (262, short, 1),
        (266, short, page.fillorder), (273, long, _HEADER), (277, short, 1), (278, long, rows), (279, long, len(data)),
    )  # fmt: skip
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    header = struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<I", 0)
    pixels = opencv.decode(header + data)
    if pixels is None:
        raise _short(number)
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def check_lengths(page: Any) -> None:
    """Refuse a page with a strip or tile that is missing or empty.

    Raises:
        InputError: with the number of the strip or tile.
    """
    expected = int(np.prod(page.chunked))
    counts = page.databytecounts[:expected]
    if len(counts) < expected or 0 in counts or 0 in page.dataoffsets[:expected]:
        empty = next(
            (i for i, pair in enumerate(zip(counts, page.dataoffsets, strict=False)) if 0 in pair), len(counts)
        )
        raise InputError(
            f"the TIFF file is damaged: strip or tile {empty} of {expected} is empty.\nCopy or export it again."
        )


def _segment(page: Any, number: int) -> bytes:
    handle = page.parent.filehandle
    handle.seek(page.dataoffsets[number])
    data: bytes = handle.read(page.databytecounts[number])
    return data


def _rows(page: Any, number: int) -> int:
    """Rows of a strip or tile that are stored: the last strip may be lower, tiles are whole."""
    side = strip_height(page)
    if page.is_tiled:
        return side
    down = -(-page.imagelength // side)
    return int(min(side, page.imagelength - number % down * side))


def _bytes_per_row(page: Any) -> int:
    width = page.tilewidth if page.is_tiled else page.imagewidth
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return int(width * samples * page.bitspersample + 7) // 8


def _lzw_length(data: bytes) -> int:
    """How many bytes a strip unpacks to. Source: "TIFF revision 6.0", 1992, section 13."""
    total, buffer, bits, width, lengths, last = 0, 0, 0, 9, [1] * _FIRST, 0
    for byte in data:
        buffer, bits = buffer << 8 | byte, bits + 8
        if bits < width:
            continue
        bits -= width
        code, buffer = buffer >> bits, buffer & (1 << bits) - 1
        if code == _CLEAR:
            width, last = 9, 0
            del lengths[_FIRST:]
            continue
        if code == _END:
            break
        if last:
            lengths.append(last + 1)
            width = max(9, (len(lengths) + 1).bit_length())
        if code >= len(lengths):
            break
        last = lengths[code]
        total += last
    return total


def _short(number: int) -> InputError:
    return InputError(
        f"the TIFF file is damaged or truncated: strip or tile {number} ends too early.\nCopy or export it again."
    )
