"""Tags of TIFF and EXIF: directories of entries, read in either byte order and written little-endian.

Source: "TIFF revision 6.0", 1992, section 2; "BigTIFF design", 2007; CIPA DC-008 (EXIF 2.32), section 4.6.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

EXIF_IFD, GPS_IFD = 34665, 34853
_MAKER_NOTE, _INTEROPERABILITY = 37500, 40965  # hold offsets of their own, which a copy would break
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBER_SIZES = {5: 4, 10: 4}  # a rational is two numbers
_MOST_BYTES = 1 << 24  # of one entry: more is no metadata
_MOST_DIRECTORIES = 100
_ORDERS = {b"II": "<", b"MM": ">"}


class Entry(NamedTuple):
    """One tag: its number, type and length as in the file, and its value in little-endian order."""

    tag: int
    kind: int
    length: int
    value: bytes

    def numbers(self) -> list[float]:
        """The value as numbers; a rational is one number."""
        if self.kind in (5, 10):
            pairs = np.frombuffer(self.value, "<u4" if self.kind == 5 else "<i4").reshape(-1, 2).tolist()
            return [top / bottom if bottom else 0.0 for top, bottom in pairs]
        dtype = {1: "u1", 3: "<u2", 4: "<u4", 9: "<i4", 11: "<f4", 12: "<f8", 16: "<u8"}.get(self.kind)
        return [] if dtype is None else [float(number) for number in np.frombuffer(self.value, dtype)]


@dataclass(frozen=True)
class Directories:
    """The entries of the first directory of a file, and of its EXIF and GPS directories."""

    main: tuple[Entry, ...] = ()
    exif: tuple[Entry, ...] = ()
    gps: tuple[Entry, ...] = ()

    def get(self, tag: int) -> Entry | None:
        """An entry of the first directory."""
        return next((entry for entry in self.main if entry.tag == tag), None)


def read_directories(data: bytes) -> Directories:
    """Read a TIFF file, or the TIFF structure that EXIF is kept in. Entries that cannot be read are left out.

    Raises:
        struct.error: the structure is damaged.
    """
    if bytes(data[:2]) not in _ORDERS:
        return Directories()
    order, big, first = _header(data)
    main = _read(data, first, order, big)
    below = {entry.tag: int(entry.numbers()[0]) for entry in main if entry.tag in (EXIF_IFD, GPS_IFD)}
    exif, gps = (_read(data, below[tag], order, big) if tag in below else () for tag in (EXIF_IFD, GPS_IFD))
    exif = tuple(entry for entry in exif if entry.tag not in (_MAKER_NOTE, _INTEROPERABILITY))
    return Directories(tuple(entry for entry in main if entry.tag not in below), exif, gps)


def read_chain(data: bytes | mmap.mmap) -> list[tuple[int, tuple[Entry, ...]]]:
    """The directories of a TIFF file in order, each with its offset; overlong chains are truncated.

    Raises:
        struct.error: the structure is damaged.
    """
    order, big, offset = _header(data)
    form, entry_size, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    found: list[tuple[int, tuple[Entry, ...]]] = []
    while offset and len(found) < _MOST_DIRECTORIES:
        found.append((offset, _read(data, offset, order, big)))
        (count,) = struct.unpack_from(order + form, data, offset)
        (offset,) = struct.unpack_from(order + pointer, data, offset + struct.calcsize(form) + count * entry_size)
    return found


def _header(data: bytes | mmap.mmap) -> tuple[str, bool, int]:
    """Byte order, whether it is a BigTIFF, and the offset of the first directory."""
    order = _ORDERS[bytes(data[:2])]
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    return order, big, struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]


def _read(data: bytes | mmap.mmap, offset: int, order: str, big: bool) -> tuple[Entry, ...]:
    count_form, entry_form, room = (f"{order}Q", f"{order}HHQ", 8) if big else (f"{order}H", f"{order}HHI", 4)
    (count,) = struct.unpack_from(count_form, data, offset)
    entries, at = [], offset + struct.calcsize(count_form)
    for _ in range(min(count, 4096)):
        tag, kind, number = struct.unpack_from(entry_form, data, at)
        at += struct.calcsize(entry_form)
        size = _SIZES.get(kind, 0) * number
        start = at if size <= room else struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, at)[0]
        at += room
        if 0 < size <= _MOST_BYTES and start + size <= len(data):
            value = bytes(data[start : start + size])
            width = _NUMBER_SIZES.get(kind, _SIZES[kind])
            if order == ">" and width > 1:
                value = np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()
            entries.append(Entry(tag, kind, number, value))
    return tuple(entries)


def write_directory(entries: tuple[Entry, ...], offset: int, *, big: bool = False, following: int = 0) -> bytes:
    """Encode a directory at `offset`, followed by the values that do not fit into it.

    Args:
        entries: the entries in any order.
        offset: its offset in the file.
        big: whether the file is a BigTIFF.
        following: offset of the next directory; 0 if there is none.
    """
    form, room = ("<HHQ", 8) if big else ("<HHI", 4)
    head = struct.pack("<Q" if big else "<H", len(entries))
    behind = offset + len(head) + len(entries) * (struct.calcsize(form) + room) + room
    table, values = b"", b""
    for entry in sorted(entries):
        table += struct.pack(form, entry.tag, entry.kind, entry.length)
        if len(entry.value) <= room:
            table += entry.value.ljust(room, b"\0")
        else:
            table += struct.pack("<Q" if big else "<I", behind + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
    return head + table + following.to_bytes(room, "little") + values


def exif_block(directories: Directories) -> bytes:
    """The TIFF structure that JPEG, PNG and WebP keep EXIF in."""
    below = {tag: part for tag, part in ((EXIF_IFD, directories.exif), (GPS_IFD, directories.gps)) if part}
    pointers = tuple(Entry(tag, 4, 1, bytes(4)) for tag in below)
    offset = 8 + len(write_directory(directories.main + pointers, 8))
    parts, block = [], b""
    for tag, entries in below.items():
        parts.append(Entry(tag, 4, 1, struct.pack("<I", offset + len(block))))
        block += write_directory(entries, offset + len(block))
    return b"II*\0" + struct.pack("<I", 8) + write_directory(directories.main + tuple(parts), 8) + block
