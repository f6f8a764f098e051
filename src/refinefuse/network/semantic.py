"""Semantic-domain coupling: global cross-attention between the modalities at the deepest scale."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.context import Context


class GlobalCrossAttention(nn.Module):
    """Each modality attends to the other over the whole image and adds the result. Initialized to the identity.

    According to the paper's abstract, a "global attention mechanism" couples the deep features of the modalities. Our
    choice: softmax attention whose keys and values are the other modality's context tokens. Their number is fixed, so
    the cost is linear in the number of pixels, every query attends to the whole image, and a region gets the same
    result as in the whole image.

    Args:
        width: channels of each modality's deepest features.
        context_channels: channels of the context tokens.
        num_heads: number of attention heads; must divide `width`.
    """

    def __init__(self, width: int, context_channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Conv2d(2 * width, 2 * width, 1, groups=2)
        self.key_value_a = nn.Linear(context_channels, 2 * width)
        self.key_value_b = nn.Linear(context_channels, 2 * width)
        self.proj = nn.Conv2d(2 * width, 2 * width, 1, groups=2)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]  # torch types an existing bias as optional

    def forward(self, pair: Float[Tensor, "n c h w"], context: Context) -> Float[Tensor, "n c h w"]:
        """Apply cross-attention to the deepest features of a pair, (n, 2 width, h, w)."""
        n, _, h, w = pair.shape
        query = self.query(pair).reshape(2 * n, self.num_heads, -1, h * w).transpose(2, 3)
        known = torch.stack([self.key_value_b(context.b), self.key_value_a(context.a)], 1)  # `a` queries `b`
        key, value = known.reshape(2 * n, known.shape[2], 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        answer = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).reshape(n, -1, h, w)
        mixed: Tensor = self.proj(answer)
        return mixed.add_(pair)
