"""Fusion by regions: how far a region depends on its surroundings, whatever runtime computes the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from refinefuse.errors import InputError
from refinefuse.network.config import NetworkConfig
from refinefuse.network.context import Context, grid_statistics
from refinefuse.network.head import FusionOutput

TOLERANCE = 1e-3
"""How far the luma may leave [0, 1], by rounding or resampling."""


class Region(NamedTuple):
    """A rectangle of the image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def check_shapes(a: Tensor, b: Tensor) -> None:
    """Refuse sources that are not gray batches of one shape.

    Raises:
        InputError: naming both shapes.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 1 or not a.numel():
        raise InputError(
            "The network takes two grayscale batches of the same shape.\n  expected: (n, 1, h, w)\n"
            f"  a: {tuple(a.shape)}\n  b: {tuple(b.shape)}\n"
            "Pass luma with a batch dimension, or use `refinefuse.fuse`, which takes images of any kind."
        )


def check_sources(a: Tensor, b: Tensor) -> None:
    """Refuse sources that are not luma in [0, 1], (n, 1, h, w), of one shape.

    Raises:
        InputError: naming the shapes, types or values.
    """
    check_shapes(a, b)
    for name, x in (("a", a), ("b", b)):
        if not x.is_floating_point():
            raise InputError(
                f"The network takes floating-point luma in [0, 1].\n  got: `{name}` of type {x.dtype}\n"
                "Divide 8-bit levels by 255, 16-bit levels by 65535."
            )
        if torch.compiler.is_compiling():
            continue
        low, high = (float(side) for side in torch.aminmax(x.detach()))
        if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
            raise InputError(
                f"The network takes luma in [0, 1].\n  got: `{name}` from {low:g} to {high:g}\n"
                "Divide 8-bit levels by 255, 16-bit levels by 65535, and remove NaN."
            )


class FusionModel(ABC):
    """A network that reads the whole pair once (`encode_context`) and then fuses any region of it (`predict`).

    The sources are luma in [0, 1], (n, 1, h, w), of any size from 1 x 1. A region has the values of the whole output.
    """

    config: NetworkConfig
    is_thread_invariant: ClassVar[bool] = False
    """Whether any number of threads gives the same bytes, and several threads may each fuse a pair alone."""

    @abstractmethod
    def encode_context_from_stats(self, a: Float[Tensor, "n 2 g g"], b: Float[Tensor, "n 2 g g"]) -> Context:
        """The context from `grid_statistics` of the sources: for training crops and images that are read in parts."""

    @abstractmethod
    def predict_padded(
        self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context
    ) -> FusionOutput:
        """Fuse images, or crops in training, whose sides are multiples of the stride."""

    def encode_context(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> Context:
        """What the network needs to know of the whole pair, of a size that does not depend on the image's.

        Raises:
            InputError: if the sources are not luma in [0, 1], (n, 1, h, w), of one shape.
        """
        check_sources(a, b)
        return self.encode_context_from_stats(
            grid_statistics(a, self.config.context_size), grid_statistics(b, self.config.context_size)
        )

    def orders(self, a: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The pair, and of a symmetric network the pair the other way round too."""
        return [(a, b), (b, a)] if self.config.symmetric else [(a, b)]

    @staticmethod
    def mean_of_orders(outputs: Sequence[FusionOutput]) -> FusionOutput:
        """One output from those of `orders`."""
        if len(outputs) == 1:
            return outputs[0]
        one, other = outputs
        return FusionOutput((one.fused + other.fused) / 2, (one.weight_map + (1 - other.weight_map)) / 2)

    @property
    def halo(self) -> int:
        """Pixels around a region that its output depends on, per side: a multiple of `config.stride`."""
        sides = [self.config.patch_size << scale for scale in range(len(self.config.channels))]  # of a cell, in pixels
        encoding = 2 * sum(sides)  # two 3x3 convolutions at each scale
        refining = 2 * sum(sides[:-1] or sides) + sum(sides[1:])  # the blocks, and the enlargements between them
        output = 2 * self.config.stride + sides[0]  # the head's convolutions, the bands and the pixel's own cell
        reach = encoding + refining + output
        return -(-reach // self.config.stride) * self.config.stride

    def predict(
        self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context, region: Region | None = None
    ) -> FusionOutput:
        """Fuse a region of the pair, or all of it.

        Args:
            a: luma of the whole of the first source, in [0, 1].
            b: luma of the whole of the second source.
            context: what `encode_context` returned for the whole pair.
            region: the rectangle to fuse; None fuses all.

        Raises:
            InputError: if the sources differ in shape, or the region is empty or reaches over the edge.
        """
        check_shapes(a, b)
        height, width = a.shape[2:]
        top, left, rows, columns = region or Region(0, 0, height, width)
        bottom, right = top + rows, left + columns
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise InputError(f"The region must lie within the image.\n  image: {height} x {width}\n  region: {region}")
        y0, y1, below = self._reach(top, bottom, height)
        x0, x1, after = self._reach(left, right, width)
        a, b = a[..., y0:y1, x0:x1], b[..., y0:y1, x0:x1]
        if after or below:
            a, b = (F.pad(x, (0, after, 0, below), mode="replicate") for x in (a, b))
        output = self.predict_padded(a, b, context)
        return FusionOutput(*(plane[..., top - y0 : bottom - y0, left - x0 : right - x0] for plane in output))

    def _reach(self, start: int, end: int, length: int) -> tuple[int, int, int]:
        """Along one side: the first and last pixel that a region needs, and how far the image's edge is extended.

        Cells of the deepest scale must stay where they are in the whole image, hence the multiples of the stride.
        """
        stride = self.config.stride
        first, last = max(0, start - self.halo) // stride * stride, -(-(end + self.halo) // stride) * stride
        return first, min(last, length), -length % stride if last >= length else 0
