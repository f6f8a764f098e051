"""Out-of-core fusion: pairs of large images, read and written strip by strip."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from refinefuse.atomic import atomic_path
from refinefuse.image.color import Color, YCbCrImage, restore_color, to_array, to_tensor, to_ycbcr
from refinefuse.image.files import read_image, write_images
from refinefuse.image.georeference import check_georeferences
from refinefuse.image.metadata import Metadata, read_metadata
from refinefuse.image.pixels import Pixels
from refinefuse.image.scanlines import ArrayReader, ScanlineBuffer, ScanlineReader, iter_strips
from refinefuse.image.tiff_strips import TiffReader, reads_in_pieces, write_tiff
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inputs import check_sizes
from refinefuse.inference.inspection import Preview
from refinefuse.inference.pipeline import Pair, Strip
from refinefuse.inference.thermal import RangeReader
from refinefuse.inference.tiling import Tile, iter_tiles, strip_tile
from refinefuse.network.context import StreamingGridStatistics
from refinefuse.network.fusion_model import Region

_ROWS = 64  # rows read at once
_PREVIEW = 1024  # longest side of the previews that are checked, in pixels

Readers = tuple[ScanlineReader, ScanlineReader]


@dataclass(frozen=True)
class StripFormat:
    """Format of a result that is written strip by strip.

    Attributes:
        shape: (h, w) or (h, w, c).
        dtype: the deeper type of the two sources.
        is_pyramid: whether to write a TIFF with reduced levels, because a source has them.
        suffix: file suffix in a folder run: TIFF if it can be written in strips or contains floats, else PNG.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_pyramid: bool
    suffix: str

    def as_gray(self, dtype: np.dtype[Any]) -> StripFormat:
        """Same size with one channel."""
        return replace(self, shape=self.shape[:2], dtype=dtype)


@contextmanager
def open_readers(files: Sequence[Path]) -> Iterator[Readers]:
    """Open a pair of files: TIFF files for reading strip by strip; others are decoded.

    Raises:
        InputError: if a file cannot be read.
    """
    with ExitStack() as stack:
        readers: list[ScanlineReader] = []
        for file in files:
            if file.suffix.lower() in (".tif", ".tiff") and reads_in_pieces(file):
                readers.append(stack.enter_context(closing(TiffReader(file))))
            else:
                readers.append(ArrayReader(read_image(file)))
        yield readers[0], readers[1]


def read_whole(reader: ScanlineReader) -> Pixels:
    """Read all pixels; a TIFF is decoded in one go."""
    return read_image(reader.path) if isinstance(reader, TiffReader) else reader.read_scanlines(0, reader.shape[0])


def format_of(readers: Readers, color: Color) -> StripFormat:
    """The format of the result of two sources."""
    depths = [reader.depth if isinstance(reader, RangeReader) else reader.dtype for reader in readers]
    deeper: np.dtype[Any] = max(depths, key=lambda dtype: (dtype.kind == "f", dtype.itemsize))
    pixel_a, pixel_b = (to_ycbcr(to_tensor(np.zeros((1, 1, *x.shape[2:]), x.dtype))) for x in readers)
    channels = restore_color(pixel_a.luma, pixel_a, pixel_b, color).shape[1]
    plain = [reader.reader if isinstance(reader, RangeReader) else reader for reader in readers]
    tiffs = [reader for reader in plain if isinstance(reader, TiffReader)]
    suffix = ".tif" if tiffs or deeper == np.float32 else ".png"
    shape = (*readers[0].shape[:2], channels) if channels > 1 else readers[0].shape[:2]
    return StripFormat(shape, deeper, any(reader.is_pyramid for reader in tiffs), suffix)


def iter_pairs(fuser: Fuser, readers: Readers, files: Sequence[Path], side: int) -> Iterator[Pair]:
    """Yield the strips of a pair of images of the same size: each one row of tiles with the margin they need.

    Only the rows for one row of tiles are in memory at any time. All strips of a pair together count as one progress
    step.

    Args:
        fuser: the fuser.
        readers: the two sources.
        files: their paths, for messages.
        side: side of a tile, in pixels.

    Raises:
        InputError: if the sources differ in size or GeoTIFF location, or cannot be read.
    """
    a, b = readers
    paths, metadata = tuple(map(str, files)), tuple(map(read_metadata, files))
    check_georeferences(paths, metadata, b.shape[:2])
    check_sizes([torch.empty(1, 1, *reader.shape[:2], device="meta") for reader in readers], paths)
    model = fuser.model
    statistics, preview = _summarize(readers, model.config.context_size)
    height, width = a.shape[:2]
    tile = strip_tile(side, width, model.halo)
    rows = list(iter_tiles(height, width, tile, model.halo, model.config.stride))
    held = [_RowBuffer(a), _RowBuffer(b)]
    for index, row in enumerate(rows):
        crop = row[0].padded
        images = tuple(to_tensor(buffer.take(crop.top, crop.top + crop.height)) for buffer in held)
        yield Pair(
            name=paths[0],
            images=images,
            origin=None,
            paths=paths,
            metadata=metadata,
            preview=preview if index == 0 else None,
            strip=Strip(statistics, tuple(_within_strip(tile) for tile in row)),
            steps=int(index == len(rows) - 1),
        )


