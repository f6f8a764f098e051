"""RefineFuse: a multi-scale interaction network that refines shallow detail by deep meaning.

Source: Song, Li, Xu, Wu, Kittler, "RefineFuse: an end-to-end network for multi-scale refinement fusion of
multi-modality images", Visual Intelligence 2025. Its abstract fixes the parts and how they work together;
everything that the docstrings call our choice is not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import Self

from refinefuse.errors import InputError
from refinefuse.network.blocks import PairEncoder
from refinefuse.network.config import NetworkConfig
from refinefuse.network.context import Context, ContextEncoder, reduced
from refinefuse.network.head import MixAndCorrection, Painting
from refinefuse.network.pixel import PixelInteraction
from refinefuse.network.pretrained import Pretrained
from refinefuse.network.refinement import DirectDecoder, GradualDecoder
from refinefuse.network.semantic import GlobalCrossAttention

class Window(NamedTuple):
    """A rectangle of the picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


class RefineFuse(Pretrained):
    """Two encoders, interaction at every scale, one decoder, trained in one stage.

    The sources are luma in [0, 1], (n, 1, h, w), of any size from 1 x 1. `context` reads the whole pair once;
    `paint` then paints any window of it, the same as in the whole painting. Calling the model does both.

    Args:
        config: the numbers that the parts were built with; it is saved with the weights.
        contexts: one encoder of the reduced picture a modality.
        encoders: one stage a scale, shallow to deep.
        interactions: one `PixelInteraction` for each of the first scales; may be empty.
        attention: `GlobalCrossAttention` at the deepest scale, or None.
        merges: one convolution a scale, from the features of both to fused ones.
        decoder: from the fused features of every scale to those of the first.
        head: from features to the picture.
    """

    def __init__(
        self,
        config: NetworkConfig,
        contexts: Sequence[ContextEncoder],
        encoders: Sequence[PairEncoder],
        interactions: Sequence[PixelInteraction],
        attention: GlobalCrossAttention | None,
        merges: Sequence[nn.Conv2d],
        decoder: GradualDecoder | DirectDecoder,
        head: MixAndCorrection,
    ) -> None:
        super().__init__()
        self.config = config
        self.contexts = nn.ModuleList(contexts)
        self.encoders = nn.ModuleList(encoders)
        self.interactions = nn.ModuleList(interactions)
        self.attention = attention
        self.merges = nn.ModuleList(merges)
        self.decoder = decoder
        self.head = head

    @classmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """The network that a config describes, with random weights: it returns the average of the sources."""
        widths, folded = config.widths, config.fold**2
        channels = (folded, *widths[:-1])
        strides = (1, *[2] * (len(widths) - 1))
        shallow = widths[: config.interactions] if config.pixel_interaction else ()
        attention = GlobalCrossAttention(widths[-1], config.context_width, config.heads)
        return cls(
            config,
            contexts=[ContextEncoder(config.context_width) for _ in range(2)],
            encoders=[PairEncoder(c, w, s) for c, w, s in zip(channels, widths, strides, strict=True)],
            interactions=[PixelInteraction(w, config.context_width) for w in shallow],
            attention=attention if config.global_attention else None,
            merges=[nn.Conv2d(2 * w, w, 1) for w in widths],
            decoder=GradualDecoder(widths) if config.gradual_refinement else DirectDecoder(widths),
            head=MixAndCorrection(widths[0], config.fold, config.correction),
        )

    @property
    def halo(self) -> int:
        """Pixels around a window that its painting depends on, a side: a multiple of `config.stride`."""
        sides = [self.config.fold << scale for scale in range(len(self.config.widths))]  # of a cell, in pixels
        encoding = sides[0] + 2 * sum(sides) + sum(sides[: len(self.interactions)])  # stem, blocks, spatial attention
        refining = 2 * sum(sides[:-1] or sides) + sum(sides[1:])  # the blocks, and the enlargements between them
        reach = encoding + refining + 2 * sides[0]  # the head's convolution and the pixel's own cell
        return -(-reach // self.config.stride) * self.config.stride

    def forward(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """The fused luma in [0, 1], of the size of the sources."""
        return self.paint(a, b, self.context(a, b)).fused

    def context(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> Context:
        """What the network needs to know of the whole pair, of a size that does not depend on the picture's."""
        return self.context_of_reduced(reduced(a, self.config.grid), reduced(b, self.config.grid))

    def context_of_reduced(self, a: Float[Tensor, "n 2 g g"], b: Float[Tensor, "n 2 g g"]) -> Context:
        """The context of pairs that are reduced already (`reduced`), as training crops are."""
        return Context(self.contexts[0](a), self.contexts[1](b))

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

    def paint_crop(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], context: Context) -> Painting:
        """Paint a picture, or a crop in training, whose sides are multiples of the stride."""
        fold = self.config.fold
        folded = F.pixel_unshuffle(torch.cat([a, b], 1), fold)
        features = self.decoder(self._encode(folded, context))
        fused, share = self.head(features, *folded.chunk(2, 1))
        return Painting(F.pixel_shuffle(fused, fold), F.pixel_shuffle(share, fold))

    def _encode(self, pair: Tensor, context: Context) -> list[Tensor]:
        """Fused features of every scale, shallow to deep."""
        scales = []
        deepest = len(self.merges) - 1
        pair = pair.to(memory_format=torch.channels_last)
        for scale, (encoder, merge) in enumerate(zip(self.encoders, self.merges, strict=True)):
            pair = encoder(pair)
            if scale < len(self.interactions):
                pair = self.interactions[scale](pair, context)
            if scale == deepest and self.attention is not None:
                pair = self.attention(pair, context)
            scales.append(F.relu(merge(pair), inplace=True))
        return scales
