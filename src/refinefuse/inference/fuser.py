"""Fuse pictures: the one class and the one function that most users need."""

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
from refinefuse.image.color import Color, merge, pool, split, sum_in_any_order
from refinefuse.inference.backend import Backend, check_runtime, is_exported, load_painter
from refinefuse.inference.device import Precision, choose_device, choose_precision
from refinefuse.inference.pictures import Picture, check_pair, like_sources, read_source
from refinefuse.inference.resources import free_memory
from refinefuse.inference.tiles import Tile, check_tile, pieces, tile_side
from refinefuse.network.context import Context
from refinefuse.network.head import Painting
from refinefuse.network.model import RefineFuse
from refinefuse.network.windows import Painter, Window
from refinefuse.weights.store import DEFAULT


class Explained(NamedTuple):
    """A fused picture in the form of its sources, and the share of all but the last in its mix: (n, 1, h, w)."""

    fused: np.ndarray | Tensor
    share: Tensor


def load_model(weights: str | os.PathLike[str] = DEFAULT, *, device: str = "auto") -> RefineFuse:
    """A trained network, in evaluation mode, float32, in the memory format in which it is fastest.

    Args:
        weights: a shipped name, a file, a folder that `save_pretrained` wrote, or a Hub repository.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if this machine has no such device.
    """
    place = choose_device(device)
    return RefineFuse.from_pretrained(weights).to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Fuser:
    """Fuses aligned pictures with one network.

    Pictures of a batch are painted one by one, so a picture is the same alone and in a batch; on a CPU in float32,
    fusing it twice gives the same bytes.

    Args:
        weights: a network, which is put into evaluation mode and moved to the device, what `load_model` takes, or an
            ONNX file that `refinefuse export` wrote.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: of the features; the mix and the correction are always computed in float32. `auto` is float32,
            but bfloat16 on CUDA devices that compute in it.
        color: whose colour the result gets: `b` (the default), `a`, `both` (each by its saturation) or `gray` (none).
        tile: side of the tiles in which large pictures are painted, in pixels; the result is that of painting the whole
            picture. `auto` goes by the size and the free memory, `off` paints in one piece.
        backend: what computes the network: `torch`, or on a CPU `onnxruntime` or `openvino`. `auto` is torch, and
            onnxruntime for an ONNX file.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if this machine has no such device, an option is unknown, or options exclude each other.
        MissingExtra: if the backend is not installed.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | RefineFuse = DEFAULT,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        color: Color = "b",
        tile: Tile = "auto",
        backend: Backend = "auto",
    ) -> None:
        if color not in get_args(Color):
            raise InputError(f"`color` must be {', '.join(get_args(Color))}.\n  got: {color!r}")
        self.color: Color = color
        self.model: Painter
        if isinstance(weights, RefineFuse):
            self.device = choose_device(device)
            self.model = weights.to(self.device).eval()
        elif backend in ("auto", "torch") and not is_exported(weights):
            self.device = choose_device(device)
            self.model = load_model(weights, device=device)
        else:
            check_runtime(backend, device, precision)
            self.device = torch.device("cpu")
            self.model = load_painter(weights, backend)
        self.dtype = choose_precision(precision, self.device)
        check_tile(tile, self.model.halo)
        self.tile: Tile = tile

    def __call__(self, a: Picture, b: Picture, *more: Picture) -> np.ndarray | Tensor:
        """Fuse a pair, or three and more pictures.

        Args:
            a: the source that gives no colour: infrared, CT, MRI beside a colour picture.
            b: the source whose colour is kept: visible, PET, SPECT; for CT and MRI, the MRI.
                Each is a path, an array (h, w) or (h, w, c) of uint8, uint16 or float in [0, 1], or a tensor (h,
                w), (c, h, w) or (n, c, h, w) of uint8, uint16 or floating point in [0, 1].
            more: further sources. The last of all is then the one whose colour is kept, and the order of those before
                it plays no part: see `explain`.

        Returns:
            An array for paths and arrays, a tensor for tensors, of the sources' size and of the greater of their
            depths. Grey if both are grey or `color` is `gray`, RGB otherwise; with alpha if a source has it.

        Raises:
            InputError: if a source cannot be used, or the two do not lie on one grid.
        """
        return self.explain(a, b, *more).fused

    def explain(self, a: Picture, b: Picture, *more: Picture) -> Explained:
        """Fuse as calling the fuser does, and tell for every pixel which share of the mix did not come from the last.

        Three and more: each source is fused with the last one, and each pixel is the mean of these results, every one
        weighted by how far it is from the last source. So each source adds what it alone shows, a source given twice
        changes nothing, and the result is the same to the last bit in whatever order the sources but the last come.
        """
        names = ["a", "b"] if not more else [f"source {index + 1}" for index in range(len(more) + 2)]
        *others, last = (read_source(picture, name) for picture, name in zip((a, b, *more), names, strict=True))
        for other in others:
            check_pair(other, last)
        planes, kept = [split(other.image) for other in others], split(last.image)
        lumas = torch.stack([plane.luma for plane in planes], 1)  # (n, sources, 1, h, w)
        painted = [self._paint_all(x, y[None]) for x, y in zip(lumas, kept.luma, strict=True)]
        luma, share = (torch.cat(parts).to(last.image.device) for parts in zip(*painted, strict=True))
        return Explained(like_sources(merge(luma, pool(planes), kept, self.color), *others, last), share)

    def _paint_all(self, others: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Fused luma and share of one picture from (sources, 1, h, w) and (1, 1, h, w)."""
        painted = [self.paint(other[None], last) for other in others]
        if len(painted) == 1:
            return painted[0]
        fused, share = (torch.stack(parts).to(last.device) for parts in zip(*painted, strict=True))
        weight = (fused - last).abs() + torch.finfo(fused.dtype).tiny
        weight = weight / sum_in_any_order(weight)
        return sum_in_any_order(weight * fused), sum_in_any_order(weight * share)

    def paint(self, a: Tensor, b: Tensor, context: Context | None = None) -> Painting:
        """Fuse lumas, by tiles where they are large.

        Args:
            a: (1, 1, h, w) float32 in [0, 1], on any device.
            b: of the same shape.
            context: of the pair; None: it is computed.

        Returns:
            The fused luma and the share of `a`, on the device of `a`.
        """
        height, width = a.shape[2:]
        side = self.tile_side(height, width)
        context = self.context(a, b) if context is None else context
        if side is None:
            return self.paint_window(a, b, context)
        whole = Painting(torch.empty_like(a), torch.empty_like(a))
        for row in pieces(height, width, side, self.model.halo, self.model.config.stride):
            for piece in row:
                painted = self.paint_window(_cut(a, piece.crop), _cut(b, piece.crop), context, piece.inner)
                for plane, part in zip(whole, painted, strict=True):
                    _cut(plane, piece.window)[...] = part
        return whole

    def tile_side(self, height: int, width: int) -> int | None:
        """The side of the tiles in which a picture of this size is painted now; None if it is painted in one piece."""
        cuda = self.device.type == "cuda"
        free = torch.cuda.mem_get_info(self.device)[0] if cuda else free_memory()
        return tile_side(self.tile, height, width, self.model.config, self.model.halo, free)

    @torch.inference_mode()
    def context(self, a: Tensor, b: Tensor) -> Context:
        """What the network needs to know of a whole pair of lumas (1, 1, h, w)."""
        with self._computing(a):
            return self.model.context(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def context_of_reduced(self, a: Tensor, b: Tensor) -> Context:
        """The same of lumas that are reduced already, (1, 2, grid, grid)."""
        with self._computing(a):
            return self.model.context_of_reduced(a.to(self.device), b.to(self.device))

    @torch.inference_mode()
    def paint_window(self, a: Tensor, b: Tensor, context: Context, window: Window | None = None) -> Painting:
        """Paint a window of lumas (1, 1, h, w) in one piece; the result is where they are."""
        with self._computing(a):
            first, second = (x.to(self.device) for x in (a, b))
            painting = self.model.paint(first, second, context, window)
            return Painting(*(plane.to(a.device) for plane in painting))

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
                f"There is not enough memory on '{self.device}' for a picture of {size} pixels.\n"
                "Paint it in smaller tiles (--tile 512)."
            ) from error


def _cut(x: Tensor, window: Window) -> Tensor:
    return x[..., window.top : window.top + window.height, window.left : window.left + window.width]


def fuse(
    a: Picture,
    b: Picture,
    *more: Picture,
    weights: str | os.PathLike[str] = DEFAULT,
    color: Color = "b",
    device: str = "auto",
    precision: Precision = "auto",
    tile: Tile = "auto",
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
def _fuser(weights: str, device: str, precision: Precision, color: Color, tile: Tile) -> Fuser:
    return Fuser(weights, device=device, precision=precision, color=color, tile=tile)
