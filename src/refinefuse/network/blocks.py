"""Convolutional building blocks. They have no normalization layers, so nothing depends on the crop size."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU in between and a skip connection. Initialized to the identity.

    Args:
        channels: channels in and out.
        groups: 2 if the channels are those of a pair, to process each modality separately.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]  # torch types an existing bias as optional

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return features of the same shape."""
        change: Tensor = self.conv2(F.relu(self.conv1(x), inplace=True))
        return change.add_(x)


class PairEncoder(nn.Module):
    """Downsample the features of both modalities to the next coarser scale and apply a residual block.

    The features of a pair are concatenated along the channels, `a` first. Grouped convolutions give each modality its
    own weights, with half as many calls as two encoders and no concatenation before the modalities interact.

    Args:
        in_channels: input channels per modality.
        width: output channels per modality.
        stride: side of the non-overlapping blocks, each of which becomes one cell.
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.downsample = nn.Conv2d(2 * in_channels, 2 * width, stride, stride, groups=2)
        self.block = ResidualBlock(2 * width, groups=2)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Map the features of a pair, (n, 2 in_channels, h, w), to (n, 2 width, h / stride, w / stride)."""
        features: Tensor = self.block(F.relu(self.downsample(x), inplace=True))
        return features
