"""Read thermal images: their range and polarity, and what looks wrong with their counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.image.color import to_tensor
from refinefuse.image.files import read_counts
from refinefuse.image.thermal import Counts, IntensityRange
from refinefuse.inference.inputs import LoadedImage, load_input
from refinefuse.inference.inspection import PairWarning

Polarity = Literal["auto", "white-hot", "black-hot"]


@dataclass(frozen=True)
class ThermalOptions:
    """How a source that gives no color is read.

    Attributes:
        range: which counts become 0 and 1; None: the file is an image, read as it is.
        polarity: what hot things are in it; `auto`: unknown, taken for white-hot and checked.
        per_image: fit the range to each image of a folder by itself, not once to the folder.

    Raises:
        InputError: if the polarity is unknown.
    """

    range: IntensityRange | None = None
    polarity: Polarity = "auto"
    per_image: bool = False

    def __post_init__(self) -> None:
        if self.polarity not in get_args(Polarity):
            raise InputError(f"`polarity` must be {', '.join(get_args(Polarity))}.\n  got: {self.polarity!r}")

    @property
    def as_stored(self) -> bool:
        """Whether values are taken as they are in the file."""
        return self.range is None and self.polarity != "black-hot"

    def with_range(self, fixed: IntensityRange) -> ThermalOptions:
        """With another range."""
        return replace(self, range=fixed)

    def fitted(self, files: Sequence[Path]) -> ThermalOptions:
        """With one fixed range for all files of a sequence. Files that cannot be read are passed over."""
        if self.range is None or self.per_image:
            return self
        return self.with_range(self.range.fit(_readable(files)))

    def read(self, path: Path) -> tuple[LoadedImage, list[PairWarning]]:
        """The source, white-hot, in the depth of its file, and what looks wrong with its range.

        Raises:
            InputError: if the file cannot be read, or its counts do not go with the range.
        """
        source, warnings = (load_input(path, "a"), []) if self.range is None else _read_counts(path, self.range)
        if self.polarity == "black-hot":
            colors = source.image.shape[1] - (source.image.shape[1] in (2, 4))
            image = torch.cat([1 - source.image[:, :colors], source.image[:, colors:]], 1)
            source = replace(source, image=image)
        return source, warnings


def _read_counts(path: Path, rule: IntensityRange) -> tuple[LoadedImage, list[PairWarning]]:
    counts = read_counts(path)
    try:
        fixed = rule.fit([counts])
        image = to_tensor(fixed.apply(counts))
    except InputError as error:
        raise InputError(f"Cannot use '{path}': {error}") from None
    depth = counts.dtype if counts.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
    depth = np.dtype(np.uint16) if counts.dtype == np.int16 else depth
    clipped = float(((counts < fixed.low) | (counts > fixed.high)).mean())
    warnings = [PairWarning("range", message, clipped) for message in fixed.warnings(counts)]
    return LoadedImage(image, np.empty(counts.shape, depth), str(path)), warnings


def _readable(files: Sequence[Path]) -> Iterator[Counts]:
    for file in files:
        with suppress(InputError):  # reported when it is its turn to be fused
            yield read_counts(file)
