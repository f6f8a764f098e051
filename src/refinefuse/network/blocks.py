"""The convolutions that every part is made of. No normalization: nothing depends on the size of the crop."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around one ReLU, added to their input. Starts as the identity.

    Args:
        channels: channels in and out.
        groups: 2 where the channels are those of a pair, which do not meet here.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]  # torch types an existing bias as optional

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Same shape out."""
        change: Tensor = self.conv2(F.relu(self.conv1(x), inplace=True))
        return change.add_(x)


class PairEncoder(nn.Module):
    """The features of both modalities at the next coarser scale: a downsampling and a residual block.

    The features of a pair lie side by side, those of `a` first, and each modality has weights of its own (grouped
    convolutions): half as many calls as two encoders, and nothing to concatenate where the modalities meet.

    Args:
        in_channels: channels in, of each modality.
        width: channels out, of each modality.
        stride: side of the non-overlapping blocks that become one cell each.
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.downsample = nn.Conv2d(2 * in_channels, 2 * width, stride, stride, groups=2)
        self.block = ResidualBlock(2 * width, groups=2)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Features of the pair (n, 2 in_channels, h, w) to (n, 2 width, h / stride, w / stride)."""
        features: Tensor = self.block(F.relu(self.downsample(x), inplace=True))
        return features
