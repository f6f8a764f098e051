"""Fuse lumas with a network on a device, in a precision, with tiles and batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.image.color import order_invariant_sum
from refinefuse.inference.cpu import CpuModel
from refinefuse.inference.cuda import CudaModel, Uploader
from refinefuse.inference.device import Precision, resolve_device, resolve_precision
from refinefuse.inference.resources import free_memory, free_on_gpu
from refinefuse.inference.tiling import CPU, CUDA, Tile, TileSize, batch_size, check_tile, iter_tiles, tile_side
from refinefuse.network.context import Context
from refinefuse.network.fusion_model import FusionModel, Region
from refinefuse.network.head import FusionOutput
from refinefuse.network.model import RefineFuse


class LumaFuser:
    """Fuses lumas with one network; results are on the device of the inputs.

    Args:
        model: the network, in torch or another runtime.
        precision: precision of its features.
        tile: side of the tiles for large images.

    Raises:
        InputError: if the device does not support this precision, or the tiles are too small.
    """

    def __init__(self, model: FusionModel, precision: Precision, tile: TileSize) -> None:
        self.model = model
        self.device = next(model.parameters()).device if isinstance(model, RefineFuse) else resolve_device("cpu")
        self.dtype = resolve_precision(precision, self.device)
        self._network, self._uploader = model, None
        if self.device.type == "cpu" and isinstance(model, RefineFuse):
            self._network = CpuModel(model)
        if self.device.type == "cuda" and isinstance(model, RefineFuse):
            self._network, self._uploader = CudaModel(model, self.dtype), Uploader(self.device)
        self.halo = model.halo
        check_tile(tile, self.halo)
        self.tile: TileSize = tile
        self._measured_at, self._free = -math.inf, 0

    def upload(self, images: Sequence[Tensor]) -> Sequence[Tensor]:
        """Move images (n, c, h, w) to the GPU of the network, if it has room for them and all intermediate results.

        Otherwise they stay in place and are transferred tile by tile.
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
            lumas: each (n, 1, h, w) float32 in [0, 1] on one device; the color of the last source is kept.
            context: context of the whole pair if these are only some rows; None computes it.
            tiles: tiles of the result, in coordinates of the lumas; None chooses them by size.

        Returns:
            The fused luma and the weight map of all sources but the last, on the device of the lumas.
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
        """Fuse the lumas of a pair, in tiles if they are large.

        Args:
            a: (n, 1, h, w) float32 in [0, 1], on any device.
            b: of the same shape.
            context: context of the pair; None computes it.
            tiles: tiles of the result, left to right and top to bottom; None chooses them by size.

        Returns:
            The fused luma and the weight map of `a`, on the device of `a`.
        """
        context = self.encode_context(a, b) if context is None else context
        if tiles is None:
            height, width = a.shape[2:]
            side = self.tile_side(height, width)
            if side is None:
                return self.predict_region(a, b, context)
            rows = iter_tiles(height, width, side, self.halo, self.model.config.stride)
            tiles = [tile for row in rows for tile in row]
        size = tiles[-1].region.top + tiles[-1].region.height, tiles[-1].region.left + tiles[-1].region.width
        whole = FusionOutput(*(a.new_empty(*a.shape[:2], *size) for _ in range(2)))
        for tile in tiles:
            output = self.predict_region(_cut(a, tile.padded), _cut(b, tile.padded), context, tile.inner)
            for plane, part in zip(whole, output, strict=True):
                _cut(plane, tile.region)[...] = part
        return whole

    def tile_side(self, height: int, width: int) -> int | None:
        """Tile side for an image of this size, given the free memory; None means a single tile."""
        limits = CUDA if self.device.type == "cuda" else CPU
        return tile_side(self.tile, height, width, self.model.config, self.halo, self._free_memory(), limits)

    def _free_memory(self) -> int:
        """Free memory in bytes, measured at most once per second."""
        now = time.monotonic()
        if now >= self._measured_at + 1:
            free = free_on_gpu(self.device) if self.device.type == "cuda" else free_memory()
            self._measured_at, self._free = now, free
        return self._free

    @torch.inference_mode()
    def encode_context(self, a: Tensor, b: Tensor) -> Context:
        """Encode the context of a whole pair of lumas (n, 1, h, w)."""
        with self._computing(a):
            return self._network.encode_context(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def encode_context_from_stats(self, a: Tensor, b: Tensor) -> Context:
        """Encode the context from the statistics (n, 2, grid, grid) of lumas that are read strip by strip."""
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
        """Compute in the chosen precision, with a clear message if memory runs out."""
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one, and the CPU's allocator has no class of its own
            if not _is_out_of_memory(error):
                raise
            size = f"{a.shape[2]} x {a.shape[3]}"
            raise InputError(
                f"Out of memory on '{self.device}' for an image of {size} pixels.\n"
                "Use smaller tiles, for example `tile=512`."
            ) from error


def _cut(x: Tensor, region: Region) -> Tensor:
    return x[..., region.top : region.top + region.height, region.left : region.left + region.width]


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means out of memory, unlike an illegal memory access."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "allocate memory" in text
