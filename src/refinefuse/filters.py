"""Neighbourhood arithmetic that metrics and losses share: blurs, Sobel gradients, local moments, extremes.

Every function takes and returns batches of pictures (n, c, h, w), computes in the dtype and on the device of its input and can be
differentiated, with finite gradients everywhere: square roots are flat at zero instead of infinitely steep.

The word for a border says what lies outside the picture: `valid` nothing (the result is smaller), `zero` zeros, `replicate` the edge
pixel repeated, `mirror` a reflection that does not repeat the edge pixel.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Border: TypeAlias = Literal["valid", "zero", "replicate", "mirror"]
Kernel: TypeAlias = tuple[float, ...]
"""The weights of one row of a separable window; its column has the same."""

_BLOCK = 32  # outputs of one banded product: a wider band multiplies more zeros, a narrower one makes more calls
_WHOLE = 192  # up to this side one band over the whole side is faster, forwards and backwards


@lru_cache
def gaussian(size: int, sigma: float) -> Kernel:
    """The row of a size x size Gaussian window whose weights sum to 1."""
    weights = [math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(size)]
    return tuple(w / sum(weights) for w in weights)


def box(size: int) -> Kernel:
    """The row of a size x size window of equal weights that sum to 1."""
    return (1 / size,) * size


def pad(x: Float[Tensor, "n c h w"], margin: int, border: Border) -> Float[Tensor, "n c h2 w2"]:
    """Put a margin of `margin` pixels around the picture; `valid` puts none."""
    if border == "valid" or margin == 0:
        return x
    margins = (margin,) * 4
    if border == "zero":
        return F.pad(x, margins)
    return F.pad(x, margins, mode="replicate" if border == "replicate" else "reflect")


def blur(x: Float[Tensor, "n c h w"], kernel: Kernel, border: Border = "valid") -> Float[Tensor, "n c h2 w2"]:
    """Correlate with the separable window whose row and column are both `kernel`.

    Computed as products with banded matrices, because a CPU multiplies matrices several times faster than it convolves one channel.

    Args:
        x: the pictures.
        kernel: the window's row, of odd length unless `border` is `valid`.
        border: what lies outside the picture.

    Returns:
        The same size, or smaller by `len(kernel) - 1` on each axis for `valid`.
    """
    x = pad(x, len(kernel) // 2, border)
    columns_first = _correlate_columns(x, kernel).transpose(-1, -2)
    return _correlate_columns(columns_first.contiguous(), kernel).transpose(-1, -2)


def _correlate_columns(x: Tensor, kernel: Kernel) -> Tensor:
    """Correlate along the rows' axis (-2), valid positions only."""
    reach = len(kernel) - 1
    n, c, h, w = x.shape
    rows = h - reach
    if rows <= _WHOLE:
        return torch.matmul(_band(kernel, rows, x.dtype, x.device), x)
    blocks = -(-rows // _BLOCK)
    x = F.pad(x, (0, 0, 0, blocks * _BLOCK + reach - h))
    pieces = x.unfold(-2, _BLOCK + reach, _BLOCK).transpose(-1, -2)
    return torch.matmul(_band(kernel, _BLOCK, x.dtype, x.device), pieces).reshape(n, c, blocks * _BLOCK, w)[:, :, :rows]


@lru_cache(maxsize=256)
def _band(kernel: Kernel, rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (rows, rows + len(kernel) - 1) whose row i holds `kernel` from column i on."""
    weights = torch.tensor(kernel, dtype=torch.float64)
    band = torch.zeros(rows, rows + len(kernel) - 1, dtype=torch.float64)
    first = torch.arange(rows)[:, None]
    band[first, first + torch.arange(len(kernel))] = weights.expand(rows, -1)
    return band.to(dtype).to(device)


def sobel(
    x: Float[Tensor, "n c h w"], border: Border = "replicate"
) -> tuple[Float[Tensor, "n c h2 w2"], Float[Tensor, "n c h2 w2"]]:
    """Sobel's horizontal and vertical derivatives, not divided by 8: a ramp of 1 level a pixel gives 8.

    Source: I. Sobel, G. Feldman, A 3x3 isotropic gradient operator for image processing, 1968.
    """
    x = pad(x, 1, border)
    rows = x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]
    columns = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    return rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]


def root(x: Tensor) -> Tensor:
    """The square root of a value that is not negative, with derivative 0 (not infinity) at 0."""
    positive = x > 0
    return torch.where(positive, x, 1.0).sqrt() * positive


def magnitude(x: Tensor, y: Tensor) -> Tensor:
    """The length of the vector (x, y), with derivative 0 where both are 0."""
    return root(x * x + y * y)


def covariance(
    x: Float[Tensor, "n c h w"], y: Float[Tensor, "n c h w"], kernel: Kernel, border: Border = "valid"
) -> Float[Tensor, "n c h2 w2"]:
    """The covariance of two pictures under the window at each pixel; of a picture with itself, its variance (not clipped at 0)."""
    return blur(x * y, kernel, border) - blur(x, kernel, border) * blur(y, kernel, border)


def dilate(x: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c h w"]:
    """The largest value in the size x size square around each pixel; `size` is odd, what lies outside the picture does not count."""
    reach = size // 2
    x = F.max_pool2d(x, (1, size), stride=1, padding=(0, reach))
    return F.max_pool2d(x, (size, 1), stride=1, padding=(reach, 0))


def erode(x: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c h w"]:
    """The smallest value in the size x size square around each pixel; `size` is odd, what lies outside the picture does not count."""
    return -dilate(-x, size)
