"""Write `docs/images/fused.png`: infrared, visible and fused, at night and by day, from rendered pairs.

Usage: python tools/readme_image.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import refinefuse
from rendering import render

FILE = Path(__file__).parents[1] / "docs" / "images" / "fused.png"
SCENES = ("night_street", "smoke")
WIDTH, GAP = 240, 4
"""Pixels of one image, and between two."""


def main() -> None:
    """Render the pairs, fuse them, and write all six images side by side."""
    rows = [_row(*render(scene)) for scene in SCENES]
    FILE.parent.mkdir(exist_ok=True)
    refinefuse.write_image(FILE, np.concatenate(_spaced(rows, 0)), overwrite=True)


def _row(infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
    images = [infrared, visible, refinefuse.fuse(infrared, visible)]
    return np.concatenate(_spaced([_small(image) for image in images], 1), 1)


def _small(image: np.ndarray) -> np.ndarray:
    color = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    height = round(image.shape[0] * WIDTH / image.shape[1])
    return cv2.resize(color, (WIDTH, height), interpolation=cv2.INTER_AREA)


def _spaced(images: list[np.ndarray], axis: int) -> list[np.ndarray]:
    gap = np.full([GAP if index == axis else size for index, size in enumerate(images[0].shape)], 255, np.uint8)
    return [part for image in images for part in (gap, image)][1:]


if __name__ == "__main__":
    main()
