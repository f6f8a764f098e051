"""Convert paths, arrays, tensors and PIL images to tensors, and results back to the caller's type."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.image.color import to_array, to_tensor
from refinefuse.image.files import read_image
from refinefuse.image.georeference import check_georeferences
from refinefuse.image.metadata import read_metadata
from refinefuse.image.pixels import Pixels
from refinefuse.inference.pil import from_pil, is_pil, to_pil

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_VALUES = {torch.uint8: 255, torch.uint16: 65535}

ArrayInput: TypeAlias = str | os.PathLike[str] | NDArray[Any]
"""Inputs whose results are arrays: a path, or an array."""
ImageInput: TypeAlias = Union[ArrayInput, Tensor, "Image"]
ImageOutput: TypeAlias = Union[NDArray[Any], Tensor, "Image"]


@dataclass(frozen=True)
class LoadedImage:
    """One source, ready for fusion, with what is needed to restore its format in the result.

    Attributes:
        image: (n, c, h, w) float32 in [0, 1]; c = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
        given: the array or tensor that was passed, or read from the path or PIL image.
        name: the path, or an empty string.
        is_pil: whether the caller passed a PIL image.
    """

    image: Tensor
    given: NDArray[Any] | Tensor
    name: str = ""
    is_pil: bool = False

    @classmethod
    def from_file(cls, path: Path, pixels: Pixels) -> Self:
        """Create from a file whose pixels have been read."""
        return cls(to_tensor(pixels), pixels, str(path))

    @property
    def max_value(self) -> int:
        """The largest value of an integer image; 0 for a float image, which has the greatest depth."""
        if isinstance(self.given, Tensor):
            return _MAX_VALUES.get(self.given.dtype, 0)
        return int(np.iinfo(self.given.dtype).max) if self.given.dtype.kind == "u" else 0


def load_input(image: ImageInput, argument: str) -> LoadedImage:
    """Convert an image to the internal format.

    Args:
        image: a path; an array (h, w) or (h, w, c) of uint8, uint16 or float in [0, 1]; a tensor (h, w), (c, h, w)
            or (n, c, h, w) of uint8, uint16 or floating point in [0, 1]; or a PIL image.
        argument: name of the argument, for messages.

    Raises:
        InputError: if it is none of these, is empty, has an unsupported number of channels, or contains values that are
            not finite or outside [0, 1].
    """
    if isinstance(image, str | os.PathLike):
        return LoadedImage.from_file(Path(image), read_image(image))
    if isinstance(image, np.ndarray):
        return LoadedImage(_from_array(image, argument), image)
    if isinstance(image, Tensor):
        return LoadedImage(_batched(image, argument), image)
    if is_pil(image):
        pixels = from_pil(image, argument)
        return LoadedImage(_from_array(pixels, argument), pixels, is_pil=True)
    raise InputError(
        f"`{argument}` must be a path, a numpy array, a torch tensor or a PIL image.\n  got: {type(image).__name__}\n"
        "Fuse the pairs of a list one by one, or stack them into tensors (n, c, h, w)."
    )


def _from_array(pixels: NDArray[Any], argument: str) -> Tensor:
    if np.ma.is_masked(pixels):
        raise InputError(
            f"`{argument}` is a masked array: its masked pixels have no value.\n"
            f"  got: {int(np.ma.getmaskarray(pixels).sum())} of {pixels.size} values masked\n"
            "Fill them first: array.filled(0)."
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    try:
        return to_tensor(pixels.astype(np.float32) if pixels.dtype.kind == "f" else pixels)
    except InputError as error:
        raise InputError(f"`{argument}` cannot be used: {error}") from None


def _batched(tensor: Tensor, argument: str) -> Tensor:
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        raise InputError(
            f"`{argument}` must be a dense tensor with values.\n"
            f"  got: layout {tensor.layout}, device {tensor.device}\nSparse tensors: use to_dense()."
        )
    tensor = tensor.detach()
    image = tensor[None, None] if tensor.ndim == 2 else tensor[None] if tensor.ndim == 3 else tensor
    if image.ndim != 4 or image.shape[1] not in (1, 2, 3, 4) or image.numel() == 0:
        raise InputError(
            f"`{argument}` must be a tensor (h, w), (c, h, w) or (n, c, h, w) with 1 to 4 channels and at "
            "least one pixel.\n"
            f"  got: {tuple(tensor.shape)}"
        )
    if tensor.dtype in _MAX_VALUES:
        return image.float() / _MAX_VALUES[tensor.dtype]
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
    """Check that two sources share one grid.

    Raises:
        InputError: if they differ in height, width, number or device, one is a tensor and the other is not, or they are
            files whose GeoTIFF tags give different locations.
    """
    if isinstance(a.given, Tensor) != isinstance(b.given, Tensor):
        kinds = [type(source.given).__name__ for source in (a, b)]
        raise InputError(
            f"`a` and `b` must both be tensors, or both be arrays, paths or PIL images.\n"
            f"  a: {kinds[0]}\n  b: {kinds[1]}"
        )
    if a.name and b.name:
        check_georeferences((a.name, b.name), [read_metadata(x.name) for x in (a, b)], b.image.shape[2:])
    check_sizes((a.image, b.image), (a.name, b.name))
    if a.image.device != b.image.device:
        raise InputError(f"`a` and `b` must be on the same device.\n  a: {a.image.device}\n  b: {b.image.device}")
    if len(a.image) != len(b.image):
        raise InputError(
            f"`a` and `b` must contain the same number of images.\n  a: {len(a.image)}\n  b: {len(b.image)}"
        )


def check_sizes(images: Sequence[Tensor], paths: Sequence[str] = ()) -> None:
    """Check that all images have the same height and width.

    Args:
        images: tensors of shape (..., h, w).
        paths: paths of the images, for the message.

    Raises:
        InputError: if they do not; the message names the first one that differs from the last.
    """
    *others, last = images
    for index, other in enumerate(others):
        if other.shape[2:] != last.shape[2:]:
            names = [f"   '{paths[at]}'" if paths and paths[at] else "" for at in (index, -1)]
            sizes = [f"{x.shape[2]} x {x.shape[3]}{name}" for x, name in zip((other, last), names, strict=True)]
            raise InputError(
                f"`a` and `b` must have the same height and width.\n  a: {sizes[0]}\n  b: {sizes[1]}\n"
                "Align the pair first (`align`), or crop both to the same region."
            )


def restore_format(image: Tensor, *sources: LoadedImage) -> ImageOutput:
    """Convert a fused image to the type of the sources, with the greatest depth among them (float, 16 bit, 8 bit).

    Args:
        image: (n, c, h, w) in [0, 1].
        sources: the fused sources.
    """
    deepest = max(reversed(sources), key=lambda source: (source.max_value or float("inf"), source.given.dtype.itemsize))
    if isinstance(deepest.given, Tensor):
        if deepest.max_value:
            image = torch.floor(image * deepest.max_value + 0.5)
        return _restore_rank(image.to(deepest.given.device, deepest.given.dtype), sources)
    if deepest.max_value:
        return _as_given(to_array(image, deepest.given.dtype), sources)
    return _as_given(to_array(image, np.float32).astype(deepest.given.dtype), sources)


def restore_weight_map(weight_map: Tensor, *sources: LoadedImage) -> ImageOutput:
    """Convert a weight map to the type of the sources: a float32 array (h, w), float32 tensor or PIL image (mode L)."""
    if isinstance(sources[0].given, Tensor):
        return _restore_rank(weight_map.to(sources[0].given.device), sources)
    return _as_given(
        to_array(weight_map, np.uint8 if all(source.is_pil for source in sources) else np.float32), sources
    )


def _restore_rank(image: Tensor, sources: tuple[LoadedImage, ...]) -> Tensor:
    rank = max(source.given.ndim for source in sources)
    if rank == 2 and image.shape[1] == 1:
        return image[0, 0]
    return image if rank == 4 else image[0]


def _as_given(pixels: NDArray[Any], sources: tuple[LoadedImage, ...]) -> NDArray[Any] | Image:
    if all(source.is_pil for source in sources):
        return to_pil(pixels)
    one_channel = any(source.given.ndim == 3 and source.given.shape[2] == 1 for source in sources)
    return pixels[..., None] if one_channel and pixels.ndim == 2 else pixels
