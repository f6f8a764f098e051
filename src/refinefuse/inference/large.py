"""Pictures that are larger than memory: read, fused and handed on by bands of rows."""

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

from refinefuse.alignment.check import misplaced
from refinefuse.alignment.edges import luma
from refinefuse.errors import InputError
from refinefuse.image.color import Color, Planes, merge, split, to_array, to_tensor
from refinefuse.image.files import placed, read_image, write_images
from refinefuse.image.pixels import Pixels
from refinefuse.image.polarity import pair_doubts
from refinefuse.image.raster import ArrayRaster, Raster, Spool, in_bands
from refinefuse.image.thermal import looks_raw
from refinefuse.image.tiff_rows import TiffRaster, reads_in_pieces, write_tiff
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.placing import AS_THEY_LIE, Placing
from refinefuse.inference.thermal import RAW, Reading
from refinefuse.inference.tiles import pieces
from refinefuse.network.context import Context, Reduction
from refinefuse.network.windows import Window

_BAND = 256  # rows of the pass that reads the context
_SMALL = 1024  # longest side of the small versions, in pixels
_LARGE_FILE = 1 << 20  # bytes; pictures in smaller files, but for TIFF, are not opened to see how large they are


class Band(NamedTuple):
    """The next rows of a result.

    Attributes:
        fused: (h, w) or (h, w, c), of the deeper type of the two sources.
        share: (h, w) uint8, the share of `a`: 255 where all of a pixel comes from it.
    """

    fused: Pixels
    share: Pixels


@dataclass(frozen=True)
class LargePair:
    """Two pictures of one size that are fused by bands of rows; as TIFF they are never in memory as a whole.

    Attributes:
        fuser: how to fuse.
        a: the first source.
        b: the second source.
        side: of a tile, in pixels.
        polarity: whether it is open what hot things are in `a`, so that it has to be checked.
    """

    fuser: Fuser
    a: Raster
    b: Raster
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
        """The format of the result in a folder run: TIFF if it can be written by bands, or holds floats; else PNG."""
        by_bands = isinstance(self.a, TiffRaster) or isinstance(self.b, TiffRaster)
        return ".tif" if by_bands or deeper(self.a, self.b) == np.float32 else ".png"

    def write(
        self, output: Path, explain: Path | None = None, placing: Placing = AS_THEY_LIE, *, overwrite: bool = False
    ) -> list[str]:
        """Fuse and write; a TIFF gets a pyramid if a source has one. A file that is there and may not go is kept.

        Returns:
            What looks wrong with the pair.

        Raises:
            InputError: if a source is damaged, or a file cannot be written; nothing is written then.
            AlignmentError: the pair looks wrong, and `placing` refuses that.
        """
        shape, dtype = result_shape(self.a, self.b, self.fuser.color), deeper(self.a, self.b)
        pyramid = any(isinstance(raster, TiffRaster) and raster.is_pyramid for raster in (self.a, self.b))
        survey = _survey(self.fuser, self.a, self.b)
        doubts = survey.doubts(self.polarity)
        placing.check(doubts)
        with (
            tqdm(total=shape[0], desc=f"fusing '{output.name}'", unit="row", file=sys.stderr) as bar,
            Spool(shape[:2], np.dtype(np.uint8)) as shares,
            ExitStack() as files,
        ):

            def fused() -> Iterator[Pixels]:
                for band in fuse_bands(self.fuser, self.a, self.b, self.side, survey.context):
                    shares.append(band.share)
                    yield band.fused
                    bar.update(len(band.fused))

            _write(files, output, shape, dtype, fused(), pyramid, overwrite)
            if explain is not None:
                _write(files, explain, shape[:2], shares.dtype, in_bands(shares, _BAND), pyramid, overwrite)
        return doubts


@contextmanager
def opened_large(fuser: Fuser, files: Sequence[Path], reading: Reading) -> Iterator[LargePair | None]:
    """Open files by rows if they are a pair that is painted by tiles, as stored; None for all others.

    Raises:
        InputError: if a file cannot be read, or they differ in size.
    """
    if len(files) != 2 or reading.range is not None or reading.polarity == "black-hot":
        yield None
        return
    with ExitStack() as stack:
        rasters: list[Raster] = []
        for file in files:
            if reads_in_pieces(file):
                rasters.append(stack.enter_context(closing(TiffRaster(file))))
            elif not file.is_file() or file.stat().st_size < _LARGE_FILE:
                yield None  # small, or for others to refuse
                return
            else:
                rasters.append(ArrayRaster(read_image(file)))
        a, b = rasters
        side = fuser.tile_side(*a.shape[:2])
        if side is not None:
            _check_sizes(a, b, files)
        yield None if side is None else LargePair(fuser, a, b, side, reading.polarity is None)


def _check_sizes(a: Raster, b: Raster, names: Sequence[Path]) -> None:
    if a.shape[:2] != b.shape[:2]:
        sizes = [f"{x.shape[0]} x {x.shape[1]}   '{name}'" for x, name in zip((a, b), names, strict=True)]
        raise InputError(
            f"`a` and `b` must have the same height and width.\n  a: {sizes[0]}\n  b: {sizes[1]}\n"
            "Align the pair first (--align, or refinefuse align), or crop both to the same window."
        )


