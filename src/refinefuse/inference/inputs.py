"""Paths, arrays and tensors: one form inside, the caller's form outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.image.color import to_array, to_tensor
from refinefuse.image.files import read_image

_MAXIMA = {torch.uint8: 255, torch.uint16: 65535}


@dataclass(frozen=True)
class LoadedImage:
    """One source, ready to be fused, and what is needed to give the result its form.

    Attributes:
        image: (n, c, h, w) float32 in [0, 1]; c = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
        given: what the caller passed, or the array that was read from the path that he passed.
        name: the path, or an empty string.
    """

    image: Tensor
    given: np.ndarray | Tensor
    name: str = ""

    @property
    def max_value(self) -> int:
        """The largest value of an integer image; 0 for a float one, which is the deepest."""
        if isinstance(self.given, Tensor):
            return _MAXIMA.get(self.given.dtype, 0)
        return int(np.iinfo(self.given.dtype).max) if self.given.dtype.kind == "u" else 0


ImageInput: TypeAlias = str | os.PathLike[str] | np.ndarray | Tensor | LoadedImage


def load_input(image: ImageInput, argument: str) -> LoadedImage:
    """Bring a image into the form that is fused.

    Args:
        image: a path; an array (h, w) or (h, w, c) of uint8, uint16 or float in [0, 1]; a tensor (h, w), (c, h, w)
            or (n, c, h, w) of uint8, uint16 or floating point in [0, 1]; or a source, which stays as it is.
        argument: what the caller calls it, for messages.

    Raises:
        InputError: if it is none of these, is empty, has another number of channels, or holds values that are not
            finite or outside [0, 1].
    """
    if isinstance(image, LoadedImage):
        return image
    if isinstance(image, str | os.PathLike):
        pixels = read_image(image)
        return LoadedImage(to_tensor(pixels), pixels, os.fspath(image))
    if isinstance(image, np.ndarray):
        try:
            return LoadedImage(to_tensor(image.astype(np.float32) if image.dtype.kind == "f" else image), image)
        except InputError as error:
            raise InputError(f"`{argument}` cannot be used: {error}") from None
    if isinstance(image, Tensor):
        return LoadedImage(_batched(image, argument), image)
    raise InputError(f"`{argument}` must be a path, a numpy array or a tensor.\n  got: {type(image).__name__}")


def _batched(tensor: Tensor, argument: str) -> Tensor:
    tensor = tensor.detach()
    image = tensor[None, None] if tensor.ndim == 2 else tensor[None] if tensor.ndim == 3 else tensor
    if image.ndim != 4 or image.shape[1] not in (1, 2, 3, 4) or image.numel() == 0:
        raise InputError(
            f"`{argument}` must be a tensor (h, w), (c, h, w) or (n, c, h, w) with 1 to 4 channels, and not empty.\n"
            f"  got: {tuple(tensor.shape)}"
        )
    if tensor.dtype in _MAXIMA:
        return image.float() / _MAXIMA[tensor.dtype]
    if not tensor.is_floating_point():
        raise InputError(f"`{argument}` must be uint8, uint16 or floating point.\n  got: {tensor.dtype}")
    low, high = image.min().item(), image.max().item()
    if not (low >= 0 and high <= 1):  # also refuses NaN
        raise InputError(
            f"`{argument}` must hold values in [0, 1].\n  got: {low:g} to {high:g}\n"
            "Divide by the largest possible value first."
        )
    return image.float()


def check_pair(a: LoadedImage, b: LoadedImage) -> None:
    """Refuse two sources that do not lie on one grid.

    Raises:
        InputError: if they differ in height, width, number or device, or one is a tensor and the other is not.
    """
    if isinstance(a.given, Tensor) != isinstance(b.given, Tensor):
        kinds = [type(source.given).__name__ for source in (a, b)]
        raise InputError(
            f"`a` and `b` must both be tensors, or both be arrays or paths.\n  a: {kinds[0]}\n  b: {kinds[1]}"
        )
    if a.image.shape[2:] != b.image.shape[2:]:
        sizes = [f"{s.image.shape[2]} x {s.image.shape[3]}" + (f"   '{s.name}'" if s.name else "") for s in (a, b)]
        raise InputError(
            f"`a` and `b` must have the same height and width.\n  a: {sizes[0]}\n  b: {sizes[1]}\n"
            "Align the pair first (--align, or refinefuse align), or crop both to the same window."
        )
    if a.image.device != b.image.device:
        raise InputError(f"`a` and `b` must be on one device.\n  a: {a.image.device}\n  b: {b.image.device}")
    if len(a.image) != len(b.image):
        raise InputError(f"`a` and `b` must hold the same number of images.\n  a: {len(a.image)}\n  b: {len(b.image)}")


def restore_format(image: Tensor, *sources: LoadedImage) -> np.ndarray | Tensor:
    """The result in the form of the sources: their kind, and the depth of the deepest one (float, 16 bit, 8 bit)."""
    deeper = max(reversed(sources), key=lambda source: (source.max_value or float("inf"), source.given.dtype.itemsize))
    if isinstance(deeper.given, np.ndarray):
        if deeper.max_value:
            return to_array(image, deeper.given.dtype)
        return to_array(image, np.float32).astype(deeper.given.dtype)
    if deeper.max_value:
        image = (image * deeper.max_value + 0.5).floor()
    image = image.to(deeper.given.device, deeper.given.dtype)
    rank = max(source.given.ndim for source in sources)
    if rank == 2 and image.shape[1] == 1:
        return image[0, 0]
    return image if rank == 4 else image[0]
