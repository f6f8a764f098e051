"""Video tags and metadata: color, rotation, mastering display, author and date."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse.inference.video.containers import Container, Encoding
from refinefuse.inference.video.frames import import_av

if TYPE_CHECKING:
    from av import VideoFrame

_OF_THE_FILE = {
    "encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "duration", "rotate", "software",
    "statistics_tags", "bps", "number_of_frames", "number_of_bytes", "compatible_players",
}  # fmt: skip
_COMMON_MATRICES = (0, 2, 5, 6)  # RGB, which becomes BT.601; unspecified; BT.601, the default of players
_QUICKTIME = {
    "deu": "ger", "nld": "dut", "zho": "chi", "ell": "gre", "isl": "ice", "sqi": "alb",
    "fre": "fra", "cze": "ces", "rum": "ron", "slo": "slk", "swe": "sve",
}  # fmt: skip  # the supported one of several codes for a language
_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


@dataclass(frozen=True)
class ImageTags:
    """Tags of the first image of a video.

    Attributes:
        matrix: FFmpeg's display matrix; None if there is none.
        rotation: rotation of that matrix in degrees, counter-clockwise.
        colorspace: code of its YUV matrix (ITU-T H.273).
        mastering: mastering display (SMPTE ST 2086) in FFmpeg's format; empty if unknown.
        light: content light level (CTA-861.3).
    """

    matrix: tuple[int, ...] | None
    rotation: int
    colorspace: int
    mastering: bytes
    light: bytes

    @classmethod
    def of(cls, image: VideoFrame) -> ImageTags:
        """Read the tags of an image."""
        container: Iterable[Any] = image.side_data
        found: dict[str, bytes] = {}
        with suppress(ValueError):  # a kind that PyAV does not know
            found = {data.type.name: bytes(data) for data in container}
        matrix = struct.unpack("9i", found["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in found else _UPRIGHT
        mastering, light = (found.get(name, b"") for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"))
        rotation = image.rotation if matrix != _UPRIGHT else 0
        return cls(None if matrix == _UPRIGHT else matrix, rotation, int(image.colorspace), mastering, light)


def portable(metadata: Mapping[str, str]) -> dict[str, str]:
    """Drop metadata that only applies to the original file."""
    return {
        key: value
        for key, value in metadata.items()
        if value and not key.startswith("_") and key.lower().split("-")[0] not in _OF_THE_FILE
    }


def of_track(metadata: Mapping[str, str], container: Container) -> dict[str, str]:
    """Convert track metadata for another container."""
    found = portable(metadata)
    if "name" in found:  # its name in MP4
        found.setdefault("title", found.pop("name"))
    language = found.get("language", "")
    if container.format == "mov" and language in _QUICKTIME:
        found["language"] = _QUICKTIME[language]
    return found


def dropped_tags(container: Container, encoding: Encoding, tags: ImageTags, suffix: str) -> list[str]:
    """Warn about tags that the file cannot store; empty if there are none."""
    lost = []
    if container.steady and tags.matrix:
        lost.append("rotation")
    if container.steady and tags.colorspace not in _COMMON_MATRICES:
        lost.append("YUV matrix")
    if encoding.lossless and (tags.mastering or tags.light):
        lost.append("HDR10 display and brightness")
    return [f"a {suffix} file with {encoding.encoder} cannot store these tags: {', '.join(lost)}"] * bool(lost)


def dropped_metadata(wanted: Mapping[str, str], languages: Iterable[str], path: Path) -> list[str]:
    """Warn about metadata and languages missing in a written file; empty if there are none."""
    with import_av().open(str(path), metadata_errors="replace") as container:
        found = {key.lower() for key in container.metadata}
        spoken = {stream.language for stream in container.streams}
    lost = [key for key in portable(wanted) if key.lower() not in found]
    lost += [f"language {one}" for one in languages if not {one, _QUICKTIME.get(one, one)} & spoken]
    return [f"a {path.suffix.lower()} file cannot store these tags of `b`: {', '.join(lost)}"] * bool(lost)


def hdr_options(encoder: str, tags: ImageTags) -> dict[str, str]:
    """Options for x264 and x265 to preserve HDR10 metadata."""
    key, names = {
        "libx264": ("x264-params", ("mastering-display", "cll")),
        "libx265": ("x265-params", ("master-display", "max-cll")),
    }.get(encoder, ("", ()))
    values = (_mastering_display(tags.mastering), ",".join(map(str, struct.unpack("2I", tags.light[:8] or bytes(8)))))
    given = [
        f"{name}={value}"
        for name, value, data in zip(names, values, (tags.mastering, tags.light), strict=False)
        if data
    ]
    return {key: ":".join(given)} if given else {}


def _mastering_display(data: bytes) -> str:
    """Format AVMasteringDisplayMetadata for the encoders: steps of 0.00002, and of 0.0001 candela per square meter."""
    numbers = struct.unpack("20i", data[:80] or bytes(80))
    ratios = [top / (bottom or 1) for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = ([round(50000 * one) for one in ratios[i : i + 2]] for i in (0, 2, 4, 6))
    low, high = (round(10000 * one) for one in ratios[8:])
    points = zip(("G", "B", "R", "WP"), (green, blue, red, white), strict=True)
    return "".join(f"{name}({x},{y})" for name, (x, y) in points) + f"L({high},{low})"


def copy_color_tags(image: VideoFrame, context: Any) -> None:
    """Copy the color tags of an image to an encoder."""
    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
        setattr(context, name, getattr(image, name))
