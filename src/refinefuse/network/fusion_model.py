"""Region-wise fusion, independent of the runtime that executes the network."""

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
"""How far luma may fall outside [0, 1] after rounding or resampling."""


class Region(NamedTuple):
    """A rectangle of the image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def check_shapes(a: Tensor, b: Tensor) -> None:
    """Check that both sources are grayscale batches of the same shape.

    Raises:
        InputError: if they are not; the message gives both shapes.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 1 or not a.numel():
        raise InputError(
            "The network takes two grayscale batches of the same shape.\n  expected: (n, 1, h, w)\n"
            f"  a: {tuple(a.shape)}\n  b: {tuple(b.shape)}\n"
            "Pass luma with a batch dimension, or use `refinefuse.fuse`, which takes images of any kind."
        )


def check_sources(a: Tensor, b: Tensor) -> None:
    """Check that both sources are luma in [0, 1], (n, 1, h, w), of the same shape.

    Raises:
        InputError: if they are not; the message gives the shapes, types or values.
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

    The sources are luma in [0, 1], (n, 1, h, w), of any size from 1 x 1. A region has exactly the values it has in the
    full output.
    """

    config: NetworkConfig
    is_thread_invariant: ClassVar[bool] = False
    """Whether the output is bit-identical for any number of threads, so that threads may fuse pairs in parallel."""

    @abstractmethod
    def encode_context_from_stats(self, a: Float[Tensor, "n 2 g g"], b: Float[Tensor, "n 2 g g"]) -> Context:
        """Encode the context from the `grid_statistics` of the sources, for training crops and images read in parts."""

    @abstractmethod
    def predict_padded(
        self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context
    ) -> FusionOutput:
        """Fuse images (or training crops) whose sides are multiples of the stride."""

    def encode_context(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> Context:
        """Encode the global context of a pair; its size does not depend on the image size.

        Raises:
            InputError: if the sources are not luma in [0, 1], (n, 1, h, w), of the same shape.
        """
        check_sources(a, b)
        return self.encode_context_from_stats(
            grid_statistics(a, self.config.context_size), grid_statistics(b, self.config.context_size)
        )

    def orders(self, a: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The pair, followed by the swapped pair if the network is symmetric."""
        return [(a, b), (b, a)] if self.config.symmetric else [(a, b)]

    @staticmethod
    def mean_of_orders(outputs: Sequence[FusionOutput]) -> FusionOutput:
        """Average the outputs for the pairs of `orders`."""
        if len(outputs) == 1:
            return outputs[0]
        one, other = outputs
        return FusionOutput((one.fused + other.fused) / 2, (one.weight_map + (1 - other.weight_map)) / 2)

    @property
    def halo(self) -> int:
        """Margin around a region that its output depends on, in pixels per side: a multiple of `config.stride`."""
        sides = [self.config.patch_size << scale for scale in range(len(self.config.channels))]  # cell sizes in pixels
        encoding = 2 * sum(sides)  # two 3x3 convolutions at each scale
        refining = 2 * sum(sides[:-1] or sides) + sum(sides[1:])  # the blocks, and the upsampling between them
        output = 2 * self.config.stride + sides[0]  # the head's convolutions, the bands and the pixel's own cell
        reach = encoding + refining + output
        return -(-reach // self.config.stride) * self.config.stride

    def predict(
        self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context, region: Region | None = None
    ) -> FusionOutput:
        """Fuse a region of the pair, or the whole pair.

        Args:
            a: luma of the whole first source, in [0, 1].
            b: luma of the whole second source.
            context: what `encode_context` returned for the whole pair.
            region: the rectangle to fuse; None fuses the whole pair.

        Raises:
            InputError: if the sources differ in shape, or the region is empty or extends beyond the image.
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
        """Along one axis: start and end of the pixels that a region needs, and the padding beyond the image edge.

        All are multiples of the stride, so that the deepest cells keep the positions they have in the whole image.
        """
        stride = self.config.stride
        first, last = max(0, start - self.halo) // stride * stride, -(-(end + self.halo) // stride) * stride
        return first, min(last, length), -length % stride if last >= length else 0
