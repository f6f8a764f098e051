"""The metadata of an image file: orientation, location and time, color profile, resolution, georeference."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from refinefuse.image.cog import is_cog
from refinefuse.image.pixels import Pixels
from refinefuse.image.structure import PNG_SIGNATURE, file_format
from refinefuse.image.tags import Directories, Entry, read_directories

ORIENTATION = 274
#: Location and scale, coordinate system (GeoTIFF), and metadata and NoData of GDAL.
GEOTIFF_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
#: Description, make, model, software, date and time, artist, copyright.
_TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_X_RESOLUTION, _Y_RESOLUTION, _DENSITY_KIND, _XMP, _ICC = 282, 283, 296, 700, 34675
_METERS_PER_INCH = 0.0254
_PNG_COLOR = (b"cICP", b"gAMA", b"cHRM", b"sRGB")
_MOST_BYTES = 1 << 24  # of a profile or a text after unpacking
_XMP_HEADER, _EXIF_HEADER, _ICC_HEADER = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0", b"ICC_PROFILE\0"


@dataclass(frozen=True)
class Metadata:
    """Metadata of a file that is transferred to the fused image.

    Attributes:
        orientation: EXIF orientation, 1 to 8; `read_image` has applied it, so it is not written again.
        tags: EXIF and GPS directories, and the texts of the first one, without orientation.
        icc: color profile.
        xmp: XMP packet.
        dpi: pixels per inch, across and down.
        png_color: PNG chunks that define its color space (gAMA, cHRM, cICP, sRGB).
        geotiff: GeoTIFF and GDAL tags.
        extra_bands: number of TIFF bands that are neither color nor alpha, and were ignored.
        is_cog: whether it is organized as a cloud-optimized GeoTIFF with overviews.
    """

    orientation: int = 1
    tags: Directories = field(default_factory=Directories)
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_color: tuple[tuple[bytes, bytes], ...] = ()
    geotiff: tuple[Entry, ...] = ()
    extra_bands: int = 0
    is_cog: bool = False

    @property
    def has_exif(self) -> bool:
        """Whether there are texts, EXIF or GPS tags."""
        return bool(self.tags.main or self.tags.exif or self.tags.gps)

    def upright(self) -> Metadata:
        """Metadata still valid after applying the orientation: a georeference refers to the stored rows and columns."""
        if self.orientation == 1:
            return self
        dpi = self.dpi[::-1] if self.dpi and self.orientation >= 5 else self.dpi
        return replace(self, orientation=1, dpi=dpi, geotiff=())


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """Read the metadata of an image file; damaged or missing parts are skipped without an error."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # noqa: PTH123
            return parse_metadata(data)
    except (OSError, ValueError):
        return Metadata()


def parse_metadata(data: bytes | mmap.mmap) -> Metadata:
    """`read_metadata` for the contents of a file."""
    readers = {"jpeg": _of_jpeg, "png": _of_png, "webp": _of_webp, "tiff": _of_tiff, "bmp": _of_bmp}
    try:
        reader = readers.get(file_format(data[:64]) or "")
        return Metadata() if reader is None else reader(data)  # type: ignore[arg-type]
    except (struct.error, ValueError, IndexError, OverflowError, zlib.error):
        return Metadata()


def apply_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Turn stored pixels (h, w) or (h, w, c) upright. Source: CIPA DC-008 (EXIF 2.32), section 4.6.4."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def orientation_warnings(a: Metadata, b: Metadata) -> list[str]:
    """Warnings about a pair whose files are stored in different orientations."""
    if a.orientation == b.orientation:
        return []
    return [
        f"the files have different EXIF orientations ({a.orientation} and {b.orientation}), which were "
        "applied: check that both images are upright"
    ]


def _from_exif(block: bytes) -> Metadata:
    directories = read_directories(block)
    number = directories.get(ORIENTATION)
    orientation = int(number.numbers()[0]) if number is not None and number.kind == 3 else 1
    texts = tuple(entry for entry in directories.main if entry.tag in _TEXT_TAGS)
    return Metadata(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        tags=Directories(texts, directories.exif, directories.gps),
        dpi=_resolution(directories),
    )


