"""The convolutions of which every part is made. No normalisation: nothing here depends on the size of the crop."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around one ReLU, added to their input. Starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]  # torch types an existing bias as optional

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Same shape out."""
        change: Tensor = self.second(F.relu(self.first(x)))
        return x + change


class Encoder(nn.Module):
    """One modality's features at one scale more: the step down (or the stem) and a residual block.

    Args:
        channels: channels in.
        width: channels out.
        stride: 1 for the stem (3x3), 2 for a step down (2x2, without overlap).
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.step = nn.Conv2d(channels, width, 3, padding=1) if stride == 1 else nn.Conv2d(channels, width, 2, stride=2)
        self.block = ResidualBlock(width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Features (n, c, h, w) to (n, width, h / stride, w / stride)."""
        features: Tensor = self.block(F.relu(self.step(x)))
        return features
