"""Read thermal images with their range and polarity, and check their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.image.color import to_tensor
from refinefuse.image.files import read_counts, read_image
from refinefuse.image.palettes import PALETTES, read_palette
from refinefuse.image.pixels import Pixels
from refinefuse.image.scanlines import ScanlineReader
from refinefuse.image.thermal import Counts, IntensityRange, default_range
from refinefuse.image.tiff_strips import TiffReader, reads_in_pieces
from refinefuse.inference.inputs import LoadedImage, load_input
from refinefuse.inference.inspection import PairWarning

Polarity = Literal["auto", "white-hot", "black-hot"]
_SAMPLED = 2**22  # pixels: the range of a larger TIFF is estimated from samples
_ROWS = 256  # rows read at once
_ASKED = 3  # files that determine the type of all files in a folder


class ThermalImage(NamedTuple):
    """A thermal source as read.

    Attributes:
        source: the image, white-hot, with the depth of its file.
        warnings: warnings about its range.
        range: the counts mapped to 0 and 1; None means those of the data type.
    """

    source: LoadedImage
    warnings: list[PairWarning]
    range: IntensityRange | None


@dataclass(frozen=True)
class ThermalOptions:
    """How a thermal source is read.

    Attributes:
        range: counts that become 0 and 1; None means that raw 16-bit counts get a range that covers nearly all of them,
            and that anything else is read as an ordinary image.
        polarity: how hot objects appear; `auto` means unknown: assumed to be white-hot, and checked.
        per_image: fit the range to each image of a folder instead of once to the folder.
        is_default: whether the range was chosen automatically.
        palette: palette whose colors are converted to values; None reads color images as they are.
        depth: data type of the counts that the range was fitted to; None means unknown.

    Raises:
        InputError: if the polarity is unknown.
    """

    range: IntensityRange | None = None
    polarity: Polarity = "auto"
    per_image: bool = False
    is_default: bool = False
    palette: str | None = None
    depth: np.dtype[Any] | None = None

    def __post_init__(self) -> None:
        if self.palette is not None and self.palette not in PALETTES:
            raise InputError(f"`palette` must be one of\n  {', '.join(PALETTES)}\n  got: {self.palette!r}")
        if self.palette is not None and self.range is not None:
            raise InputError("`range` applies to counts, but a palette has colors.\nUse either `range` or `palette`.")
        if self.polarity not in get_args(Polarity):
            raise InputError(f"`polarity` must be {', '.join(get_args(Polarity))}.\n  got: {self.polarity!r}")

    @property
    def reads_strips(self) -> bool:
        """Whether the image can be read strip by strip."""
        return (self.range is None or self.is_default) and self.polarity != "black-hot" and self.palette is None

    def with_range(self, fixed: IntensityRange) -> ThermalOptions:
        """Return a copy with fixed counts."""
        return replace(self, range=fixed, is_default=self.range is None or self.is_default)

    def fitted(self, files: Sequence[Path]) -> ThermalOptions:
        """Return a copy with one range fitted to all files of a sequence; unchanged if they are not raw counts.

        Files that cannot be read or have a different type are skipped.
        """
        if self.per_image or self.palette is not None:
            return self
        depth = _depth_of(files)
        frames = (counts for counts in _readable(files) if counts.dtype == depth)
        if self.range is not None:
            if depth is None and files:
                read_counts(files[0])  # none can be read: raise the error of the first
            return replace(self.with_range(self.range.fit(frames)), depth=depth)
        with suppress(InputError):  # one value only: an image
            if (found := default_range(frames)) is not None:
                return replace(self.with_range(found), depth=depth)
        return self

    def read(self, path: Path) -> ThermalImage:
        """Read the source, white-hot, with the depth of its file, and check its range.

        Raises:
            InputError: if the file cannot be read, or its counts do not fit the range.
        """
        if self.per_image and self.range is None and self.palette is None:
            return replace(self, per_image=False).fitted([path]).read(path)
        if self.palette is not None:
            read = ThermalImage(_read_false_color(path, self.palette), [], None)
        elif self.range is None:
            read = ThermalImage(load_input(path, "a"), [], None)
        else:
            read = self._read_counts(path, self.range)
        if self.polarity == "black-hot":
            image = read.source.image
            colors = image.shape[1] - (image.shape[1] in (2, 4))
            image = torch.cat([1 - image[:, :colors], image[:, colors:]], 1)
            read = read._replace(source=replace(read.source, image=image))
        return read

    def _read_counts(self, path: Path, rule: IntensityRange) -> ThermalImage:
        counts = read_counts(path)
        if self.depth not in (None, counts.dtype):
            raise InputError(
                f"Cannot use '{path}': its data type differs from that of the other files.\n"
                f"  expected: {self.depth}\n  got: {counts.dtype}\nExport it like the others, or leave it out."
            )
        try:
            fixed = rule.fit([counts])
            image = to_tensor(fixed.apply(counts))
        except InputError as error:
            raise InputError(f"Cannot use '{path}': {error}") from None
        depth = counts.dtype if counts.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
        depth = np.dtype(np.uint16) if counts.dtype == np.int16 else depth
        clipped = float(((counts < fixed.low) | (counts > fixed.high)).mean())
        warnings = [PairWarning("range", message, clipped) for message in fixed.warnings(counts)]
        source = LoadedImage(image, np.empty(counts.shape, depth), str(path))
        return ThermalImage(source, [*self.default_warnings(), *warnings], fixed)

    def default_warnings(self) -> list[PairWarning]:
        """Warnings about a range that was chosen automatically."""
        if self.range is None or not self.is_default:
            return []
        message = (
            f"`a` holds raw counts: {self.range.low:g} becomes black and {self.range.high:g} white "
            "(to change this, set `range` to MIN,MAX, percentile:LOW,HIGH or full)"
        )
        return [PairWarning("counts", message, (self.range.high - self.range.low) / 65535)]


def _read_false_color(path: Path, palette: str) -> LoadedImage:
    pixels = read_image(path)
    try:
        return LoadedImage.from_file(path, read_palette(pixels, palette))
    except InputError as error:
        raise InputError(f"Cannot use '{path}': {error}") from None


class RangeReader:
    """Scales counts to [0, 1] as their rows are read.

    Args:
        reader: reader of the counts.
        fixed: the range.

    Attributes:
        depth: data type of the counts.
    """

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, reader: ScanlineReader, fixed: IntensityRange) -> None:
        self.reader, self.fixed = reader, fixed
        self.shape, self.depth = reader.shape, reader.dtype

    def read_scanlines(self, start: int, stop: int) -> Pixels:
        """The rows from `start` up to, but without, `stop`."""
        values = self.reader.read_scanlines(start, stop).astype(np.float64)
        return ((values - self.fixed.low) / (self.fixed.high - self.fixed.low)).clip(0, 1).astype(np.float32)


def _depth_of(files: Sequence[Path]) -> np.dtype[Any] | None:
    """The most common type of the first files, the deepest one in a tie; None if none can be read."""
    types = Counter(counts.dtype for counts in islice(_readable(files), _ASKED))
    return max(types, key=lambda kind: (types[kind], kind.itemsize), default=None)


def _readable(files: Sequence[Path]) -> Iterator[Counts]:
    for file in files:
        with suppress(InputError):  # reported when it is fused
            yield _counts_of(file)


def _counts_of(path: Path) -> Counts:
    """Read the counts of a file, or evenly spaced samples of a large one that can be read in strips."""
    if path.suffix.lower() in (".tif", ".tiff") and reads_in_pieces(path):
        with closing(TiffReader(path)) as reader:
            height, width = reader.shape[:2]
            step = round((height * width / _SAMPLED) ** 0.5)
            if step > 1 and len(reader.shape) == 2:
                tops = range(0, height, _ROWS)
                strips = (reader.read_scanlines(top, min(top + _ROWS, height)) for top in tops)
                return np.concatenate(
                    [strip[-top % step :: step, ::step] for top, strip in zip(tops, strips, strict=True)]
                )
    return read_counts(path)