def _resolution(directories: Directories) -> tuple[float, float] | None:
    across, down, density_kind = (directories.get(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION, _DENSITY_KIND))
    kind = density_kind.numbers()[0] if density_kind else 2
    if across is None or down is None or kind not in (2, 3):
        return None
    x, y = (entry.numbers()[0] * (2.54 if kind == 3 else 1) for entry in (across, down))
    return (x, y) if x > 0 and y > 0 else None


def _of_tiff(data: bytes) -> Metadata:
    directories = read_directories(data)
    icc, xmp = directories.get(_ICC), directories.get(_XMP)
    extras = directories.get(338)
    kinds = [] if extras is None else extras.numbers()
    return replace(
        _from_exif(data),
        icc=icc.value if icc else None,
        xmp=xmp.value if xmp else None,
        geotiff=tuple(entry for entry in directories.main if entry.tag in GEOTIFF_TAGS),
        extra_bands=len(kinds) - (2 in kinds),
        is_cog=is_cog(data),
    )


def _of_jpeg(data: bytes) -> Metadata:
    found, profile = Metadata(), {}
    density: tuple[float, float] | None = None
    for marker, content in _jpeg_segments(data):
        if marker == 0xE0 and content.startswith(b"JFIF\0"):
            per, x, y = struct.unpack_from(">BHH", content, 7)  # per inch (1) or centimeter (2)
            density = (x * (2.54 if per == 2 else 1), y * (2.54 if per == 2 else 1)) if per and x and y else None
        elif marker == 0xE1 and content.startswith(_EXIF_HEADER):
            found = replace(_from_exif(content[len(_EXIF_HEADER) :]), xmp=found.xmp)
        elif marker == 0xE1 and content.startswith(_XMP_HEADER):
            found = replace(found, xmp=content[len(_XMP_HEADER) :])
        elif marker == 0xE2 and content.startswith(_ICC_HEADER):
            profile[content[len(_ICC_HEADER)]] = content[len(_ICC_HEADER) + 2 :]
    icc = b"".join(profile[number] for number in sorted(profile)) or None
    return replace(found, icc=icc, dpi=density or found.dpi)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents up to the coded pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xFF or length < 2:  # a fill byte, or damage
            at += 1
            continue
        yield data[at + 1], bytes(data[at + 4 : at + 2 + length])
        at += 2 + length


def _of_png(data: bytes) -> Metadata:
    chunks, at = {}, len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"iTXt" and bytes(data[at + 8 : at + 26]) != b"XML:com.adobe.xmp\0":
            kind = b""
        if kind not in (b"IDAT", b""):
            chunks[kind] = bytes(data[at + 8 : at + 8 + length])
        at += 12 + length
    found = _from_exif(chunks[b"eXIf"]) if b"eXIf" in chunks else Metadata()
    if len(chunks.get(b"pHYs", b"")) == 9:
        x, y, per = struct.unpack(">IIB", chunks[b"pHYs"])
        found = replace(found, dpi=(x * _METERS_PER_INCH, y * _METERS_PER_INCH) if per == 1 and x and y else None)
    if b"iCCP" in chunks:
        packed = chunks[b"iCCP"].partition(b"\0")[2][1:]
        found = replace(found, icc=zlib.decompressobj().decompress(packed, _MOST_BYTES))
    if b"iTXt" in chunks:
        is_packed, _, rest = chunks[b"iTXt"][18], chunks[b"iTXt"][19], chunks[b"iTXt"][20:]
        text = rest.split(b"\0", 2)[2]
        found = replace(found, xmp=zlib.decompressobj().decompress(text, _MOST_BYTES) if is_packed else text)
    return replace(found, png_color=tuple((kind, chunks[kind]) for kind in _PNG_COLOR if kind in chunks))


def _of_webp(data: bytes) -> Metadata:
    chunks, at = {}, 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind in (b"EXIF", b"ICCP", b"XMP "):
            chunks[kind] = bytes(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    found = _from_exif(chunks[b"EXIF"].removeprefix(_EXIF_HEADER)) if b"EXIF" in chunks else Metadata()
    return replace(found, icc=chunks.get(b"ICCP"), xmp=chunks.get(b"XMP "))


def _of_bmp(data: bytes) -> Metadata:
    if struct.unpack_from("<I", data, 14)[0] < 40:
        return Metadata()
    x, y = struct.unpack_from("<ii", data, 38)
    return Metadata(dpi=(x * _METERS_PER_INCH, y * _METERS_PER_INCH) if x > 0 and y > 0 else None)
