"""Painting by windows: how far a window depends on what is around it, whatever computes the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from refinefuse.errors import InputError
from refinefuse.network.config import NetworkConfig
from refinefuse.network.context import Context, reduced
from refinefuse.network.head import Painting


class Window(NamedTuple):
    """A rectangle of the picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Painter(ABC):
    """A network that reads the whole pair once (`context`) and then paints any window of it, or all (`paint`).

    The sources are luma in [0, 1], (n, 1, h, w), of any size from 1 x 1. A window is the same as in the whole painting.
    """

    config: NetworkConfig

    @abstractmethod
    def context_of_reduced(self, a: Float[Tensor, "n 2 g g"], b: Float[Tensor, "n 2 g g"]) -> Context:
        """The context of sources that are reduced already (`reduced`): crops in training, pictures read by parts."""

    @abstractmethod
    def paint_crop(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context) -> Painting:
        """Paint a picture, or a crop in training, whose sides are multiples of the stride."""

    def context(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> Context:
        """What the network needs to know of the whole pair, of a size that does not depend on the picture's."""
        return self.context_of_reduced(reduced(a, self.config.grid), reduced(b, self.config.grid))

    @property
    def halo(self) -> int:
        """Pixels around a window that its painting depends on, a side: a multiple of `config.stride`."""
        sides = [self.config.fold << scale for scale in range(len(self.config.widths))]  # of a cell, in pixels
        encoding = 2 * sum(sides)  # two 3x3 convolutions at each scale
        refining = 2 * sum(sides[:-1] or sides) + sum(sides[1:])  # the blocks, and the enlargements between them
        painting = 2 * self.config.stride + sides[0]  # the head's convolutions, the bands and the pixel's own cell
        reach = encoding + refining + painting
        return -(-reach // self.config.stride) * self.config.stride

    def paint(
        self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context, window: Window | None = None
    ) -> Painting:
        """Paint a window of the pair, or all of it.

        Args:
            a: luma of the whole of the first source, in [0, 1].
            b: luma of the whole of the second source.
            context: what `context` returned for the whole pair.
            window: the rectangle to paint; None paints all.

        Raises:
            InputError: if the sources differ in shape, or the window is empty or reaches over the edge.
        """
        if a.shape != b.shape:
            raise InputError(f"`a` and `b` must have the same shape.\n  a: {tuple(a.shape)}\n  b: {tuple(b.shape)}")
        height, width = a.shape[2:]
        top, left, rows, columns = window or Window(0, 0, height, width)
        bottom, right = top + rows, left + columns
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise InputError(
                f"The window must lie within the picture.\n  picture: {height} x {width}\n  window: {window}"
            )
        y0, y1, below = self._reach(top, bottom, height)
        x0, x1, after = self._reach(left, right, width)
        a, b = a[..., y0:y1, x0:x1], b[..., y0:y1, x0:x1]
        if after or below:
            a, b = (F.pad(x, (0, after, 0, below), mode="replicate") for x in (a, b))
        region = self.paint_crop(a, b, context)
        return Painting(*(plane[..., top - y0 : bottom - y0, left - x0 : right - x0] for plane in region))

    def _reach(self, start: int, end: int, length: int) -> tuple[int, int, int]:
        """Along one side: the first and last pixel that a window needs, and how far the picture's edge is continued.

        Cells of the deepest scale must stay where they are in the whole picture, hence the multiples of the stride.
        """
        stride = self.config.stride
        first, last = max(0, start - self.halo) // stride * stride, -(-(end + self.halo) // stride) * stride
        return first, min(last, length), -length % stride if last >= length else 0