def _within_strip(tile: Tile) -> Tile:
    """Convert a tile to coordinates of its row of tiles."""
    region, padded = tile.region, tile.padded
    return Tile(
        Region(0, region.left, region.height, region.width),
        Region(0, padded.left, padded.height, padded.width),
        tile.inner,
    )


def _summarize(readers: Readers, grid: int) -> tuple[tuple[torch.Tensor, torch.Tensor], Preview]:
    """Read both sources once, for their grid statistics and subsampled previews."""
    height, width = readers[0].shape[:2]
    step = -(-max(height, width) // _PREVIEW)
    results, small = [], []
    for reader in readers:
        statistics, rows = StreamingGridStatistics(height, width, grid), []
        for top in range(0, height, _ROWS):
            strip = reader.read_scanlines(top, min(top + _ROWS, height))
            statistics.add(to_ycbcr(to_tensor(strip)).luma)
            rows.append(strip[-top % step :: step, ::step].copy())
        results.append(statistics.result().float())
        small.append(np.concatenate(rows))
    preview = Preview((to_tensor(small[0]), to_tensor(small[1])), (small[0],), step)
    return (results[0], results[1]), preview


class _RowBuffer:
    """Buffers rows of an image read from top to bottom, so that rows shared by two strips are read once."""

    def __init__(self, reader: ScanlineReader) -> None:
        self._reader = reader
        self._top, self._rows = 0, np.empty((0, *reader.shape[1:]), reader.dtype)

    def take(self, start: int, stop: int) -> Pixels:
        kept = self._rows[start - self._top :]
        rows = np.empty((stop - start, *kept.shape[1:]), kept.dtype)
        rows[: len(kept)] = kept
        for top in range(start + len(kept), stop, _ROWS):
            end = min(top + _ROWS, stop)
            rows[top - start : end - start] = self._reader.read_scanlines(top, end)
        self._top, self._rows = start, rows
        return rows


def render_strip(pair: Pair, form: StripFormat, color: Color) -> tuple[Pixels, Pixels]:
    """Render a fused strip: the rows of the result, and of the weight map as 8-bit gray.

    Raises:
        Exception: the error of the pair, if there is no result.
    """
    output = pair.require_output()
    inner = pair.strip.tiles[0].inner if pair.strip else Region(0, 0, *output.fused.shape[2:])
    parts = []
    for top in range(0, inner.height, _ROWS):  # color conversion needs several times the memory of the planes
        rows = slice(top, min(top + _ROWS, inner.height))
        a, b = (_rows(planes, inner.top + rows.start, inner.top + rows.stop) for planes in pair.planes)
        parts.append(to_array(restore_color(output.fused[..., rows, :], a, b, color), form.dtype))
    return np.concatenate(parts), to_array(output.weight_map, np.uint8)


def _rows(planes: YCbCrImage, start: int, stop: int) -> YCbCrImage:
    rows = slice(start, stop)
    chroma, alpha = (None if plane is None else plane[..., rows, :] for plane in (planes.chroma, planes.alpha))
    return YCbCrImage(planes.luma[..., rows, :], chroma, alpha)


def write_strips(
    files: ExitStack, path: Path, form: StripFormat, strips: Iterator[Pixels], metadata: Metadata, *, keep: bool
) -> None:
    """Write strips to a file, which appears under its name when `files` exits without an error.

    Args:
        files: keeps the file pending until everything is written.
        path: path of the file; only TIFF is written strip by strip.
        form: format of the result.
        strips: all rows from top to bottom.
        metadata: metadata to write.
        keep: leave an existing file unchanged, but still consume the strips, because other outputs depend on them.
    """
    if keep:
        deque(strips, 0)
    elif path.suffix.lower() in (".tif", ".tiff"):
        temporary = files.enter_context(atomic_path(path))
        write_tiff(temporary, form.shape, form.dtype, strips, pyramid=form.is_pyramid, metadata=metadata)
    else:
        whole, top = np.empty(form.shape, form.dtype), 0
        for strip in strips:
            whole[top : top + len(strip)] = strip
            top += len(strip)
        write_images({path: whole}, metadata={path: metadata}, overwrite=True)


def buffered_strips(buffer: ScanlineBuffer) -> Iterator[Pixels]:
    """Iterate over all rows of a buffer."""
    return iter_strips(buffer, _ROWS)
