"""Convert Pillow images to arrays and back. Pillow is not a dependency; the caller brings it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeIs

from refinefuse.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F")


def is_pil(image: object) -> TypeIs[Image]:
    """Whether an object is a PIL image."""
    module: Any = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def from_pil(image: Image, argument: str) -> NDArray[Any]:
    """Return the pixels of a PIL image as uint8, uint16 (mode I;16) or float32 (mode F).

    Raises:
        InputError: if its mode is not supported.
    """
    if image.mode not in _MODES:
        raise InputError(
            f"`{argument}` is a PIL image with an unsupported mode.\n  expected: {', '.join(_MODES)}\n"
            f"  got: {image.mode}\nConvert it first, for example with .convert('RGB')."
        )
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    pixels: NDArray[Any] = np.array(image)
    return pixels


def to_pil(pixels: NDArray[Any]) -> Image:
    """Create a PIL image; colors deeper than 8 bits, for which PIL has no mode, become 8 bits."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.dtype != np.uint8:
        top = 65535 if pixels.dtype == np.uint16 else 1
        pixels = np.floor(pixels / np.float32(top) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(pixels)
