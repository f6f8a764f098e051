"""Neighborhood arithmetic for metrics and losses: blurs, Sobel gradients, extremes.

Every function takes and returns batches of images (n, c, h, w), computes in the dtype and on the device of its input
and can be differentiated, with finite gradients everywhere: square roots are flat at zero instead of infinitely steep.

`border` defines the padding: `valid` none (the result is smaller), `zero` zeros, `replicate` repeats the edge pixel,
`mirror` reflects without repeating the edge pixel.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from refinefuse.errors import InputError

Border: TypeAlias = Literal["valid", "zero", "replicate", "mirror"]
Kernel: TypeAlias = tuple[float, ...]
"""Weights of a separable window along one axis."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue. Source: ITU-R BT.601."""

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
    """Put a margin of `margin` pixels around the image; `valid` puts none."""
    if border == "valid" or margin == 0:
        return x
    margins = (margin,) * 4
    if border == "zero":
        return F.pad(x, margins)
    if border == "replicate":
        return F.pad(x, margins, mode="replicate")
    _check_side(x, margin + 1, "A mirrored border")
    return F.pad(x, margins, mode="reflect")


def blur(
    x: Float[Tensor, "n c h w"],
    kernel: Kernel,
    border: Border = "valid",
    across: Kernel | None = None,
    step: int = 1,
) -> Float[Tensor, "n c h2 w2"]:
    """Correlate with the separable window whose column is `kernel` and whose row is `across`, or `kernel` too.

    Computed as products with banded matrices, which a CPU multiplies many times faster than it convolves one channel.

    Args:
        x: the images.
        kernel: the window's column, of odd length unless `border` is `valid`.
        border: what lies outside the image.
        across: the window's row if it is another, of the same length.
        step: compute every `step`-th row and column only, from the first on.

    Returns:
        The same size, or smaller by `len(kernel) - 1` on each axis for `valid`; of it every `step`-th row and column.

    Raises:
        InputError: the image is smaller than the window.
    """
    x = pad(x, len(kernel) // 2, border)
    _check_side(x, len(kernel), "A window")
    return _correlate(_correlate(x, kernel, -2, step), kernel if across is None else across, -1, step)


def _check_side(x: Tensor, least: int, what: str) -> None:
    h, w = x.shape[-2:]
    if min(h, w) < least:
        raise InputError(
            f"{what} does not fit in the image.\n  expected: at least {least} x {least}\n  got: {h} x {w}\n"
            "Use a larger image, or leave out the metric."
        )


def _correlate(x: Tensor, kernel: Kernel, axis: Literal[-2, -1], step: int = 1) -> Tensor:
    """Correlate along the columns (axis -2) or the rows (-1), where the kernel fits, at every `step`-th position."""
    positions = (x.shape[axis] - len(kernel)) // step + 1
    block = positions if positions <= _WHOLE else _BLOCK
    parts = []
    for first in range(0, positions, block):
        band = _band(kernel, min(block, positions - first), step, x.dtype, x.device)
        piece = x.narrow(axis, first * step, band.shape[1])
        parts.append(torch.matmul(band, piece) if axis == -2 else torch.matmul(piece, band.mT))
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


@lru_cache(maxsize=256)
def _band(kernel: Kernel, positions: int, step: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The banded matrix whose row i contains `kernel` from column i * step."""
    with torch.inference_mode(False):  # training uses it too
        weights = torch.tensor(kernel, dtype=torch.float64)
        band = torch.zeros(positions, (positions - 1) * step + len(kernel), dtype=torch.float64)
        row = torch.arange(positions)[:, None]
        band[row, row * step + torch.arange(len(kernel))] = weights.expand(positions, -1)
        return band.to(device, dtype)


def sobel(
    x: Float[Tensor, "n c h w"], border: Border = "replicate"
) -> tuple[Float[Tensor, "n c h2 w2"], Float[Tensor, "n c h2 w2"]]:
    """Sobel's horizontal and vertical derivatives, not divided by 8: a ramp of 1 level per pixel gives 8.

    Source: I. Sobel, G. Feldman, "A 3x3 isotropic gradient operator for image processing", 1968.
    """
    x = pad(x, 1, border)
    rows = torch.add(x[..., :-2, :] + x[..., 2:, :], x[..., 1:-1, :], alpha=2)
    columns = torch.add(x[..., :-2] + x[..., 2:], x[..., 1:-1], alpha=2)
    return rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]


def root(x: Tensor) -> Tensor:
    """The square root of a value that is not negative, with derivative 0 (not infinity) at 0."""
    if not x.requires_grad:
        return x.sqrt()
    positive = x > 0
    return torch.where(positive, x, 1.0).sqrt() * positive


def magnitude(x: Tensor, y: Tensor) -> Tensor:
    """The length of the vector (x, y), with derivative 0 where both are 0."""
    return root(x * x + y * y)


def dilate(x: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c h w"]:
    """The largest value in the size x size square around each pixel; `size` is odd, the outside does not count."""
    return _largest_in_columns(_largest_in_columns(x, size).transpose(-1, -2), size).transpose(-1, -2)


def erode(x: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c h w"]:
    """The smallest value in the size x size square around each pixel; `size` is odd, the outside does not count."""
    return -dilate(-x, size)


def _largest_in_columns(x: Tensor, size: int) -> Tensor:
    """The largest of `size` values along the rows' axis, by doubling the reach: log2(size) maxima instead of size."""
    x = F.pad(x, (0, 0, size // 2, size // 2), value=-math.inf)
    reach = 1
    while reach < size:
        step = min(reach, size - reach)
        x = torch.maximum(x[..., :-step, :], x[..., step:, :])
        reach += step
    return x
