"""Large pictures in pieces: which windows, and which part of the sources each of them needs.

A window that is painted from its crop is the same as in the whole painting: the context is that of the whole pair, the
crop reaches as far around the window as the network sees, and its corner lies on the network's grid of cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from refinefuse.errors import InputError
from refinefuse.network.config import NetworkConfig
from refinefuse.network.windows import Window

Tile: TypeAlias = Literal["auto", "off"] | int
"""Side of a tile in pixels, `auto` (by size and free memory) or `off`."""

WHOLE = 4_000_000
"""Pixels up to which `auto` paints in one piece. Beyond, tiles are as fast (caches) and need less memory."""
CROP = 1344
"""Longest side of the crops that `auto` cuts: longer ones need more memory and are slower by pixel, shorter ones are
mostly halo."""
_MAPS = 18
"""Memory of the trunk, as a number of maps of the first scale's features (measured at 1024 x 1024: 14 to 17)."""
_PLANES = 28
"""Memory of the head, as a number of pictures (measured at 2048 x 2048: 22 to 25)."""


class Piece(NamedTuple):
    """One tile.

    Attributes:
        window: what is painted, in the picture.
        crop: what must be known of the sources for that, in the picture.
        inner: the window again, in the crop.
    """

    window: Window
    crop: Window
    inner: Window


def check_tile(tile: Tile, halo: int) -> None:
    """Refuse a side that makes no sense.

    Raises:
        InputError: if it is neither a word nor a number, or smaller than the halo.
    """
    if isinstance(tile, str) and tile not in ("auto", "off"):
        raise InputError(f"`tile` must be auto, off or a number of pixels.\n  got: {tile!r}")
    if not isinstance(tile, str) and tile < halo:
        raise InputError(
            f"`tile` must be at least as large as what the network sees around it.\n  at least: {halo} pixels\n"
            f"  got: {tile}\nSmaller tiles would be painted more than nine times over. Take auto, or a larger number."
        )


def tile_side(tile: Tile, height: int, width: int, config: NetworkConfig, halo: int, free: int) -> int | None:
    """The side of the tiles for a picture, None if it is painted in one piece.

    Args:
        tile: what the user asked for.
        height: of the picture, in pixels.
        width: of the picture.
        config: of the network.
        halo: of the network, in pixels.
        free: bytes of memory that are left; `auto` takes at most half of them.
    """
    if tile == "off":
        return None
    if tile != "auto":
        return None if tile >= max(height, width) else int(tile)
    affordable = free // 2 // bytes_by_pixel(config)
    if height * width <= min(WHOLE, affordable):
        return None
    crop = min(CROP, math.isqrt(affordable))
    return max(crop - 2 * halo, halo)


def bytes_by_pixel(config: NetworkConfig) -> int:
    """Memory that painting in float32 takes, in bytes a pixel of the crop."""
    return 4 * max(-(-_MAPS * config.widths[0] // config.fold**2), _PLANES)


def pieces(height: int, width: int, side: int, halo: int, stride: int) -> Iterator[list[Piece]]:
    """The tiles of a picture, row by row.

    Args:
        height: of the picture, in pixels.
        width: of the picture.
        side: of a tile; those at the right and at the bottom may be smaller.
        halo: how far around its window a piece reaches.
        stride: crops begin at multiples of it.
    """
    for top in range(0, height, side):
        vertical = _span(top, side, height, halo, stride)
        spans = [(vertical, _span(left, side, width, halo, stride)) for left in range(0, width, side)]
        yield [_piece(*both) for both in spans]


class _Span(NamedTuple):
    start: int
    length: int
    first: int
    reach: int


def _span(start: int, side: int, length: int, halo: int, stride: int) -> _Span:
    """Along one side: a tile, and from where and how far its crop reaches."""
    end = min(start + side, length)
    first = max(0, start - halo) // stride * stride
    return _Span(start, end - start, first, min(-(-(end + halo) // stride) * stride, length) - first)


def _piece(y: _Span, x: _Span) -> Piece:
    return Piece(
        Window(y.start, x.start, y.length, x.length),
        Window(y.first, x.first, y.reach, x.reach),
        Window(y.start - y.first, x.start - x.first, y.length, x.length),
    )
