"""Pairs rendered from code: for the samples of the package, its tests, the browser page, and as training data.

`python tools/rendering` (`make samples`) writes the samples that ship with the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rendering import head, night_street, ridge, smoke

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
SCENES: Mapping[str, Callable[[int], tuple[Pixels, Pixels]]] = {
    "night_street": night_street.render,
    "smoke": smoke.render,
    "ridge_16bit": ridge.render,
    "head_ct_mri": head.render,
}
"""By name, what makes both images of a pair from a seed."""


def render(name: str, seed: int = 0) -> tuple[Pixels, Pixels]:
    """Render one pair; the same seed gives the same images.

    Args:
        name: "night_street" (480 x 640, 8 bit), "smoke" (480 x 640, 8 bit), "ridge_16bit" (480 x 640, 16 bit) or
            "head_ct_mri" (256 x 256, 8 bit).
        seed: 0 or more; another one gives other noise, clouds and trees.

    Returns:
        Infrared (h, w) and visible (h, w, 3) in RGB order; for "head_ct_mri" CT and MRI, both (h, w).
    """
    return SCENES[name](seed)
