"""Cloud-optimized GeoTIFF (COG): all directories before all pixels, and the overviews before the image.

Source: OGC Cloud Optimized GeoTIFF 1.0 (21-026), section 7; GDAL, "COG driver", section "Header ghost area".
"""

from __future__ import annotations

import mmap
import struct
from itertools import accumulate
from typing import BinaryIO

import numpy as np

from refinefuse.image.tags import Entry, read_chain, write_directory

_OFFSETS, _SIZES = 324, 325  # of tiles
_LAYOUT = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_LAYOUT) + _LAYOUT


def is_cog(data: bytes | mmap.mmap) -> bool:
    """Whether a TIFF is tiled, has overviews, and stores all directories before the first pixel."""
    try:
        levels = read_chain(data)
    except struct.error:
        return False
    offsets = [_numbers(entries, _OFFSETS) for _, entries in levels]
    return len(levels) > 1 and all(map(len, offsets)) and max(at for at, _ in levels) < min(map(min, offsets))


def write_cog(data: bytes | mmap.mmap, file: BinaryIO) -> None:
    """Rewrite a TIFF as a COG.

    Args:
        data: a little-endian, tiled TIFF or BigTIFF: the image first, then its overviews in decreasing size.
        file: empty output file.
    """
    big = data[2] == 43
    levels = [entries for _, entries in read_chain(data)]
    head = 16 if big else 8
    start = head + len(_GHOST) + len(_GHOST) % 2
    starts = list(accumulate((len(write_directory(entries, 0, big=big)) for entries in levels), initial=start))
    file.write(data[: head // 2] + start.to_bytes(head // 2, "little") + _GHOST.ljust(start - head, b"\n"))
    at = starts[-1]
    moved: list[tuple[Entry, ...]] = []
    for entries in reversed(levels):
        ends = list(accumulate((size + 8 for size in _numbers(entries, _SIZES)), initial=at))  # leader and trailer
        offsets = [end + 4 for end in ends[:-1]]
        moved.append(tuple(_with(entry, offsets) if entry.tag == _OFFSETS else entry for entry in entries))
        at = ends[-1]
    followers = [*starts[1:-1], 0]
    for directory, start, following in zip(reversed(moved), starts, followers, strict=False):
        file.write(write_directory(directory, start, big=big, following=following))
    for entries in reversed(levels):
        for offset, size in zip(_numbers(entries, _OFFSETS), _numbers(entries, _SIZES), strict=True):
            tile = data[offset : offset + size]
            file.write(size.to_bytes(4, "little") + tile + tile[-4:])


def _numbers(entries: tuple[Entry, ...], tag: int) -> list[int]:
    return next(([int(number) for number in entry.numbers()] for entry in entries if entry.tag == tag), [])


def _with(entry: Entry, numbers: list[int]) -> Entry:
    return entry._replace(value=np.array(numbers, f"<u{len(entry.value) // entry.length}").tobytes())
