"""Coupling in the semantic domain: global attention across the modalities at the deepest scale."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.network.context import Context


class CrossAttention(nn.Module):
    """Every place of one modality asks the tokens of the other and adds the answer. Starts as the identity."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(width, width, 1)
        self.key_value = nn.Linear(context_width, 2 * width)
        self.answer = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.answer.weight)

    def forward(self, x: Float[Tensor, "n c h w"], tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n c h w"]:
        """Features (n, c, h, w) of one modality, tokens (n, t, d) of the other."""
        n, c, h, w = x.shape
        query = self.query(x).reshape(n, self.heads, c // self.heads, h * w).transpose(2, 3)
        key, value = self.key_value(tokens).reshape(n, -1, 2, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        answer = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.answer(answer.transpose(2, 3).reshape(n, c, h, w))
        return x + mixed


class GlobalCrossAttention(nn.Module):
    """Each modality queries the other over the whole image.

    The paper's abstract fixes a "global attention mechanism" that couples the deep features of the modalities. Our
    choice: softmax attention whose keys and values are the other modality's context tokens. Their number is fixed,
    so the cost is linear in the pixels, every query sees the whole picture, and a window gives the same answer as
    the whole.

    Args:
        width: channels of the deepest features of each modality.
        context_width: channels of the context's tokens.
        heads: attention heads; they divide `width`.
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.a_asks_b = CrossAttention(width, context_width, heads)
        self.b_asks_a = CrossAttention(width, context_width, heads)

    def forward(
        self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], context: Context
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """The deepest features of `a` and of `b`, each with what the other knows."""
        return self.a_asks_b(a, context.b), self.b_asks_a(b, context.a)
