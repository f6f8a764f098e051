"""Fuse images: the one class and the one function that most users need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.image.color import Color, merge_color_sources, order_invariant_sum, restore_color, to_ycbcr
from refinefuse.inference.backend import Backend, check_runtime, is_exported, load_backend
from refinefuse.inference.device import Precision, resolve_device, resolve_precision
from refinefuse.inference.inputs import ImageInput, check_pair, load_input, restore_format
from refinefuse.inference.resources import free_memory
from refinefuse.inference.tiling import TileSize, check_tile, iter_tiles, tile_side
from refinefuse.network.context import Context
from refinefuse.network.fusion_model import FusionModel, Region
from refinefuse.network.head import FusionOutput
from refinefuse.network.model import RefineFuse
from refinefuse.weights.store import DEFAULT


class FusionResult(NamedTuple):
    """A fused image in the form of its sources, and the weight_map of all but the last in its mix: (n, 1, h, w)."""

    fused: np.ndarray | Tensor
    weight_map: Tensor


def load_model(weights: str | os.PathLike[str] = DEFAULT, *, device: str = "auto") -> RefineFuse:
    """A trained network, in evaluation mode, float32, in the memory format in which it is fastest.

    Args:
        weights: a shipped name, a file, a folder that `save_pretrained` wrote, or a Hub repository.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if this machine has no such device.
    """
    place = resolve_device(device)
    return RefineFuse.from_pretrained(weights).to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Fuser:
    """Fuses aligned images with one network.

    Images of a batch are painted one by one, so a image is the same alone and in a batch; on a CPU in float32,
    fusing it twice gives the same bytes.

    Args:
        weights: a network, which is put into evaluation mode and moved to the device, what `load_model` takes, or an
            ONNX file that `refinefuse export` wrote.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: of the features; the mix and the correction are always computed in float32. `auto` is float32,
            but bfloat16 on CUDA devices that compute in it.
        color: whose color the result gets: `b` (the default), `a`, `both` (each by its saturation) or `gray` (none).
        tile: side of the tiles in which large images are painted, in pixels; the result is that of output the whole
            image. `auto` goes by the size and the free memory, `off` paints in one tile.
        backend: what computes the network: `torch`, or on a CPU `onnxruntime` or `openvino`. `auto` is torch, and
            onnxruntime for an ONNX file.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if this machine has no such device, an option is unknown, or options exclude each other.
        MissingDependencyError: if the backend is not installed.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | RefineFuse = DEFAULT,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        color: Color = "b",
        tile: TileSize = "auto",
        backend: Backend = "auto",
    ) -> None:
        if color not in get_args(Color):
            raise InputError(f"`color` must be {', '.join(get_args(Color))}.\n  got: {color!r}")
        self.color: Color = color
        self.model: FusionModel
        if isinstance(weights, RefineFuse):
            self.device = resolve_device(device)
            self.model = weights.to(self.device).eval()
        elif backend in ("auto", "torch") and not is_exported(weights):
            self.device = resolve_device(device)
            self.model = load_model(weights, device=device)
        else:
            check_runtime(backend, device, precision)
            self.device = torch.device("cpu")
            self.model = load_backend(weights, backend)
        self.dtype = resolve_precision(precision, self.device)
        check_tile(tile, self.model.halo)
        self.tile: TileSize = tile

    def __call__(self, a: ImageInput, b: ImageInput, *more: ImageInput) -> np.ndarray | Tensor:
        """Fuse a pair, or three and more images.

        Args:
            a: the source that gives no color: infrared, CT, MRI beside a color image.
            b: the source whose color is kept: visible, PET, SPECT; for CT and MRI, the MRI.
                Each is a path, an array (h, w) or (h, w, c) of uint8, uint16 or float in [0, 1], or a tensor (h,
                w), (c, h, w) or (n, c, h, w) of uint8, uint16 or floating point in [0, 1].
            more: further sources. The last of all is then the one whose color is kept, and the order of those before
                it plays no part: see `weight_map`.

        Returns:
            An array for paths and arrays, a tensor for tensors, of the sources' size and of the greater of their
            depths. Gray if both are gray or `color` is `gray`, RGB otherwise; with alpha if a source has it.

        Raises:
            InputError: if a source cannot be used, or the two do not lie on one grid.
        """
        return self.fuse_with_weight_map(a, b, *more).fused

    def fuse_with_weight_map(self, a: ImageInput, b: ImageInput, *more: ImageInput) -> FusionResult:
        """Fuse as calling the fuser does, and tell for every pixel which share of the mix did not come from the last.

        Three and more: each source is fused with the last one, and each pixel is the mean of these results, every one
        weighted by how far it is from the last source. So each source adds what it alone shows, a source given twice
        changes nothing, and the result is the same to the last bit in whatever order the sources but the last come.
        """
        names = ["a", "b"] if not more else [f"source {index + 1}" for index in range(len(more) + 2)]
        *others, last = (load_input(image, name) for image, name in zip((a, b, *more), names, strict=True))
        for other in others:
            check_pair(other, last)
        planes, kept = [to_ycbcr(other.image) for other in others], to_ycbcr(last.image)
        lumas = torch.stack([plane.luma for plane in planes], 1)  # (n, sources, 1, h, w)
        painted = [self._fuse_lumas(x, y[None]) for x, y in zip(lumas, kept.luma, strict=True)]
        luma, weight_map = (torch.cat(parts).to(last.image.device) for parts in zip(*painted, strict=True))
        return FusionResult(
            restore_format(restore_color(luma, merge_color_sources(planes), kept, self.color), *others, last),
            weight_map,
        )

    def _fuse_lumas(self, others: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Fused luma and weight_map of one image from (sources, 1, h, w) and (1, 1, h, w)."""
        painted = [self.predict(other[None], last) for other in others]
        if len(painted) == 1:
            return painted[0]
        fused, weight_map = (torch.stack(parts).to(last.device) for parts in zip(*painted, strict=True))
        weight = (fused - last).abs() + torch.finfo(fused.dtype).tiny
        weight = weight / order_invariant_sum(weight)
        return order_invariant_sum(weight * fused), order_invariant_sum(weight * weight_map)

    def predict(self, a: Tensor, b: Tensor, context: Context | None = None) -> FusionOutput:
        """Fuse lumas, by tiles where they are large.

        Args:
            a: (1, 1, h, w) float32 in [0, 1], on any device.
            b: of the same shape.
            context: of the pair; None: it is computed.

        Returns:
            The fused luma and the weight_map of `a`, on the device of `a`.
        """
        height, width = a.shape[2:]
        side = self.tile_side(height, width)
        context = self.encode_context(a, b) if context is None else context
        if side is None:
            return self.predict_region(a, b, context)
        whole = FusionOutput(torch.empty_like(a), torch.empty_like(a))
        for row in iter_tiles(height, width, side, self.model.halo, self.model.config.stride):
            for tile in row:
                painted = self.predict_region(_cut(a, tile.padded), _cut(b, tile.padded), context, tile.inner)
                for plane, part in zip(whole, painted, strict=True):
                    _cut(plane, tile.region)[...] = part
        return whole

    def tile_side(self, height: int, width: int) -> int | None:
        """The side of the tiles in which a image of this size is painted now; None if it is painted in one tile."""
        cuda = self.device.type == "cuda"
        free = torch.cuda.mem_get_info(self.device)[0] if cuda else free_memory()
        return tile_side(self.tile, height, width, self.model.config, self.model.halo, free)

    @torch.inference_mode()
    def encode_context(self, a: Tensor, b: Tensor) -> Context:
        """What the network needs to know of a whole pair of lumas (1, 1, h, w)."""
        with self._computing(a):
            return self.model.encode_context(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """The same of lumas that are reduced already, (1, 2, grid, grid)."""
        with self._computing(a):
            return self.model.encode_context_from_stats(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def predict_region(self, a: Tensor, b: Tensor, context: Context, region: Region | None = None) -> FusionOutput:
        """Paint a region of lumas (1, 1, h, w) in one tile; the result is where they are."""
        with self._computing(a):
            first, second = (x.to(self.device) for x in (a, b))
            output = self.model.predict(first, second, context, region)
            return FusionOutput(*(plane.to(a.device) for plane in output))

    @contextmanager
    def _computing(self, a: Tensor) -> Iterator[None]:
        """In the asked precision, and with a message of our own where the memory does not suffice."""
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one, and the CPU's allocator has no class of its own
            if "memory" not in str(error):
                raise
            size = f"{a.shape[2]} x {a.shape[3]}"
            raise InputError(
                f"There is not enough memory on '{self.device}' for a image of {size} pixels.\n"
                "Paint it in smaller tiles (--tile 512)."
            ) from error


def _cut(x: Tensor, region: Region) -> Tensor:
    return x[..., region.top : region.top + region.height, region.left : region.left + region.width]


def fuse(
    a: ImageInput,
    b: ImageInput,
    *more: ImageInput,
    weights: str | os.PathLike[str] = DEFAULT,
    color: Color = "b",
    device: str = "auto",
    precision: Precision = "auto",
    tile: TileSize = "auto",
) -> np.ndarray | Tensor:
    """Fuse a pair, or more, with weights that stay loaded for the next call. See `Fuser` for everything.

    Example:
        >>> import numpy as np, refinefuse
        >>> infrared, visible = np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint8)
        >>> refinefuse.fuse(infrared, visible).shape
        (48, 64, 3)
    """
    return _fuser(os.fspath(weights), device, precision, color, tile)(a, b, *more)


@lru_cache(maxsize=4)
def _fuser(weights: str, device: str, precision: Precision, color: Color, tile: TileSize) -> Fuser:
    return Fuser(weights, device=device, precision=precision, color=color, tile=tile)
