"""Put metadata into encoded image files, as far as each format can hold it."""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

import tifffile

from refinefuse.image.metadata import Metadata
from refinefuse.image.structure import PNG_SIGNATURE
from refinefuse.image.tags import EXIF_IFD, GPS_IFD, exif_block, write_directory

_SEGMENT = 65_533 - 14  # bytes of a profile that fit into one segment of a JPEG beside its header
_HOLDS = {
    ".png": {"EXIF", "ICC profile", "XMP", "resolution", "gamma and primaries"},
    ".jpg": {"EXIF", "ICC profile", "XMP", "resolution"},
    ".jpeg": {"EXIF", "ICC profile", "XMP", "resolution"},
    ".webp": {"EXIF", "ICC profile", "XMP"},
    ".tif": {"EXIF", "ICC profile", "XMP", "resolution", "GeoTIFF tags"},
    ".tiff": {"EXIF", "ICC profile", "XMP", "resolution", "GeoTIFF tags"},
    ".bmp": {"resolution"},
}


def unsupported_metadata(metadata: Metadata, extension: str, channels: int = 3) -> list[str]:
    """Names of metadata that a format cannot store.

    Args:
        metadata: metadata of the source.
        extension: extension of the result, lower case.
        channels: channels of the result: an RGB profile does not fit a gray image.
    """
    there = {
        "EXIF": metadata.has_exif,
        "ICC profile": metadata.icc is not None,
        "XMP": metadata.xmp is not None,
        "resolution": metadata.dpi is not None,
        "gamma and primaries": bool(metadata.png_color),
        "GeoTIFF tags": bool(metadata.geotiff),
    }
    lost = [name for name, is_there in there.items() if is_there and name not in _HOLDS.get(extension, ())]
    if metadata.geotiff and not metadata.upright().geotiff and "GeoTIFF tags" not in lost:
        lost.append("GeoTIFF tags")
    if "ICC profile" not in lost and metadata.icc is not None and not _fits(metadata.icc, channels):
        lost.append("ICC profile")
    return lost


def embed_metadata(data: bytes, extension: str, metadata: Metadata, channels: int) -> bytes:
    """Embed metadata in an encoded file, except TIFF (see `tiff_options`)."""
    metadata = metadata.upright()
    icc = metadata.icc if metadata.icc is not None and _fits(metadata.icc, channels) else None
    exif = exif_block(metadata.tags) if metadata.has_exif else None
    if extension in (".jpg", ".jpeg"):
        return _into_jpeg(data, metadata, icc, exif)
    if extension == ".png":
        return _into_png(data, metadata, icc, exif)
    if extension == ".webp":
        return _into_webp(data, metadata, icc, exif)
    if extension == ".bmp" and metadata.dpi is not None:
        return data[:38] + struct.pack("<ii", *(round(value / 0.0254) for value in metadata.dpi)) + data[46:]
    return data


def tiff_options(metadata: Metadata, channels: int, *, big: bool = False) -> dict[str, Any]:
    """Metadata as tifffile options for one page; `append_directories` completes the file."""
    metadata = metadata.upright()
    entries = [*metadata.tags.main, *metadata.geotiff]
    extra: list[tuple[int, int, int, bytes, bool]] = [(*entry, True) for entry in entries]
    if metadata.icc is not None and _fits(metadata.icc, channels):
        extra.append((34675, 7, len(metadata.icc), metadata.icc, True))
    if metadata.xmp is not None:
        extra.append((700, 1, len(metadata.xmp), metadata.xmp, True))
    for tag, part in ((EXIF_IFD, metadata.tags.exif), (GPS_IFD, metadata.tags.gps)):
        if part:
            extra.append((tag - 1, 16 if big else 4, 1, bytes(8 if big else 4), True))  # tifffile refuses `tag` itself
    options: dict[str, Any] = {"extratags": extra}
    if metadata.dpi is not None:
        options |= {"resolution": metadata.dpi, "resolutionunit": 2}
    return options


def append_directories(file: BinaryIO, metadata: Metadata) -> None:
    """Write the EXIF and GPS directories of a TIFF that was written with `tiff_options` behind its end."""
    parts = {tag: part for tag, part in ((EXIF_IFD, metadata.tags.exif), (GPS_IFD, metadata.tags.gps)) if part}
    if not parts:
        return
    file.seek(0)
    with tifffile.TiffFile(file) as parsed:
        page: Any = parsed.pages[0]
        big, reserved = parsed.is_bigtiff, {tag: page.tags[tag - 1] for tag in parts}
    for tag, entries in parts.items():
        end = file.seek(0, 2)
        offset = end + end % 2
        file.write(bytes(end % 2) + write_directory(entries, offset, big=big))
        file.seek(reserved[tag].offset)
        file.write(struct.pack("<H", tag))
        file.seek(reserved[tag].valueoffset)
        file.write(struct.pack("<Q" if big else "<I", offset))


def _fits(icc: bytes, channels: int) -> bool:
    """Whether a profile is for the colors of an image. Source: ICC.1:2022, section 7.2.6."""
    return icc[16:20] == (b"GRAY" if channels < 3 else b"RGB ")


def _into_jpeg(data: bytes, metadata: Metadata, icc: bytes | None, exif: bytes | None) -> bytes:
    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content if len(content) <= 65_533 else b""

    extra = b""
    if exif is not None:
        extra += segment(0xE1, b"Exif\0\0" + exif)
    if metadata.xmp is not None:
        extra += segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + metadata.xmp)
    parts = [icc[at : at + _SEGMENT] for at in range(0, len(icc), _SEGMENT)] if icc is not None else []
    for number, part in enumerate(parts, 1):
        extra += segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)
    at = 4 + int.from_bytes(data[4:6], "big")  # behind the JFIF header, which comes first
    head = data[:at]
    if metadata.dpi is not None:
        head = head[:13] + struct.pack(">BHH", 1, *(min(round(value), 65535) for value in metadata.dpi)) + head[18:]
    return head + extra + data[at:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG. Source: ISO/IEC 15948:2004, clause 5."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _into_png(data: bytes, metadata: Metadata, icc: bytes | None, exif: bytes | None) -> bytes:
    extra = b"".join(png_chunk(*chunk) for chunk in metadata.png_color if not (icc and chunk[0] == b"sRGB"))
    if icc is not None:
        extra += png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))
    if metadata.dpi is not None:
        extra += png_chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata.dpi), 1))
    if exif is not None:
        extra += png_chunk(b"eXIf", exif)
    if metadata.xmp is not None:
        extra += png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    at = len(PNG_SIGNATURE) + 25  # behind the header
    return data[:at] + extra + data[at:]


def _into_webp(data: bytes, metadata: Metadata, icc: bytes | None, exif: bytes | None) -> bytes:
    """Source: RFC 9649 (2024), section 2.7."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    if icc is None and exif is None and metadata.xmp is None:
        return data
    bits = int.from_bytes(data[21:25], "little")  # of the only chunk: a lossless image
    size = b"".join(struct.pack("<I", side)[:3] for side in (bits & 0x3FFF, bits >> 14 & 0x3FFF))
    flags = 0x20 * (icc is not None) | 0x10 * (bits >> 28 & 1) | 0x08 * (exif is not None) | 0x04 * bool(metadata.xmp)
    content = b"WEBP" + chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size)
    content += b"" if icc is None else chunk(b"ICCP", icc)
    content += data[12:]
    content += b"" if exif is None else chunk(b"EXIF", exif)
    content += b"" if metadata.xmp is None else chunk(b"XMP ", metadata.xmp)
    return b"RIFF" + struct.pack("<I", len(content)) + content
