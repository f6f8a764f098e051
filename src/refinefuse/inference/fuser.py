"""Fuse images: the one class and the one function that most users need."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, Unpack, get_args, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.image.color import Color, merge_color_sources, order_invariant_sum, restore_color, to_ycbcr
from refinefuse.inference.backend import Backend, check_backend, is_exported, load_backend, pretrained
from refinefuse.inference.cuda import CudaModel, Uploader
from refinefuse.inference.device import Precision, resolve_device, resolve_precision
from refinefuse.inference.inputs import (
    ArrayInput,
    ImageInput,
    ImageOutput,
    check_pair,
    load_input,
    restore_format,
    restore_weight_map,
)
from refinefuse.inference.resources import free_memory, free_on_gpu
from refinefuse.inference.tiling import CPU, CUDA, Tile, TileSize, batch_size, check_tile, iter_tiles, tile_side
from refinefuse.network.context import Context
from refinefuse.network.fusion_model import FusionModel, Region
from refinefuse.network.head import FusionOutput
from refinefuse.network.model import RefineFuse
from refinefuse.weights.store import DEFAULT, locate

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
SameKind = TypeVar("SameKind", Tensor, "Image")
logger = logging.getLogger(__name__)
_LOADING = Lock()
"""Held while weights are loaded: threads that need the same ones wait for them."""
Weights = str | os.PathLike[str] | RefineFuse


class FuserOptions(TypedDict, total=False):
    """The options of `Fuser`, which `fuse` takes too."""

    color: Color
    device: str
    precision: Precision
    backend: Backend
    tile: TileSize
    contrast: float | None


class FusionResult(NamedTuple, Generic[T]):
    """A fused image in the form of its sources, and its weight map.

    Attributes:
        fused: the fused image.
        weight_map: for each pixel, the weight in [0, 1] of all sources but the last: an array (h, w), a tensor of the
            sources' rank, or a PIL image of mode L.
    """

    fused: T
    weight_map: T


def load_model(
    weights: str | os.PathLike[str] = DEFAULT, device: str = "cpu", *, contrast: float | None = None
) -> RefineFuse:
    """Load a trained network, in evaluation mode, float32, in the memory format in which it is fastest.

    Args:
        weights: a shipped name, a file, a folder that `save_pretrained` wrote, or `hf://owner/name`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        contrast: from 0 (the level of the fused image is the mean of the sources: the fewest artifacts) to 1 (the most
            contrast); None takes the default of the weights. Give the network to `Fuser`.

    Raises:
        ConfigError: if the contrast is not a number from 0 to 1.
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if this machine has no such device.
    """
    return pretrained(weights, device, contrast)


class Fuser:
    """Fuses aligned images with one network.

    On a CPU the images of a batch go through the network one by one: together they would take as long and differ in
    the last bit. So an image is the same alone and in a batch, and fusing it twice gives the same bytes.

    Args:
        weights: what `load_model` takes, an ONNX file that `refinefuse export` wrote, or a network. A network is used
            as it is where it can be, and copied where it is on another device, in another precision or in training
            mode: the caller's stays as it was.
        color: whose color the result gets: `b` (the default), `a`, `both` (each by its saturation) or `gray` (none).
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` is the fastest at hand, and a network's own.
        precision: of the features; the weighted average and the residual are always computed in float32. `auto` is
            float32, but bfloat16 on CUDA devices that compute in it.
        backend: what computes the network: `torch`, or on a CPU `onnxruntime` or `openvino`. `auto` is torch, and
            onnxruntime for an ONNX file.
        tile: side of the tiles in which large images are fused, in pixels; the result is that of the image as a
            whole. `auto` goes by the size and the free memory, `off` uses one tile.
        contrast: how far the level goes from the mean of the sources, from 0 (not at all: the fewest artifacts) to 1
            (the most contrast); None takes that of the weights.

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
    ) -> None:
        if color not in get_args(Color):
            raise InputError(f"`color` must be {', '.join(get_args(Color))}.\n  got: {color!r}")
        check_backend(weights, backend, device, precision)
        self.color: Color = color
        self.weights = "a network" if isinstance(weights, RefineFuse) else os.fspath(weights)
        self._file = None if isinstance(weights, RefineFuse) else _file_of(weights)
        self.model: FusionModel = load_backend(weights, backend, device, contrast)
        self.device = (
            next(self.model.parameters()).device if isinstance(self.model, RefineFuse) else resolve_device("cpu")
        )
        self.dtype = resolve_precision(precision, self.device)
        self._network, self._uploader = self.model, None
        if self.device.type == "cuda" and isinstance(self.model, RefineFuse):
            self._network, self._uploader = CudaModel(self.model, self.dtype), Uploader(self.device)
        check_tile(tile, self.model.halo)
        self.tile: TileSize = tile
        self._measured_at, self._free = -math.inf, 0
        logger.info("Weights %s, contrast %g, %s on %s", self.weights, self.contrast, self.dtype, self.device)

    @property
    def contrast(self) -> float:
        """How far the level goes from the mean of the sources, 0 to 1."""
        return self.model.config.contrast

    def fingerprint(self) -> str:
        """The sha256 of the weights: of their file, or of config and tensors of a network that was handed over."""
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

    def upload(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        """The images (n, c, h, w) where the network is, if that is a GPU with room for all that becomes of them.

        Else they stay where they are, and go to the device tile by tile.
        """
        is_there = all(image.device == self.device for image in images)
        if self._uploader is None or is_there or 8 * sum(image.nbytes for image in images) > self._free_memory():
            return images
        return self._uploader.upload(images)

    def fuse_lumas(
        self, lumas: Sequence[Tensor], context: Context | None = None, tiles: Sequence[Tile] | None = None
    ) -> FusionOutput:
        """Fuse the lumas of two or more sources.

        Args:
            lumas: each (n, 1, h, w) float32 in [0, 1] on one device; the last is the one whose color is kept.
            context: of a pair of which these are some rows; None: it is computed.
            tiles: those that make up the result, in the coordinates of the lumas; None: chosen by size.

        Returns:
            The fused luma, and the weights of all sources but the last, on the device of the lumas.
        """
        *others, last = lumas
        outputs = [self._predict_batch(other, last, context, tiles) for other in others]
        if len(outputs) == 1:
            return outputs[0]
        fused, weight_map = (torch.stack(parts) for parts in zip(*outputs, strict=True))
        weight = (fused - last).abs() + torch.finfo(fused.dtype).tiny
        weight = weight / order_invariant_sum(weight)
        return FusionOutput(order_invariant_sum(weight * fused), order_invariant_sum(weight * weight_map))

    def _predict_batch(
        self, a: Tensor, b: Tensor, context: Context | None, tiles: Sequence[Tile] | None
    ) -> FusionOutput:
        step = 1 if self.device.type == "cpu" else batch_size(a.shape, self.model.config, self._free_memory())
        parts = [
            self.predict(x, y, context, tiles) for x, y in zip(torch.split(a, step), torch.split(b, step), strict=True)
        ]
        return parts[0] if len(parts) == 1 else FusionOutput(*map(torch.cat, zip(*parts, strict=True)))

    def predict(
        self, a: Tensor, b: Tensor, context: Context | None = None, tiles: Sequence[Tile] | None = None
    ) -> FusionOutput:
        """Fuse the lumas of a pair, by tiles where they are large.

        Args:
            a: (n, 1, h, w) float32 in [0, 1], on any device.
            b: of the same shape.
            context: of the pair; None: it is computed.
            tiles: those that make up the result, left to right and top to bottom; None: chosen by size.

        Returns:
            The fused luma and the weight map of `a`, on the device of `a`.
        """
        context = self.encode_context(a, b) if context is None else context
        if tiles is None:
            height, width = a.shape[2:]
            side = self.tile_side(height, width)
            if side is None:
                return self.predict_region(a, b, context)
            rows = iter_tiles(height, width, side, self.model.halo, self.model.config.stride)
            tiles = [tile for row in rows for tile in row]
        size = tiles[-1].region.top + tiles[-1].region.height, tiles[-1].region.left + tiles[-1].region.width
        whole = FusionOutput(*(a.new_empty(*a.shape[:2], *size) for _ in range(2)))
        for tile in tiles:
            output = self.predict_region(_cut(a, tile.padded), _cut(b, tile.padded), context, tile.inner)
            for plane, part in zip(whole, output, strict=True):
                _cut(plane, tile.region)[...] = part
        return whole

    def tile_side(self, height: int, width: int) -> int | None:
        """The side of the tiles in which an image of this size is fused now; None if it is fused in one tile."""
        limits = CUDA if self.device.type == "cuda" else CPU
        return tile_side(self.tile, height, width, self.model.config, self.model.halo, self._free_memory(), limits)

    def _free_memory(self) -> int:
        """Bytes that are free, measured once a second at most."""
        now = time.monotonic()
        if now >= self._measured_at + 1:
            free = free_on_gpu(self.device) if self.device.type == "cuda" else free_memory()
            self._measured_at, self._free = now, free
        return self._free

    @torch.inference_mode()
    def encode_context(self, a: Tensor, b: Tensor) -> Context:
        """What the network needs to know of a whole pair of lumas (n, 1, h, w)."""
        with self._computing(a):
            return self._network.encode_context(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """The same, from the statistics (n, 2, grid, grid) of lumas that are read strip by strip."""
        with self._computing(a):
            return self._network.encode_context_from_stats(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def predict_region(self, a: Tensor, b: Tensor, context: Context, region: Region | None = None) -> FusionOutput:
        """Fuse a region of lumas (n, 1, h, w) in one tile; the result is on their device."""
        with self._computing(a):
            output = self._network.predict(a.to(self.device), b.to(self.device), context, region)
            return FusionOutput(*(plane.to(a.device) for plane in output))

    @contextmanager
    def _computing(self, a: Tensor) -> Iterator[None]:
        """In the precision that was chosen, and with a message of our own where the memory does not suffice."""
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one, and the CPU's allocator has no class of its own
            if not _is_out_of_memory(error):
                raise
            size = f"{a.shape[2]} x {a.shape[3]}"
            raise InputError(
                f"Out of memory on '{self.device}' for an image of {size} pixels.\nUse smaller tiles: `tile=512`."
            ) from error


def _cut(x: Tensor, region: Region) -> Tensor:
    return x[..., region.top : region.top + region.height, region.left : region.left + region.width]


def _file_of(weights: str | os.PathLike[str]) -> Path:
    return Path(weights) if is_exported(weights) else locate(weights)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory was short; an illegal memory access, for one, is another error."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "allocate memory" in text


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
    """A fuser that stays loaded until its weights file changes."""
    return Fuser(weights, **options)


def _state_of(weights: str | os.PathLike[str]) -> tuple[int, ...]:
    """What changes with a weights file; empty for weights that never change: shipped ones and those of the Hub."""
    if not Path(weights).exists():
        return ()
    stat = locate(weights).stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
