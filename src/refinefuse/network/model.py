"""RefineFuse: a multi-scale interaction network that refines shallow features with deep semantic features.

Source: Song, Li, Xu, Wu, Kittler, "RefineFuse: an end-to-end network for multi-scale refinement fusion of
multi-modality images", Visual Intelligence 2025. Its abstract defines the parts and how they interact; whatever a
docstring calls "our choice" is not from the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.blocks import PairEncoder
from refinefuse.network.config import NetworkConfig
from refinefuse.network.context import Context, ContextEncoder
from refinefuse.network.fusion_model import FusionModel
from refinefuse.network.head import FusionHead, FusionOutput
from refinefuse.network.pixel import PixelInteraction
from refinefuse.network.pretrained import Pretrained
from refinefuse.network.refinement import DirectDecoder, GradualDecoder
from refinefuse.network.semantic import GlobalCrossAttention


class RefineFuse(Pretrained, FusionModel):
    """Two encoders, interaction at every scale, one decoder, trained in one stage.

    The sources are luma in [0, 1], (n, 1, h, w), of any size from 1 x 1. `encode_context` reads the whole pair once;
    `predict` then fuses any region of it, with exactly the values of the full output. Calling the model does both.

    Args:
        config: the configuration of the parts; saved with the weights.
        context_encoders: one encoder of grid statistics per modality.
        encoders: one stage per scale, shallow to deep.
        pixel_interactions: one `PixelInteraction` per shallow scale; may be empty.
        attention: `GlobalCrossAttention` at the deepest scale, or None.
        fuse_convs: one convolution per scale, from the features of both modalities to fused features.
        decoder: refines the fused features of all scales.
        head: turns the refined features into the fused image.
    """

    def __init__(
        self,
        config: NetworkConfig,
        context_encoders: Sequence[ContextEncoder],
        encoders: Sequence[PairEncoder],
        pixel_interactions: Sequence[PixelInteraction],
        attention: GlobalCrossAttention | None,
        fuse_convs: Sequence[nn.Conv2d],
        decoder: GradualDecoder | DirectDecoder,
        head: FusionHead,
    ) -> None:
        super().__init__()
        self.config = config
        self.context_encoders = nn.ModuleList(context_encoders)
        self.encoders = nn.ModuleList(encoders)
        self.interactions, self.attention = nn.ModuleList(pixel_interactions), attention
        self.fuse_convs = nn.ModuleList(fuse_convs)
        self.decoder = decoder
        self.head = head

    @classmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """Build a network from a config, with random weights. Untrained, it returns the average of the sources."""
        channels = config.channels
        in_channels = (1, *channels[:-1])
        strides = (config.patch_size, *[2] * (len(channels) - 1))
        shallow = channels[: config.num_interactions] if config.pixel_interaction else ()
        attention = GlobalCrossAttention(channels[-1], config.context_channels, config.num_heads)
        return cls(
            config,
            context_encoders=[ContextEncoder(config.context_channels) for _ in range(2)],
            encoders=[PairEncoder(c, w, s) for c, w, s in zip(in_channels, channels, strides, strict=True)],
            pixel_interactions=[PixelInteraction(w, config.context_channels) for w in shallow],
            attention=attention if config.global_attention else None,
            fuse_convs=[nn.Conv2d(2 * w, w, 1) for w in channels],
            decoder=GradualDecoder(channels) if config.gradual_refinement else DirectDecoder(channels),
            head=FusionHead(channels, config.patch_size, config.residual_bound),
        )

    def forward(self, a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """Return the fused luma in [0, 1], of the same size as the sources."""
        return self.predict(a, b, self.encode_context(a, b)).fused

    def encode_context_from_stats(self, a: Float[Tensor, "n 2 g g"], b: Float[Tensor, "n 2 g g"]) -> Context:
        """Encode the tokens of both sources from their grid statistics; for both orders if the network is symmetric."""
        first, second = self.context_encoders
        if not self.config.symmetric:
            return Context(first(a), second(b))
        return Context(torch.cat([first(a), first(b)]), torch.cat([second(b), second(a)]))

    def predict_padded(
        self,
        a: Float[Tensor, "n 1 h w"],
        b: Float[Tensor, "n 1 h w"],
        context: Context,
        contrast: Float[Tensor, "n 1 1 1"] | None = None,
    ) -> FusionOutput:
        """Fuse images (or training crops) whose sides are multiples of the stride.

        Args:
            a: luma of the first source, in [0, 1].
            b: luma of the second source.
            context: context of the whole pair.
            contrast: contrast of each pair, for training; None uses that of the config.
        """
        level = self.config.contrast if contrast is None else contrast
        by_order = zip(self.rules(a, b, context, level), self.orders(a, b), strict=True)
        return self.mean_of_orders([self.head(rules, *pair, level) for rules, pair in by_order])

    def rules(self, a: Tensor, b: Tensor, context: Context, contrast: Tensor | float) -> list[list[Tensor]]:
        """Compute the control values of the head for each of `orders` (see `FusionHead.rules`).

        Public because backends and exported graphs compute the head themselves.
        """
        orders = self.orders(a, b)
        # Sequentially: in one batch, the second image is summed in a different order at some sizes.
        contexts = [Context(*tokens) for tokens in zip(*(both.chunk(len(orders)) for both in context), strict=True)]
        pairs = zip(orders, contexts, strict=True)
        features = [self.decoder(self._encode(torch.cat(pair, 1), tokens)) for pair, tokens in pairs]
        return [self.head.rules(scales, contrast, a.dtype) for scales in features]

    def _encode(self, pair: Tensor, context: Context) -> list[Tensor]:
        """Return the fused features of every scale, shallow to deep."""
        scales = []
        deepest = len(self.fuse_convs) - 1
        pair = pair.to(memory_format=torch.channels_last)
        for scale, (encoder, merge) in enumerate(zip(self.encoders, self.fuse_convs, strict=True)):
            pair = encoder(pair)
            if scale < len(self.interactions):
                pair = self.interactions[scale](pair, context)
            if scale == deepest and self.attention is not None:
                pair = self.attention(pair, context)
            scales.append(F.relu(merge(pair), inplace=True))
        return scales
