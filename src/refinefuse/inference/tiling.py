"""Tiling of large images: the regions, and the part of the sources that each of them needs.

A region fused from its crop is identical to the same region of the whole image: the context is that of the whole pair,
the crop includes the receptive field around the region, and its corner is aligned to the network's grid of cells.
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
    """Limits of `auto` for one kind of device.

    Attributes:
        whole: largest image fused in one tile, in pixels. Beyond, tiles are as fast (caches) and need less memory.
        crop: longest side of a crop: longer ones need more memory and are slower per pixel, shorter ones are mostly
            halo.
    """

    whole: int
    crop: int


CPU = TileLimits(4_000_000, 1344)
CUDA = TileLimits(16_000_000, 3072)
_STRIP = 6_000_000
"""Maximum number of pixels in the rows for one row of tiles; three of these are in memory at a time."""
_MAPS = 18
"""Memory of the trunk, in units of the first scale's feature maps (measured at 1024 x 1024: 14 to 17)."""
_PLANES = 28
"""Memory of the head, in units of single-channel images (measured at 2048 x 2048: 22 to 25)."""


class Tile(NamedTuple):
    """One tile.

    Attributes:
        region: the region to fuse, in image coordinates.
        padded: the crop of the sources that it needs, in image coordinates.
        inner: the region in crop coordinates.
    """

    region: Region
    padded: Region
    inner: Region


def check_tile(tile: TileSize, halo: int) -> None:
    """Check a tile size.

    Raises:
        InputError: if it is neither a keyword nor a number, or smaller than the halo.
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
    """Choose the tile side for an image; None means a single tile.

    Args:
        tile: the user's option.
        height: height of the image, in pixels.
        width: width of the image.
        config: config of the network.
        halo: halo of the network, in pixels.
        free: free memory in bytes; `auto` uses at most half of it.
        limits: limits of the device.
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
    """Number of images of a batch (n, 1, h, w) that fit into half of the free memory, at least 1."""
    return max(1, free // 2 // (bytes_per_pixel(config) * shape[2] * shape[3]))


def bytes_per_pixel(config: NetworkConfig) -> int:
    """Memory for fusion in float32, in bytes per pixel of the crop."""
    return 4 * max(-(-_MAPS * config.channels[0] // config.patch_size**2), _PLANES)


def strip_tile(side: int, width: int, halo: int) -> tuple[int, int]:
    """Tile height and width for an image read row by row: flatter tiles of the same area if it is wide."""
    crop = side + 2 * halo
    low = max(min(crop, _STRIP // width), 4 * halo)
    return (side, side) if low >= crop else (low - 2 * halo, crop**2 // low - 2 * halo)


def iter_tiles(height: int, width: int, side: int | tuple[int, int], halo: int, stride: int) -> Iterator[list[Tile]]:
    """Yield the tiles of an image, row by row.

    Args:
        height: height of the image, in pixels.
        width: width of the image.
        side: side of a tile, or its height and width; tiles at the right and bottom may be smaller.
        halo: margin of a tile around its region.
        stride: crops start at multiples of this.
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
    """Start and end of a tile and of its crop along one axis."""
    end = min(start + side, length)
    first = max(0, start - halo) // stride * stride
    return _Span(start, end - start, first, min(-(-(end + halo) // stride) * stride, length) - first)


def _tile(y: _Span, x: _Span) -> Tile:
    return Tile(
        Region(y.start, x.start, y.length, x.length),
        Region(y.first, x.first, y.reach, x.reach),
        Region(y.start - y.first, x.start - x.first, y.length, x.length),
    )
