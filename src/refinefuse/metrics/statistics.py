"""Statistics of the fused picture alone, and its pixel-wise distance to the sources.

None of the first group looks at the sources: noise, a stretch or a sharpening of the fused picture raises them all.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.filters import magnitude, root
from refinefuse.metrics.sharing import shared

Image = Float[Tensor, "n 1 h w"]
Score = Float[Tensor, " n"]


def pixel_mean(x: Float[Tensor, "n c h w"]) -> Score:
    """The mean over all pixels of each picture."""
    return x.flatten(1).mean(1)


@shared
def centred(x: Image) -> Image:
    """Each picture less its own mean."""
    return x - pixel_mean(x)[:, None, None, None]


def sd(fused: Image, a: Image, b: Image) -> Score:
    """Standard deviation of the fused picture, in levels; population form.

    Source: Y.-J. Rao, In-fibre Bragg grating sensors, Measurement Science and Technology, 1997, as the fusion literature cites it.
    """
    return root(pixel_mean(centred(fused) ** 2))


def sf(fused: Image, a: Image, b: Image) -> Score:
    """Spatial frequency: the root of the mean squared horizontal plus the mean squared vertical difference, in levels.

    Source: A. M. Eskicioglu, P. S. Fisher, Image quality measures and their performance, IEEE Trans. Communications, 1995.
    Differs from the paper, which divides both sums by all pixels: here each is divided by its own number of differences.
    """
    across = fused[..., 1:] - fused[..., :-1]
    down = fused[..., 1:, :] - fused[..., :-1, :]
    return root(pixel_mean(across**2) + pixel_mean(down**2))


def _central(x: Tensor) -> Tensor:
    """Central differences along the last axis, one-sided at its two ends."""
    return torch.cat((x[..., 1:2] - x[..., :1], (x[..., 2:] - x[..., :-2]) / 2, x[..., -1:] - x[..., -2:-1]), -1)


def ag(fused: Image, a: Image, b: Image, *, divisor: Literal["all", "inner"] = "all") -> Score:
    """Average gradient: the mean of sqrt((gx^2 + gy^2) / 2) with central differences, in levels a pixel.

    Source: G. Cui et al., Detail preserved fusion of visible and infrared images using regional saliency extraction and multi-scale
    image decomposition, Optics Communications, 2015.

    Args:
        fused: the fused picture, levels 0..255.
        a: not used.
        b: not used.
        divisor: `inner` divides the sum over all h w pixels by (h - 1)(w - 1), as the MATLAB tools do.
    """
    across, down = _central(fused), _central(fused.transpose(-1, -2)).transpose(-1, -2)
    mean = pixel_mean(magnitude(across, down)) / 2**0.5
    h, w = fused.shape[-2:]
    return mean if divisor == "all" else mean * (h * w / ((h - 1) * (w - 1)))


@shared
def correlation(x: Image, y: Image) -> Score:
    """Pearson's correlation of two pictures; 0 where one of them is constant."""
    x0, y0 = centred(x), centred(y)
    energy = pixel_mean(x0**2) * pixel_mean(y0**2)
    # A constant picture leaves the rounding of its mean, which must not be divided by itself.
    rounding = (8 * torch.finfo(x.dtype).eps) ** 2
    constant = (pixel_mean(x0**2) <= rounding * pixel_mean(x**2)) | (pixel_mean(y0**2) <= rounding * pixel_mean(y**2))
    return pixel_mean(x0 * y0) / torch.where(constant, 1.0, energy).sqrt() * ~constant


def scd(fused: Image, a: Image, b: Image) -> Score:
    """Sum of the correlations of differences, rho(fused - b, a) + rho(fused - a, b), -2..2.

    A plain copy of one source leaves a difference of zero, whose correlation counts as 0.

    Source: V. Aslantas, E. Bendes, A new image quality metric for image fusion: the sum of the correlations of differences,
    AEU International Journal of Electronics and Communications, 2015.
    """
    return correlation(fused - b, a) + correlation(fused - a, b)
