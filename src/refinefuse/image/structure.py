"""Check the structure of image files before they are decoded.

Decoders are too lenient: OpenCV returns partly gray images for truncated files, turns CMYK into some RGB, and shows
the first image of an animation. Every check here raises `InputError` with the reason alone; the caller adds the path.
"""

from __future__ import annotations

import re
import struct
import zlib

from refinefuse.errors import InputError
from refinefuse.image.pixels import check_pixel_count

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Any marker of a JPEG but the stuffed zero (FF 00) and the restarts (FF D0 to FF D7), which occur inside coded data.
# One FF of a run is enough to find it, so that the search takes linear time.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_OPENCV_PIXELS, _OPENCV_SIDE = 1 << 30, 1 << 20  # beyond these OpenCV decodes nothing
_JPEG_TABLES = (0xC4, 0xC8, 0xCC)  # in the range of the frame headers (C0 to CF), but none of them


_SIGNATURES = {
    "png": (PNG_SIGNATURE,),
    "jpeg": (b"\xff\xd8\xff",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "gif": (b"GIF87a", b"GIF89a"),
    "jp2": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "bmp": (b"BM",),
}
# Formats that are not read, by what their files begin with (or hold from byte 4 on, for those of the MP4 family).
_FOREIGN = {
    b"NRRD": "NRRD",
    b"\x1f\x8b": "a gzip file (for a gzipped volume use `fuse_volume`)",
    b"%PDF": "PDF",
    b"SIMPLE  =": "FITS",
    b"v/1\x01": "OpenEXR",
    b"8BPS": "Photoshop (PSD)",
    b"#?RADIANCE": "Radiance HDR",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "a NumPy array",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"FFF\0": "FLIR (FFF)",
    b"Pf\n": "PFM",
    b"PF\n": "PFM",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "Canon raw (CR3)", b"qt  ": "a QuickTime video"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
)


def file_format(data: bytes) -> str | None:
    """The format according to the first bytes, if `read_image` supports it; None otherwise."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "pnm"
    return next((name for name, starts in _SIGNATURES.items() if data.startswith(starts)), None)


def foreign_format(data: bytes) -> str | None:
    """The name of an unsupported format; None if unknown."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video (MP4)")
    if data[128:132] == b"DICM":
        return "DICOM"
    if data.lstrip()[:5] == b"<?xml" or data.lstrip()[:4] == b"<svg":
        return "XML or SVG"
    return next((name for start, name in _FOREIGN.items() if data.startswith(start)), None)


def truncated(expected: int, found: int) -> InputError:
    """The error for a file that ends too early, with both sizes in bytes."""
    return InputError(
        f"the file is truncated.\n  expected: at least {expected} bytes\n  got: {found} bytes\nCopy or export it again."
    )


def several_images(count: int | str) -> InputError:
    """The error for a file with more than one image."""
    return InputError(
        f"the file must hold one image.\n  expected: 1\n  got: {count}\n"
        "Split the file, and pass the image that you want."
    )


def _check_size(height: int, width: int) -> None:
    check_pixel_count(height, width)
    if height * width > _OPENCV_PIXELS or max(height, width) > _OPENCV_SIDE:
        raise InputError(
            "an image of this format is too large to read.\n"
            f"  expected: at most {_OPENCV_PIXELS} pixels, and {_OPENCV_SIDE} per side\n  got: {height} x {width}\n"
            "Save the image as a tiled TIFF, which is read piece by piece."
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
            "transparency by a key color is not supported.\n"
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
                f"  expected checksum: {expected:08x}\n  got: {found:08x}\nCopy or export it again."
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
        f"the file is truncated.\n  expected: an end marker (FF D9)\n  got: none in {len(data)} bytes\n"
        "Copy or export it again."
    )


def _check_jpeg_frame(data: bytes, position: int) -> None:
    bits, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    _check_size(height, width)
    if components == 4:
        raise cmyk()
    if bits != 8:
        raise InputError(
            f"a JPEG must have 8 bits per sample.\n  got: {bits}\nExport the image as a 16-bit PNG or TIFF."
        )


def cmyk() -> InputError:
    """The error for a CMYK image."""
    return InputError(
        "the colors must be gray or RGB.\n  got: CMYK (printing inks)\n"
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
    _check_size(*_webp_size(data))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Height and width, by the first chunk. Source: RFC 9649 (2024), sections 2.5 to 2.7 and 3.4."""
    kind, start = data[12:16], 20
    if kind == b"VP8X" and len(data) >= 30:
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[start + 1 : start + 5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and len(data) >= 30:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        raise InputError("the file is damaged: it has no WebP header.\nCopy or export it again.")
    return height, width


def check_pnm(data: bytes) -> None:
    """Refuse a PBM, PGM or PPM that is truncated, empty or damaged.

    Raises:
        InputError: with what is wrong.
    """
    words = re.match(rb"P([1-6])((?:\s+(?:#[^\n]*\n\s*)*\d{1,9}){2,3})", data)
    numbers = [int(word) for word in re.findall(rb"\d+", re.sub(rb"#[^\n]*\n", b"", words[2]))] if words else []
    bits = data[1:2] in b"14"
    if words is None or len(numbers) < (2 if bits else 3):
        raise InputError("the file is damaged: it has no PBM, PGM or PPM header.\nCopy or export it again.")
    width, height = numbers[:2]
    _check_size(height, width)
    channels = 3 if data[1:2] in b"36" else 1
    if data[1:2] in b"56" and 0 < numbers[2] <= 65535:
        needed = words.end() + 1 + height * width * channels * (2 if numbers[2] > 255 else 1)
        if len(data) < needed:
            raise truncated(needed, len(data))
        if numbers[2] not in (255, 65535):
            raise InputError(
                f"the largest value of a PGM or PPM must be 255 or 65535.\n  got: {numbers[2]}\n"
                "Scale it to 16 bits, or save it as TIFF."
            )


def check_gif(data: bytes) -> None:
    """Refuse a GIF that is truncated or empty.

    Raises:
        InputError: with what is wrong.
    """
    if len(data) < 14:
        raise truncated(14, len(data))
    width, height = struct.unpack_from("<HH", data, 6)
    _check_size(height, width)


def check_jp2(data: bytes) -> None:
    """Refuse a JPEG 2000 file that is truncated, empty, or of another depth than 8 or 16 bits.

    Source: ITU-T T.800 (2019), annex A.5.1 (SIZ).
    """
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 45:
        raise truncated(start + 45 if start >= 0 else len(data) + 1, len(data))
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    _check_size(bottom - top, right - left)
    bits = data[start + 42]
    if bits not in (7, 15):
        raise InputError(
            "a JPEG 2000 file must have 8 or 16 bits per sample, unsigned.\n"
            f"  got: {(bits & 0x7F) + 1} bits{', signed' if bits & 0x80 else ''}\nSave it as a 16-bit PNG or TIFF."
        )


def check_bmp(data: bytes) -> None:
    """Refuse a BMP that is truncated or empty.

    Raises:
        InputError: with what is wrong.
    """
    if len(data) < 34:
        raise truncated(34, len(data))
    offset, header, width, height, _planes, bits, packing = struct.unpack_from("<IIiiHHI", data, 10)
    if header < 40:  # an OS/2 header, of 16-bit sizes: left to the decoder
        return
    _check_size(abs(height), abs(width))
    row = (abs(width) * bits + 31) // 32 * 4
    plain = packing in (0, 3)  # neither run-length coded nor an embedded file
    if plain and len(data) < offset + row * abs(height):
        raise truncated(offset + row * abs(height), len(data))
