"""Write the sample pairs of the package: the rendered pairs at half the size, the head as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # this folder is run, not installed

from refinefuse.image.files import write_image
from refinefuse.samples import FOLDER, SAMPLES
from rendering import Pixels, render


def sample(name: str) -> tuple[Pixels, Pixels]:
    """A rendered pair as it ships: means of 2 x 2 pixels; 16 bits hold 11, as those of a camera do."""
    if name == "head_ct_mri":
        return render(name)
    a, b = (_halved(pixels) for pixels in render(name))
    return a, b


def _halved(pixels: Pixels) -> Pixels:
    h, w = pixels.shape[:2]
    means = pixels.reshape(h // 2, 2, w // 2, 2, -1).mean((1, 3)).squeeze()
    step = 1 if pixels.dtype == np.uint8 else 32
    levels: NDArray[np.float64] = (np.floor(means / step + 0.5) * step).clip(0, np.iinfo(pixels.dtype).max)
    return levels.astype(np.uint8) if pixels.dtype == np.uint8 else levels.astype(np.uint16)


if __name__ == "__main__":
    for name, sides in SAMPLES.items():
        for side, image in zip(sides, sample(name), strict=True):
            path = FOLDER / side / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            write_image(path, image, overwrite=True)
