"""The main API for fusing images: the class `Fuser` and the function `fuse`."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, Unpack, get_args, overload

from numpy.typing import NDArray
from torch import Tensor

from refinefuse.errors import InputError, PairCheckWarning
from refinefuse.image.color import Color, merge_color_sources, restore_color, to_ycbcr
from refinefuse.inference.backend import Backend, check_backend, is_exported, load_backend, pretrained
from refinefuse.inference.device import Precision
from refinefuse.inference.inputs import (
    ArrayInput,
    ImageInput,
    ImageOutput,
    check_pair,
    load_input,
    restore_format,
    restore_weight_map,
)
from refinefuse.inference.inspection import inspect_images
from refinefuse.inference.lumas import LumaFuser
from refinefuse.inference.tiling import TileSize
from refinefuse.network.model import RefineFuse
from refinefuse.paths import as_path
from refinefuse.weights.store import DEFAULT, locate

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
SameKind = TypeVar("SameKind", Tensor, "Image")
logger = logging.getLogger(__name__)
_LOADING = Lock()
"""Held while weights are loaded, so that threads do not load the same ones twice."""
Weights = str | os.PathLike[str] | RefineFuse


class FuserOptions(TypedDict, total=False):
    """The options of `Fuser`, which `fuse` takes too."""

    color: Color
    device: str
    precision: Precision
    backend: Backend
    tile: TileSize
    contrast: float | None
    check: bool


class FusionResult(NamedTuple, Generic[T]):
    """A fused image, in the type of its sources, and its weight map.

    Attributes:
        fused: the fused image.
        weight_map: the weight in [0, 1] of all sources but the last, for each pixel: an array (h, w), a tensor of the
            sources' rank, or a PIL image of mode L.
    """

    fused: T
    weight_map: T


def load_model(
    weights: str | os.PathLike[str] = DEFAULT, device: str = "cpu", *, contrast: float | None = None
) -> RefineFuse:
    """Load a trained network in evaluation mode, in float32, and in its fastest memory format.

    Args:
        weights: a shipped name, a file, a folder saved by `save_pretrained`, or `hf://owner/name`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        contrast: from 0 (the level of the fused image is the mean of the sources: fewest artifacts) to 1 (most
            contrast); None uses that of the weights.

    Raises:
        ConfigError: if the contrast is not a number from 0 to 1.
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if this machine has no such device.
    """
    return pretrained(weights, device, contrast)


class Fuser(LumaFuser):
    """Fuse aligned images with one network.

    Results are deterministic: the same pair gives the same bytes, whether it is fused alone or in a batch. On a CPU,
    the images of a batch therefore go through the network one by one, because convolutions over a batch sum in another
    order.

    Args:
        weights: what `load_model` takes, an ONNX file from `refinefuse export`, or a network. A network is used
            directly if possible. It is copied if it is on another device, in another precision or in training mode, so
            that yours is never changed.
        color: source of the color: `b` (the default), `a`, `both` (weighted by saturation) or `gray` (none).
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`. `auto` is the fastest one available, or that of the network.
        precision: precision of the features; the weighted average and the residual always use float32. `auto` is
            float32, or bfloat16 on CUDA devices that support it.
        backend: runtime for the network: `torch`, or on a CPU `onnxruntime` or `openvino`. `auto` is torch, or
            onnxruntime for an ONNX file.
        tile: side of the tiles for large images, in pixels, which does not change the result. `auto` depends on the
            size and the free memory, `off` uses a single tile.
        contrast: how far the level departs from the mean of the sources, from 0 (not at all: fewest artifacts) to 1
            (most contrast); None uses that of the weights.
        check: check every pair as `inspect_pair` does, and warn (`errors.PairCheckWarning`) if it looks misaligned,
            swapped, black-hot, like raw counts or like false color. This takes about 30 ms, and is skipped for tensors
            on a GPU.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        ConfigError: if the contrast is not a number from 0 to 1.
        InputError: if this machine has no such device, an option is unknown, or options exclude each other.
        MissingDependencyError: if the backend is not installed.
    """

    def __init__(
        self,
        weights: Weights = DEFAULT,
        *,
        color: Color = "b",
        device: str = "auto",
        precision: Precision = "auto",
        backend: Backend = "auto",
        tile: TileSize = "auto",
        contrast: float | None = None,
        check: bool = True,
    ) -> None:
        if color not in get_args(Color):
            raise InputError(f"`color` must be {', '.join(get_args(Color))}.\n  got: {color!r}")
        check_backend(weights, backend, device, precision)
        self.color: Color = color
        self.check = check
        self.weights = "a network" if isinstance(weights, RefineFuse) else os.fspath(weights)
        self._file = None if isinstance(weights, RefineFuse) else _file_of(weights)
        super().__init__(load_backend(weights, backend, device, contrast), precision, tile)
        logger.info("Weights %s, contrast %g, %s on %s", self.weights, self.contrast, self.dtype, self.device)

    def __repr__(self) -> str:
        return f"Fuser({self.weights!r}, color={self.color!r}, device='{self.device}', contrast={self.contrast:g})"

    @property
    def contrast(self) -> float:
        """How far the level goes from the mean of the sources, 0 to 1."""
        return self.model.config.contrast

    def fingerprint(self) -> str:
        """The sha256 of the weights: of their file, or of the config and tensors of a network that was passed."""
        if self._file is not None:
            return hashlib.sha256(self._file.read_bytes()).hexdigest()
        digest = hashlib.sha256(self.model.config.to_json().encode())
        for name, tensor in sorted(self.model.state_dict().items()) if isinstance(self.model, RefineFuse) else ():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @overload
    def __call__(self, a: ArrayInput, b: ArrayInput, *more: ArrayInput) -> NDArray[Any]: ...
    @overload
    def __call__(self, a: SameKind, b: SameKind, *more: SameKind) -> SameKind: ...

    def __call__(self, a: Any, b: Any, *more: Any) -> Any:
        """Fuse a pair, or three and more images: `fuse` without the weight map."""
        return self.fuse(a, b, *more)

    @overload
    def fuse(
        self, a: ArrayInput, b: ArrayInput, *more: ArrayInput, return_weight_map: Literal[False] = False
    ) -> NDArray[Any]: ...
    @overload
    def fuse(
        self, a: ArrayInput, b: ArrayInput, *more: ArrayInput, return_weight_map: Literal[True]
    ) -> FusionResult[NDArray[Any]]: ...
    @overload
    def fuse(
        self, a: SameKind, b: SameKind, *more: SameKind, return_weight_map: Literal[False] = False
    ) -> SameKind: ...
    @overload
    def fuse(
        self, a: SameKind, b: SameKind, *more: SameKind, return_weight_map: Literal[True]
    ) -> FusionResult[SameKind]: ...

    def fuse(
        self, a: ImageInput, b: ImageInput, *more: ImageInput, return_weight_map: bool = False
    ) -> ImageOutput | FusionResult[Any]:
        """Fuse a pair, or three and more images.

        Three and more: each source is fused with the last one, and each pixel is the mean of these results, every one
        weighted by how far it is from the last source. So each source adds what it alone shows, a source given twice
        changes nothing, and the result is the same to the last bit in whatever order the sources but the last come.

        Args:
            a: the source that gives no color: infrared, CT, MRI beside a color image.
            b: the source whose color is kept: visible, PET, SPECT; for CT and MRI, the MRI.
                Each is a path; an array (h, w) or (h, w, c) of uint8, uint16 or float in [0, 1]; a tensor (h, w),
                (c, h, w) or (n, c, h, w) of uint8, uint16 or floating point in [0, 1]; or a PIL image.
            more: further sources. The last of all is then the one whose color is kept.
            return_weight_map: also return the weight map.

        Returns:
            An array for paths and arrays, a tensor for tensors, a PIL image for PIL images, of the sources' size and
            of the greatest of their depths. Gray if all are gray or `color` is `gray`, RGB otherwise; with alpha if a
            source has it. With `return_weight_map`, a `FusionResult`.

        Raises:
            InputError: if a source cannot be used, or they do not lie on one grid.
        """
        names = ["a", "b"] if not more else [f"source {index + 1}" for index in range(len(more) + 2)]
        *others, last = (load_input(image, name) for image, name in zip((a, b, *more), names, strict=True))
        for other in others:
            check_pair(other, last)
            if self.check and other.image.device.type == "cpu":
                for warning in inspect_images(other, last, weights=self.weights):
                    warnings.warn(f"{warning}.", PairCheckWarning, stacklevel=2)
        *images, image = self.upload([source.image for source in (*others, last)])
        planes, kept = [to_ycbcr(other) for other in images], to_ycbcr(image)
        luma, weight_map = self.fuse_lumas([*(plane.luma for plane in planes), kept.luma])
        colored = restore_color(luma, merge_color_sources(planes), kept, self.color)
        fused = restore_format(colored, *others, last)
        return FusionResult(fused, restore_weight_map(weight_map, *others, last)) if return_weight_map else fused

    @overload
    def weight_map(self, a: ArrayInput, b: ArrayInput, *more: ArrayInput) -> NDArray[Any]: ...
    @overload
    def weight_map(self, a: SameKind, b: SameKind, *more: SameKind) -> SameKind: ...

    def weight_map(self, a: Any, b: Any, *more: Any) -> Any:
        """For each pixel, the weight in [0, 1] of all sources but the last: see `FusionResult`."""
        return self.fuse(a, b, *more, return_weight_map=True).weight_map


def _file_of(weights: str | os.PathLike[str]) -> Path:
    return as_path(weights) if is_exported(weights) else locate(weights)


@overload
def fuse(
    a: ArrayInput, b: ArrayInput, *more: ArrayInput, weights: Weights = DEFAULT, **options: Unpack[FuserOptions]
) -> NDArray[Any]: ...
@overload
def fuse(
    a: SameKind, b: SameKind, *more: SameKind, weights: Weights = DEFAULT, **options: Unpack[FuserOptions]
) -> SameKind: ...


def fuse(a: Any, b: Any, *more: Any, weights: Weights = DEFAULT, **options: Unpack[FuserOptions]) -> Any:
    """Fuse a pair, or more, with weights that stay loaded for the next call. See `Fuser` for everything.

    Example:
        >>> import numpy as np, refinefuse
        >>> infrared, visible = np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint8)
        >>> refinefuse.fuse(infrared, visible).shape
        (48, 64, 3)
    """
    if isinstance(weights, RefineFuse):
        return Fuser(weights, **options)(a, b, *more)
    with _LOADING:
        fuser = _kept_fuser(os.fspath(weights), _state_of(weights), **options)
    return fuser(a, b, *more)


@lru_cache(maxsize=4)
def _kept_fuser(weights: str, state: tuple[int, ...], **options: Any) -> Fuser:
    """Return a cached fuser, reloaded when its weights file changes."""
    return Fuser(weights, **options)


def _state_of(weights: str | os.PathLike[str]) -> tuple[int, ...]:
    """State of a weights file for cache invalidation; empty for weights that never change (shipped or from the Hub)."""
    if not as_path(weights).exists():
        return ()
    stat = locate(weights).stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
