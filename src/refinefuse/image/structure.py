"""What the bytes of a PNG, JPEG, WebP or BMP file promise, checked before they are decoded.

Decoders forgive too much: OpenCV returns partly gray images for truncated files, turns CMYK into some RGB, and shows
the first image of an animation. Every check here raises `InputError` with the reason alone; the caller adds the path.
"""

from __future__ import annotations

import re
import struct
import zlib

from refinefuse.errors import InputError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Any marker of a JPEG but the stuffed zero (FF 00) and the restarts (FF D0 to FF D7), which occur inside coded data.
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_JPEG_TABLES = (0xC4, 0xC8, 0xCC)  # in the range of the frame headers (C0 to CF), but none of them


def file_format(data: bytes) -> str | None:
    """The format that the first bytes announce: "png", "jpeg", "tiff", "webp" or "bmp"; None for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return "bmp" if data.startswith(b"BM") else None


def truncated(expected: int, found: int) -> InputError:
    """The error for a file that ends too early, with both sizes in bytes."""
    return InputError(
        f"the file is truncated.\n  expected: at least {expected} bytes\n  found: {found} bytes\n"
        "Copy or export it again."
    )


def several_images(count: int | str) -> InputError:
    """The error for a file with more than one image."""
    return InputError(
        f"the file must hold one image.\n  expected: 1\n  found: {count}\nSplit it and pass the image that you want."
    )


def check_png(data: bytes) -> None:
    """Refuse a PNG that is truncated, damaged, animated, empty, or transparent by a key color (which decoders drop).

    Raises:
        InputError: with what is wrong.
    """
    chunks = _png_chunks(data)
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise InputError("the file is damaged: it has no PNG header.\nCopy or export it again.")
    width, height, _depth, color = struct.unpack_from(">IIBB", header)
    _check_size(height, width)
    if b"acTL" in chunks:
        raise several_images(f"an animation of {int.from_bytes(chunks[b'acTL'][:4], 'big')}")
    if b"tRNS" in chunks and color != 3:
        raise InputError(
            "the transparency is one key color, which is not supported.\n"
            "Save the image with an alpha channel, or without transparency."
        )


def png_is_gray_alpha(data: bytes) -> bool:
    """Whether a checked PNG stores gray + alpha, which OpenCV hands over as four channels."""
    return data[25] == 4


def _png_chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks up to the end of the image, without the pixels; the checksums of those that matter are checked."""
    chunks: dict[bytes, bytes] = {}
    start, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > len(data):
            raise truncated(start + 12, len(data))
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise truncated(end, len(data))
        expected, found = int.from_bytes(data[end - 4 : end], "big"), zlib.crc32(data[start + 4 : end - 4])
        critical = not kind[0] & 0x20  # an upper-case first letter
        if critical and expected != found:
            raise InputError(
                f"the file is damaged in its chunk {kind.decode('latin-1')}.\n"
                f"  expected checksum: {expected:08x}\n  found: {found:08x}\nCopy or export it again."
            )
        if kind != b"IDAT":
            chunks[kind] = data[start + 8 : end - 4]
        start = end
    return chunks


def check_jpeg(data: bytes) -> None:
    """Refuse a JPEG that is truncated, empty, CMYK, or not of 8 bits a sample.

    Raises:
        InputError: with what is wrong.
    """
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == 0xD9:
            return
        if marker in (0x01, 0xD8):
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_TABLES and len(data) >= position + 8:
            _check_jpeg_frame(data, position)
        position += int.from_bytes(data[position : position + 2], "big")
    raise InputError(
        f"the file is truncated.\n  expected: an end marker (FF D9)\n  found: none in {len(data)} bytes\n"
        "Copy or export it again."
    )


def _check_jpeg_frame(data: bytes, position: int) -> None:
    bits, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    _check_size(height, width)
    if components == 4:
        raise cmyk()
    if bits != 8:
        raise InputError(
            f"a JPEG must have 8 bits a sample.\n  found: {bits}\nExport the image as a 16-bit PNG or TIFF."
        )


def cmyk() -> InputError:
    """The error for a image made of printing inks."""
    return InputError(
        "the colors must be gray or RGB.\n  found: CMYK (printing inks)\n"
        "Convert the image to RGB with its own color profile and export it again."
    )


def check_webp(data: bytes) -> None:
    """Refuse a WebP that is truncated or animated.

    Raises:
        InputError: with what is wrong.
    """
    expected = 8 + int.from_bytes(data[4:8], "little")
    if len(data) < max(expected, 21):
        raise truncated(max(expected, 21), len(data))
    if data[12:16] == b"VP8X" and data[20] & 0x02:
        raise several_images("an animation")


def check_bmp(data: bytes) -> None:
    """Refuse a BMP that is truncated or empty.

    Raises:
        InputError: with what is wrong.
    """
    if len(data) < 34:
        raise truncated(34, len(data))
    offset, header, width, height, _planes, bits, packing = struct.unpack_from("<IIiiHHI", data, 10)
    if header < 40:  # an OS/2 header: left to the decoder
        return
    _check_size(abs(height), abs(width))
    row = (abs(width) * bits + 31) // 32 * 4
    plain = packing in (0, 3)  # neither run-length coded nor an embedded file
    if plain and len(data) < offset + row * abs(height):
        raise truncated(offset + row * abs(height), len(data))


def _check_size(height: int, width: int) -> None:
    if not (height and width):
        raise InputError(
            f"the image holds no pixels.\n  expected: at least 1 x 1\n  found: {height} x {width}\nExport it again."
        )
