"""Large images by tiles: which regions, and which part of the sources each of them needs.

A region that is fused from its crop is the same as in the image as a whole: the context is that of the whole pair, the
crop reaches as far around the region as the network sees, and its corner lies on the network's grid of cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from refinefuse.errors import InputError
from refinefuse.network.config import NetworkConfig
from refinefuse.network.fusion_model import Region

TileSize: TypeAlias = Literal["auto", "off"] | int
"""Side of a tile in pixels, `auto` (by size and free memory) or `off`."""


class TileLimits(NamedTuple):
    """What `auto` goes by on one kind of device.

    Attributes:
        whole: pixels up to which it uses one tile. Beyond, tiles are as fast (caches) and need less memory.
        crop: longest side of the crops that it cuts: longer ones need more memory and are slower per pixel, shorter
            ones are mostly halo.
    """

    whole: int
    crop: int


CPU = TileLimits(4_000_000, 1344)
CUDA = TileLimits(16_000_000, 3072)
_STRIP = 6_000_000
"""Pixels of the rows that one row of tiles needs, up to which they are held: three of them are under way at a time."""
_MAPS = 18
"""Memory of the trunk, as a number of maps of the first scale's features (measured at 1024 x 1024: 14 to 17)."""
_PLANES = 28
"""Memory of the head, as a number of images (measured at 2048 x 2048: 22 to 25)."""


class Tile(NamedTuple):
    """One tile.

    Attributes:
        region: what is fused, in the image.
        padded: what must be known of the sources for that, in the image.
        inner: the region again, in the crop.
    """

    region: Region
    padded: Region
    inner: Region


def check_tile(tile: TileSize, halo: int) -> None:
    """Refuse a side that makes no sense.

    Raises:
        InputError: if it is neither a word nor a number, or smaller than the halo.
    """
    if isinstance(tile, str) and tile not in ("auto", "off"):
        raise InputError(f"`tile` must be auto, off or a number of pixels.\n  got: {tile!r}")
    if not isinstance(tile, str) and tile < halo:
        raise InputError(
            "`tile` must be at least as large as the margin that the network needs around it.\n"
            f"  at least: {halo} pixels\n  got: {tile}\n"
            "With smaller tiles every pixel would be computed over nine times. Use auto, or a larger number."
        )


def tile_side(
    tile: TileSize, height: int, width: int, config: NetworkConfig, halo: int, free: int, limits: TileLimits = CPU
) -> int | None:
    """The side of the tiles for an image; None if it is fused in one tile.

    Args:
        tile: what the user asked for.
        height: of the image, in pixels.
        width: of the image.
        config: of the network.
        halo: of the network, in pixels.
        free: bytes of memory that are left; `auto` takes at most half of them.
        limits: of the device.
    """
    if tile == "off":
        return None
    if tile != "auto":
        return None if tile >= max(height, width) else int(tile)
    affordable = free // 2 // bytes_per_pixel(config)
    if height * width <= min(limits.whole, affordable):
        return None
    crop = min(limits.crop, math.isqrt(affordable))
    return max(crop - 2 * halo, halo)


def batch_size(shape: Sequence[int], config: NetworkConfig, free: int) -> int:
    """How many images of a batch (n, 1, h, w) fit into half of the free memory, at least 1."""
    return max(1, free // 2 // (bytes_per_pixel(config) * shape[2] * shape[3]))


def bytes_per_pixel(config: NetworkConfig) -> int:
    """Memory that fusing in float32 takes, in bytes per pixel of the crop."""
    return 4 * max(-(-_MAPS * config.channels[0] // config.patch_size**2), _PLANES)


def strip_tile(side: int, width: int, halo: int) -> tuple[int, int]:
    """Height and width of the tiles of an image that is read row by row: lower ones, but as large, where it is wide."""
    crop = side + 2 * halo
    low = max(min(crop, _STRIP // width), 4 * halo)
    return (side, side) if low >= crop else (low - 2 * halo, crop**2 // low - 2 * halo)


def iter_tiles(height: int, width: int, side: int | tuple[int, int], halo: int, stride: int) -> Iterator[list[Tile]]:
    """The tiles of an image, row by row.

    Args:
        height: of the image, in pixels.
        width: of the image.
        side: of a tile, or its height and width; those at the right and at the bottom may be smaller.
        halo: how far around its region a tile reaches.
        stride: crops begin at multiples of it.
    """
    down, across = (side, side) if isinstance(side, int) else side
    for top in range(0, height, down):
        vertical = _span(top, down, height, halo, stride)
        spans = [(vertical, _span(left, across, width, halo, stride)) for left in range(0, width, across)]
        yield [_tile(*both) for both in spans]


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


def _tile(y: _Span, x: _Span) -> Tile:
    return Tile(
        Region(y.start, x.start, y.length, x.length),
        Region(y.first, x.first, y.reach, x.reach),
        Region(y.start - y.first, x.start - x.first, y.length, x.length),
    )
