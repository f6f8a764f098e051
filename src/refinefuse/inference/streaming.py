"""Images that are larger than memory: read, fused and handed on by strips of rows."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from tqdm import tqdm

from refinefuse.alignment.check import check_registration
from refinefuse.alignment.edges import luma
from refinefuse.atomic import atomic_path
from refinefuse.errors import InputError
from refinefuse.image.color import Color, YCbCrImage, restore_color, to_array, to_tensor, to_ycbcr
from refinefuse.image.files import read_image, write_images
from refinefuse.image.pixels import Pixels
from refinefuse.image.polarity import pair_warnings
from refinefuse.image.scanlines import ArrayReader, ScanlineBuffer, ScanlineReader, iter_strips
from refinefuse.image.thermal import looks_raw
from refinefuse.image.tiff_strips import TiffReader, reads_in_pieces, write_tiff
from refinefuse.inference.alignment_options import AS_ALIGNED, AlignmentOptions
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.thermal import RAW, ThermalOptions
from refinefuse.inference.tiling import iter_tiles
from refinefuse.network.context import Context, StreamingGridStatistics
from refinefuse.network.fusion_model import Region

_STRIP = 256  # rows of the pass that reads the context
_SMALL = 1024  # longest side of the small versions, in pixels
_LARGE_FILE = 1 << 20  # bytes; images in smaller files, but for TIFF, are not opened to see how large they are


class Strip(NamedTuple):
    """The next rows of a result.

    Attributes:
        fused: (h, w) or (h, w, c), of the deeper type of the two sources.
        weight_map: (h, w) uint8, the weight_map of `a`: 255 where all of a pixel comes from it.
    """

    fused: Pixels
    weight_map: Pixels


@dataclass(frozen=True)
class StreamedPair:
    """Two images of one size that are fused by strips of rows; as TIFF they are never in memory as a whole.

    Attributes:
        fuser: how to fuse.
        a: the first source.
        b: the second source.
        side: of a tile, in pixels.
        polarity: whether it is open what hot things are in `a`, so that it has to be checked.
    """

    fuser: Fuser
    a: ScanlineReader
    b: ScanlineReader
    side: int
    polarity: bool = True

    @property
    def height(self) -> int:
        """In pixels."""
        return self.a.shape[0]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.a.shape[1]

    @property
    def suffix(self) -> str:
        """The format of the result in a folder run: TIFF if it can be written by strips, or holds floats; else PNG."""
        by_strips = isinstance(self.a, TiffReader) or isinstance(self.b, TiffReader)
        return ".tif" if by_strips or deeper(self.a, self.b) == np.float32 else ".png"

    def write(
        self,
        output: Path,
        weight_map: Path | None = None,
        alignment: AlignmentOptions = AS_ALIGNED,
        *,
        overwrite: bool = False,
    ) -> list[str]:
        """Fuse and write; a TIFF gets a pyramid if a source has one. A file that is there and may not go is kept.

        Returns:
            What looks wrong with the pair.

        Raises:
            InputError: if a source is damaged, or a file cannot be written; nothing is written then.
            AlignmentError: the pair looks wrong, and `alignment` refuses that.
        """
        shape, dtype = result_shape(self.a, self.b, self.fuser.color), deeper(self.a, self.b)
        pyramid = any(isinstance(reader, TiffReader) and reader.is_pyramid for reader in (self.a, self.b))
        survey = _summarize(self.fuser, self.a, self.b)
        warnings = survey.warnings(self.polarity)
        alignment.check(warnings)
        with (
            tqdm(total=shape[0], desc=f"fusing '{output.name}'", unit="row", file=sys.stderr) as bar,
            ScanlineBuffer(shape[:2], np.dtype(np.uint8)) as weight_maps,
            ExitStack() as files,
        ):

            def fused() -> Iterator[Pixels]:
                for strip in fuse_strips(self.fuser, self.a, self.b, self.side, survey.context):
                    weight_maps.append(strip.weight_map)
                    yield strip.fused
                    bar.update(len(strip.fused))

            _write(files, output, shape, dtype, fused(), pyramid, overwrite)
            if weight_map is not None:
                _write(
                    files,
                    weight_map,
                    shape[:2],
                    weight_maps.dtype,
                    iter_strips(weight_maps, _STRIP),
                    pyramid,
                    overwrite,
                )
        return warnings


@contextmanager
def open_streamed(fuser: Fuser, files: Sequence[Path], thermal: ThermalOptions) -> Iterator[StreamedPair | None]:
    """Open files by rows if they are a pair that is painted by tiles, as stored; None for all others.

    Raises:
        InputError: if a file cannot be read, or they differ in size.
    """
    if len(files) != 2 or thermal.range is not None or thermal.polarity == "black-hot":
        yield None
        return
    with ExitStack() as stack:
        readers: list[ScanlineReader] = []
        for file in files:
            if reads_in_pieces(file):
                readers.append(stack.enter_context(closing(TiffReader(file))))
            elif not file.is_file() or file.stat().st_size < _LARGE_FILE:
                yield None  # small, or for others to refuse
                return
            else:
                readers.append(ArrayReader(read_image(file)))
        a, b = readers
        side = fuser.tile_side(*a.shape[:2])
        if side is not None:
            _check_sizes(a, b, files)
        yield None if side is None else StreamedPair(fuser, a, b, side, thermal.polarity is None)


def _check_sizes(a: ScanlineReader, b: ScanlineReader, names: Sequence[Path]) -> None:
    if a.shape[:2] != b.shape[:2]:
        sizes = [f"{x.shape[0]} x {x.shape[1]}   '{name}'" for x, name in zip((a, b), names, strict=True)]
        raise InputError(
            f"`a` and `b` must have the same height and width.\n  a: {sizes[0]}\n  b: {sizes[1]}\n"
            "Align the pair first (--align, or refinefuse align), or crop both to the same region."
        )


def _write(
    files: ExitStack,
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strips: Iterator[Pixels],
    pyramid: bool,
    overwrite: bool,
) -> None:
    """Write strips to a file, which appears under its name when `files` closes without an error."""
    if path.exists() and not overwrite:
        deque(strips, 0)  # they are taken all the same: what else is wanted hangs on them
        return
    if path.suffix.lower() in (".tif", ".tiff"):
        write_tiff(files.enter_context(atomic_path(path)), shape, dtype, strips, pyramid=pyramid)
        return
    whole, top = np.empty(shape, dtype), 0
    for strip in strips:
        whole[top : top + len(strip)] = strip
        top += len(strip)
    write_images({path: whole}, overwrite=overwrite)


def fuse_strips(
    fuser: Fuser, a: ScanlineReader, b: ScanlineReader, side: int, context: Context | None = None
) -> Iterator[Strip]:
    """Fuse two images of one size, one row of tiles after the other.

    In memory are, at any time, what one row of tiles needs of the sources, its result, and one crop in the network.

    Args:
        fuser: how to fuse.
        a: the first source.
        b: the second source.
        side: of a tile, in pixels.
        context: of the pair; None: it is read first.
    """
    height, width = a.shape[:2]
    shape, dtype = result_shape(a, b, fuser.color), deeper(a, b)
    context = _summarize(fuser, a, b).context if context is None else context
    regions = iter_tiles(height, width, side, fuser.model.halo, fuser.model.config.stride)
    held = [_RowBuffer(a), _RowBuffer(b)]
    for row in regions:
        crop = row[0].padded
        strips = [rows.take(crop.top, crop.top + crop.height) for rows in held]
        fused = np.empty((row[0].region.height, *shape[1:]), dtype)
        weight_map = np.empty((row[0].region.height, width), np.uint8)
        for tile in row:
            of_a, of_b = (_columns(strip, tile.padded) for strip in strips)
            part, part_share = _fuse_tile(fuser, of_a, of_b, context, tile.inner)
            columns = slice(tile.region.left, tile.region.left + tile.region.width)
            fused[:, columns] = to_array(part, dtype)
            weight_map[:, columns] = to_array(part_share, np.uint8)
        yield Strip(fused, weight_map)


def deeper(a: ScanlineReader, b: ScanlineReader) -> np.dtype[Any]:
    """The type of the result: that of the source with more levels."""
    return max(a.dtype, b.dtype, key=lambda dtype: (dtype.kind == "f", dtype.itemsize))


def result_shape(a: ScanlineReader, b: ScanlineReader, color: Color) -> tuple[int, ...]:
    """The shape of the result of two sources."""
    one = [to_tensor(np.zeros((1, 1, *reader.shape[2:]), reader.dtype)) for reader in (a, b)]
    planes_a, planes_b = (to_ycbcr(image) for image in one)
    channels = restore_color(planes_a.luma, planes_a, planes_b, color).shape[1]
    return (*a.shape[:2], channels) if channels > 1 else a.shape[:2]


class _RowBuffer:
    """Rows of a image that comes from top to bottom; what two takes weight_map is read once."""

    def __init__(self, reader: ScanlineReader) -> None:
        self._raster = reader
        self._top, self._rows = 0, np.empty((0, *reader.shape[1:]), reader.dtype)

    def take(self, start: int, stop: int) -> Pixels:
        kept = self._rows[start - self._top :]
        rows = np.empty((stop - start, *kept.shape[1:]), kept.dtype)
        rows[: len(kept)] = kept
        for top in range(start + len(kept), stop, _STRIP):
            end = min(top + _STRIP, stop)
            rows[top - start : end - start] = self._raster.read_scanlines(top, end)
        self._top, self._rows = start, rows
        return rows


@dataclass(frozen=True)
class _SummaryPass:
    """What one pass over a pair finds out: the context, and a small version of each source: every `step`-th pixel."""

    context: Context
    small: tuple[Pixels, Pixels]
    step: int

    def warnings(self, polarity: bool) -> list[str]:
        raw = [RAW] if looks_raw(self.small[0]) else []
        where = check_registration(luma(self.small[0]), luma(self.small[1]), self.step)
        return raw + where + pair_warnings(*(to_tensor(pixels) for pixels in self.small), polarity=polarity)


def _summarize(fuser: Fuser, a: ScanlineReader, b: ScanlineReader) -> _SummaryPass:
    """Read both sources once."""
    height, width = a.shape[:2]
    step = -(-max(height, width) // _SMALL)
    results, small = [], []
    for reader in (a, b):
        reduction, rows = StreamingGridStatistics(height, width, fuser.model.config.context_size), []
        for top in range(0, height, _STRIP):
            strip = reader.read_scanlines(top, min(top + _STRIP, height))
            reduction.add(to_ycbcr(to_tensor(strip)).luma)
            rows.append(strip[-top % step :: step, ::step].copy())
        results.append(reduction.result().float())
        small.append(np.concatenate(rows))
    return _SummaryPass(fuser.encode_context_from_stats(*results), (small[0], small[1]), step)


def _fuse_tile(fuser: Fuser, a: Pixels, b: Pixels, context: Context, inner: Region) -> tuple[Tensor, Tensor]:
    """The inner region of two crops, fused, and the weight_map of `a` there."""
    planes_a, planes_b = (to_ycbcr(to_tensor(pixels)) for pixels in (a, b))
    luma, weight_map = fuser.predict_region(planes_a.luma, planes_b.luma, context, inner)
    return restore_color(luma, _inside(planes_a, inner), _inside(planes_b, inner), fuser.color), weight_map


def _columns(strip: Pixels, crop: Region) -> Pixels:
    return np.ascontiguousarray(strip[:, crop.left : crop.left + crop.width])


def _inside(planes: YCbCrImage, region: Region) -> YCbCrImage:
    def cut(plane: Tensor | None) -> Tensor | None:
        down, across = (slice(start, start + n) for start, n in ((region[0], region[2]), (region[1], region[3])))
        return None if plane is None else plane[..., down, across]

    return YCbCrImage(planes.luma[..., :0], cut(planes.chroma), cut(planes.alpha))