def _write(
    files: ExitStack,
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    bands: Iterator[Pixels],
    pyramid: bool,
    overwrite: bool,
) -> None:
    """Write bands to a file, which appears under its name when `files` closes without an error."""
    if path.exists() and not overwrite:
        deque(bands, 0)  # they are taken all the same: what else is wanted hangs on them
        return
    if path.suffix.lower() in (".tif", ".tiff"):
        write_tiff(files.enter_context(placed(path)), shape, dtype, bands, pyramid=pyramid)
        return
    whole, top = np.empty(shape, dtype), 0
    for band in bands:
        whole[top : top + len(band)] = band
        top += len(band)
    write_images({path: whole}, overwrite=overwrite)


def fuse_bands(fuser: Fuser, a: Raster, b: Raster, side: int, context: Context | None = None) -> Iterator[Band]:
    """Fuse two pictures of one size, one row of tiles after the other.

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
    context = _survey(fuser, a, b).context if context is None else context
    windows = pieces(height, width, side, fuser.model.halo, fuser.model.config.stride)
    held = [_Held(a), _Held(b)]
    for row in windows:
        crop = row[0].crop
        bands = [rows.take(crop.top, crop.top + crop.height) for rows in held]
        fused = np.empty((row[0].window.height, *shape[1:]), dtype)
        share = np.empty((row[0].window.height, width), np.uint8)
        for piece in row:
            of_a, of_b = (_columns(band, piece.crop) for band in bands)
            part, part_share = _fuse_piece(fuser, of_a, of_b, context, piece.inner)
            columns = slice(piece.window.left, piece.window.left + piece.window.width)
            fused[:, columns] = to_array(part, dtype)
            share[:, columns] = to_array(part_share, np.uint8)
        yield Band(fused, share)


def deeper(a: Raster, b: Raster) -> np.dtype[Any]:
    """The type of the result: that of the source with more levels."""
    return max(a.dtype, b.dtype, key=lambda dtype: (dtype.kind == "f", dtype.itemsize))


def result_shape(a: Raster, b: Raster, color: Color) -> tuple[int, ...]:
    """The shape of the result of two sources."""
    one = [to_tensor(np.zeros((1, 1, *raster.shape[2:]), raster.dtype)) for raster in (a, b)]
    planes_a, planes_b = (split(image) for image in one)
    channels = merge(planes_a.luma, planes_a, planes_b, color).shape[1]
    return (*a.shape[:2], channels) if channels > 1 else a.shape[:2]


class _Held:
    """Rows of a picture that comes from top to bottom; what two takes share is read once."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self._top, self._rows = 0, np.empty((0, *raster.shape[1:]), raster.dtype)

    def take(self, start: int, stop: int) -> Pixels:
        kept = self._rows[start - self._top :]
        rows = np.empty((stop - start, *kept.shape[1:]), kept.dtype)
        rows[: len(kept)] = kept
        for top in range(start + len(kept), stop, _BAND):
            end = min(top + _BAND, stop)
            rows[top - start : end - start] = self._raster.rows(top, end)
        self._top, self._rows = start, rows
        return rows


@dataclass(frozen=True)
class _Survey:
    """What one pass over a pair finds out: the context, and a small version of each source: every `step`-th pixel."""

    context: Context
    small: tuple[Pixels, Pixels]
    step: int

    def doubts(self, polarity: bool) -> list[str]:
        raw = [RAW] if looks_raw(self.small[0]) else []
        where = misplaced(luma(self.small[0]), luma(self.small[1]), self.step)
        return raw + where + pair_doubts(*(to_tensor(pixels) for pixels in self.small), polarity=polarity)


def _survey(fuser: Fuser, a: Raster, b: Raster) -> _Survey:
    """Read both sources once."""
    height, width = a.shape[:2]
    step = -(-max(height, width) // _SMALL)
    results, small = [], []
    for raster in (a, b):
        reduction, rows = Reduction(height, width, fuser.model.config.grid), []
        for top in range(0, height, _BAND):
            band = raster.rows(top, min(top + _BAND, height))
            reduction.add(split(to_tensor(band)).luma)
            rows.append(band[-top % step :: step, ::step].copy())
        results.append(reduction.result().float())
        small.append(np.concatenate(rows))
    return _Survey(fuser.context_of_reduced(*results), (small[0], small[1]), step)


def _fuse_piece(fuser: Fuser, a: Pixels, b: Pixels, context: Context, inner: Window) -> tuple[Tensor, Tensor]:
    """The inner window of two crops, fused, and the share of `a` there."""
    planes_a, planes_b = (split(to_tensor(pixels)) for pixels in (a, b))
    luma, share = fuser.paint_window(planes_a.luma, planes_b.luma, context, inner)
    return merge(luma, _inside(planes_a, inner), _inside(planes_b, inner), fuser.color), share


def _columns(band: Pixels, crop: Window) -> Pixels:
    return np.ascontiguousarray(band[:, crop.left : crop.left + crop.width])


def _inside(planes: Planes, window: Window) -> Planes:
    def cut(plane: Tensor | None) -> Tensor | None:
        down, across = (slice(start, start + n) for start, n in ((window[0], window[2]), (window[1], window[3])))
        return None if plane is None else plane[..., down, across]

    return Planes(planes.luma[..., :0], cut(planes.chroma), cut(planes.alpha))
