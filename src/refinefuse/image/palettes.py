"""False color: detect the palette of an image, and convert its colors back to values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from refinefuse.errors import InputError
from refinefuse.filters import LUMA

Colors = UInt8[np.ndarray, "n 3"]

_SAMPLES = 2048  # pixels that are compared with tables
_NEAR = 8.0  # levels, as a distance in RGB, within which a pixel has a color of a table: what a JPEG moves it by
_FRACTION = 0.6  # of the pixels that must have colors of a table: visible images reach 0.15, a JPEG of hsv 0.62
_CHROMA = 6.0  # mean chroma in levels below which brightness says nearly all
_CELL = 32  # levels per side of the cells of the RGB cube in which colors are looked at
_CURVE = 1.2  # levels: how far colors of an unknown palette lie from a curve; in visible images it is 2.5 and more
_LEAST_OF_CELL = 0.002  # fraction of the pixels below which a cell says nothing

#: Palettes that can be read as values. Those whose ends have the same color cannot.
PALETTES = (
    "autumn", "cividis", "cool", "deepgreen", "hot", "inferno", "iron", "jet", "magma", "ocean", "parula",
    "plasma", "rainbow", "spring", "summer", "turbo", "viridis", "winter",
)  # fmt: skip
_CYCLIC = ("hsv", "twilight")
Stops = Sequence[tuple[float, float]]


def _stops(*channels: Stops) -> Colors:
    """A table whose red, green and blue go from stop to stop in straight lines."""
    x = np.linspace(0, 1, 256)
    values = [np.interp(x, [at for at, _ in stops], [value for _, value in stops]) for stops in channels]
    return _rounded(np.stack(values, 1))


def _rounded(values: Float[np.ndarray, "256 3"]) -> Colors:
    return np.floor(values.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@lru_cache
def _tables() -> dict[str, list[Colors]]:
    """The tables of each palette, the coldest color first.

    Most are OpenCV's. Source of the others: gnuplot's formulas 7,5,15 (iron) and 33,13,10 (rainbow), and the
    segments of jet and hot in Matplotlib's documentation.
    """
    gray, x = np.arange(256, dtype=np.uint8)[:, None], np.linspace(0, 1, 256)
    numbers = {name: getattr(cv2, f"COLORMAP_{name.upper()}", None) for name in (*PALETTES, *_CYCLIC)}
    tables = {
        name: [] if number is None else [np.asarray(cv2.applyColorMap(gray, number))[:, 0, ::-1].copy()]
        for name, number in numbers.items()
    }
    tables["iron"].append(_rounded(np.stack([np.sqrt(x), x**3, np.sin(2 * np.pi * x)], 1)))
    rainbow = np.stack([abs(2 * x - 0.5), np.sin(np.pi * x), np.cos(np.pi * x / 2)], 1)
    tables["rainbow"].append(_rounded(rainbow))
    tables["hot"].append(
        _stops(
            ((0, 0.0416), (0.365079, 1), (1, 1)),
            ((0, 0), (0.365079, 0), (0.746032, 1), (1, 1)),
            ((0, 0), (0.746032, 0), (1, 1)),
        )
    )
    tables["jet"].append(
        _stops(
            ((0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)),
            ((0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)),
            ((0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)),
        )
    )
    return tables


@dataclass(frozen=True)
class FalseColor:
    """The detected palette of an image.

    Attributes:
        palette: its name; empty if the colors lie on a curve that is none of the known palettes.
        fraction: of the pixels in flat parts of the image, how many have a color of the palette.
    """

    palette: str
    fraction: float

    @property
    def is_readable(self) -> bool:
        """Whether the colors can be read as values."""
        return self.palette in PALETTES


def find_palette(pixels: UInt8[np.ndarray, "h w c"]) -> FalseColor | None:
    """Detect false color and its palette; None for an ordinary image.

    Colors in flat parts of the image are compared with known tables. Unknown palettes are recognized by their colors,
    which lie on a curve; a JPEG blurs that too much.

    Args:
        pixels: RGB or RGBA.
    """
    colors = _flat_colors(pixels[..., :3])
    luma = colors @ np.array(LUMA, np.float32)
    chroma = np.stack([(colors[:, 2] - luma) / 1.772, (colors[:, 0] - luma) / 1.402], 1)
    strength = float(np.hypot(*chroma.T).mean())
    if strength < _CHROMA:
        return None
    few = colors[:: max(1, len(colors) // _SAMPLES)]
    found = [(_match(few, table), name) for name, tables in _tables().items() for table in tables]
    fits = [(match, name) for match, name in found if match.fraction >= _FRACTION]
    if fits:
        match, name = min(fits, key=lambda one: one[0].order)
        return FalseColor(name, match.fraction)
    bent = min(strength, float(np.hypot(*chroma.std(0)))) > 2 * _CHROMA
    return FalseColor("", 1.0) if bent and _thickness(colors) < _CURVE else None


def read_palette(pixels: UInt8[np.ndarray, "h w c"], palette: str) -> UInt8[np.ndarray, "h w"]:
    """Convert false color back to values from 0 to 255.

    Args:
        pixels: RGB or RGBA.
        palette: one of `PALETTES`.

    Raises:
        InputError: the palette is unknown, or is not that of the image.
    """
    if palette not in PALETTES:
        raise InputError(f"The palette must be one of\n  {', '.join(PALETTES)}\n  got: {palette!r}")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] < 3:
        raise InputError(
            f"A palette applies only to 8-bit color images.\n  got: {pixels.shape}, {pixels.dtype}\n"
            "Remove `palette`: gray values need none."
        )
    colors = _flat_colors(pixels[..., :3])
    matches = [(_match(colors, table), table) for table in _tables()[palette]]
    match, table = min(matches, key=lambda one: one[0].order)
    if match.fraction < _FRACTION:
        other = find_palette(pixels)
        looks = f"those of {other.palette}" if other and other.palette else "others"
        raise InputError(
            f"The colors are not those of the palette '{palette}': they are {looks}.\n"
            f"  expected: {_FRACTION:.0%} of the pixels or more\n  got: {match.fraction:.0%}\n"
            "Choose another palette, or export gray values."
        )
    packed = pixels[..., :3].astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    unique, inverse = np.unique(packed, return_inverse=True)
    values = np.concatenate(
        [_nearest(_unpacked(part), table)[0] for part in np.array_split(unique, 1 + len(unique) // 4096)]
    )
    return values[inverse].reshape(pixels.shape[:2]).astype(np.uint8)


def _unpacked(packed: np.ndarray) -> Float32[np.ndarray, "n 3"]:
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.float32)


def _flat_colors(pixels: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "n 3"]:
    """Colors of pixels whose neighbors are similar: elsewhere compression and resampling mix them."""
    pixels = np.ascontiguousarray(pixels)
    around = np.ones((3, 3), np.uint8)
    ranges = cv2.subtract(cv2.dilate(pixels, around), cv2.erode(pixels, around)).max(-1)
    flat: Colors = pixels[ranges <= max(float(np.median(ranges)), 6.0)]
    return flat[:: max(1, len(flat) // (16 * _SAMPLES))].astype(np.float32)


def _nearest(colors: Float32[np.ndarray, "n 3"], table: Colors) -> tuple[np.ndarray, np.ndarray]:
    """The entries of a table that are nearest to colors, and how far away they are."""
    entries = table.astype(np.float32)
    squares = (colors**2).sum(1)[:, None] + (entries**2).sum(1) - 2 * colors @ entries.T
    best = squares.argmin(1)
    best = (best + len(entries) - 1 - squares[:, ::-1].argmin(1)) // 2  # the middle of entries of one color
    return best, np.sqrt(np.maximum(squares[np.arange(len(best)), best], 0))


class _Match(NamedTuple):
    """Fraction of colors found in a table, and the score that selects between tables: lower is better."""

    fraction: float
    order: tuple[float, float]


def _match(colors: Float32[np.ndarray, "n 3"], table: Colors) -> _Match:
    entries, distances = _nearest(colors, table)
    apart = round(float(np.minimum(distances, 2 * _NEAR).mean()), 1)
    covered = float(np.subtract(*np.percentile(entries, (98, 2))))  # red to yellow is a part of other palettes too
    return _Match(float((distances <= _NEAR).mean()), (apart, -covered))


def _thickness(colors: Float32[np.ndarray, "n 3"]) -> float:
    """How far colors lie from a curve, in levels: across the longest axis within each cell, the median of the cells."""
    keys = (colors // _CELL).astype(int) @ np.array([64, 8, 1])
    found = []
    for key, count in enumerate(np.bincount(keys, minlength=512)):
        if count > max(_LEAST_OF_CELL * len(colors), 1):
            spread = np.linalg.eigvalsh(np.cov(colors[keys == key], rowvar=False))
            found.append((float(np.sqrt(max(spread[0] + spread[1], 0))), int(count)))
    found.sort()
    counts = np.cumsum([count for _, count in found])
    return found[int(np.searchsorted(counts, counts[-1] / 2))][0] if found else np.inf
