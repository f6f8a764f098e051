"""Read thermal images: their range and polarity, and what looks wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.image.color import to_tensor
from refinefuse.image.files import read_counts
from refinefuse.image.polarity import pair_warnings
from refinefuse.image.thermal import Counts, IntensityRange, looks_raw
from refinefuse.inference.inputs import LoadedImage, load_input

RAW = (
    "`a` uses less than 1/8 of its 16 bits, so that little contrast is left: if it holds raw thermal counts, "
    "give --range percentile:1,99"
)


@dataclass(frozen=True)
class ThermalOptions:
    """How a source that gives no color is read.

    Attributes:
        range: which counts become 0 and 1; None: the file is a image, read as it is.
        polarity: what hot things are in it; None: not said, taken for white-hot and checked.
    """

    range: IntensityRange | None = None
    polarity: Literal["white-hot", "black-hot"] | None = None

    def fitted(self, files: Sequence[Path]) -> ThermalOptions:
        """With one fixed range for all files of a sequence. Files that cannot be read are passed over."""
        return self if self.range is None else replace(self, range=self.range.fit(_readable(files)))

    def read(self, path: Path) -> tuple[LoadedImage, list[str]]:
        """The source, white-hot, in the depth of its file, and what looks wrong with its counts.

        Raises:
            InputError: if the file cannot be read, or its counts do not go with the range.
        """
        if self.range is None:
            source = load_input(path, "a")
            warnings = [RAW] if looks_raw(np.asarray(source.given)) else []
        else:
            source, warnings = _read_counts(path, self.range)
        if self.polarity == "black-hot":
            colors = source.image.shape[1] - (source.image.shape[1] in (2, 4))
            image = torch.cat([1 - source.image[:, :colors], source.image[:, colors:]], 1)
            source = replace(source, image=image)
        return source, warnings


STORED_VALUES = ThermalOptions()


def warnings_of(a: LoadedImage, b: LoadedImage, thermal: ThermalOptions) -> list[str]:
    """What makes a pair look swapped, or `a` black-hot where its polarity was not said."""
    return pair_warnings(a.image, b.image, polarity=thermal.polarity is None)


def _read_counts(path: Path, rule: IntensityRange) -> tuple[LoadedImage, list[str]]:
    counts = read_counts(path)
    try:
        fixed = rule.fit([counts])
        image = to_tensor(fixed.apply(counts))
    except InputError as error:
        raise InputError(f"Cannot use '{path}': {error}") from None
    depth = counts.dtype if counts.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
    depth = np.dtype(np.uint16) if counts.dtype == np.int16 else depth
    return LoadedImage(image, np.zeros(counts.shape, depth), str(path)), fixed.warnings(counts)


def _readable(files: Sequence[Path]) -> Iterator[Counts]:
    for file in files:
        with suppress(InputError):  # said when it is its turn to be fused
            yield read_counts(file)
