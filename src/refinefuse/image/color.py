"""Color between arrays, tensors, and the luma that is fused.

Networks only process luma: an image is split into luma, chroma and alpha (float32, to avoid rounding), the luma is
replaced by the fused one, and the chroma of a source is restored. The conversion is full-range BT.601.

Source: ITU-R BT.601-7 (2011), section 2.5.1 (luma) and 2.5.2 (color differences).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import DTypeLike
from torch import Tensor

from refinefuse.filters import LUMA
from refinefuse.image.pixels import Pixels, check_pixels

#: Source of the chroma: the first source, the second, both (weighted by saturation), or none.
Color = Literal["a", "b", "both", "gray"]

_R, _G, _B = LUMA
_CB, _CR = (
    2 * (1 - _B),
    2 * (1 - _R),
)  # 1.772 and 1.402: the full ranges of b - luma and r - luma, so that chroma is in [-0.5, 0.5]
_GRAY = 2e-6  # of full scale: colors nearer to gray are gray; onnx2tf takes bounds up to 1e-6 for zero


@dataclass(frozen=True)
class YCbCrImage:
    """An image split into luma, chroma and alpha.

    Attributes:
        luma: (n, 1, h, w) in [0, 1].
        chroma: (n, 2, h, w), Cb and Cr, zero-centered in [-0.5, 0.5]; None for a gray image.
        alpha: (n, 1, h, w) in [0, 1]; None for an image without alpha.
    """

    luma: Float[Tensor, "n 1 h w"]
    chroma: Float[Tensor, "n 2 h w"] | None = None
    alpha: Float[Tensor, "n 1 h w"] | None = None


def to_tensor(pixels: Pixels) -> Float[Tensor, "1 c h w"]:
    """Convert an image to float32 in [0, 1].

    Args:
        pixels: (h, w), (h, w, 2) gray + alpha, (h, w, 3) RGB or (h, w, 4) RGBA; uint8 or uint16 (divided by 255 or
            65535) or float32 in [0, 1] (unchanged).

    Returns:
        (1, c, h, w) with c = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.

    Raises:
        InputError: the array is not such an image.
    """
    check_pixels(pixels)
    planes = np.moveaxis(np.atleast_3d(pixels), -1, 0)
    values = np.empty((1, *planes.shape), np.float32)
    for plane, value in zip(planes, values[0], strict=True):  # one at a time, to save memory with large images
        np.divide(plane, np.float32(_maximum(pixels.dtype)), out=value, dtype=np.float32)
    return torch.from_numpy(values)


def to_array(image: Float[Tensor, "1 c h w"], dtype: DTypeLike) -> Pixels:
    """The inverse of `to_tensor`: clipped to [0, 1], scaled to the range of `dtype`, and rounded half up.

    Args:
        image: (1, c, h, w), c from 1 to 4.
        dtype: uint8, uint16 or float32 (which is only clipped).

    Returns:
        (h, w) for c = 1, (h, w, c) otherwise.
    """
    dtype = np.dtype(dtype)
    values = image[0].detach().float().clamp(0, 1)
    if dtype.kind == "u":
        values = values.mul_(_maximum(dtype)).add_(0.5).to(torch.uint8 if dtype.itemsize == 1 else torch.int32)
    pixels: Pixels = np.ascontiguousarray(values.movedim(0, -1).contiguous().cpu().numpy().astype(dtype, copy=False))
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def to_rgb8(pixels: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    """Convert an image to 8-bit RGB for display, without alpha."""
    image = to_tensor(pixels)
    rgb: UInt8[np.ndarray, "h w 3"] = to_array(
        image[:, :3] if image.shape[1] >= 3 else image[:, :1].expand(-1, 3, -1, -1), np.uint8
    )
    return rgb


def with_source_color(fused: Pixels, b: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    """Convert a fused image to 8-bit RGB for display; a gray one gets the chroma of `b`."""
    image, source = to_tensor(fused), to_ycbcr(to_tensor(b))
    planes = to_ycbcr(image)
    if source.chroma is None or (planes.chroma is not None and float(planes.chroma.abs().max()) >= 1e-6):
        return to_rgb8(fused)
    return to_rgb8(
        to_array(
            restore_color(planes.luma, YCbCrImage(planes.luma), YCbCrImage(source.luma, source.chroma)), np.float32
        )
    )


def to_ycbcr(image: Float[Tensor, "n c h w"]) -> YCbCrImage:
    """Split an image into luma, chroma and alpha.

    Args:
        image: (n, c, h, w) in [0, 1]; c = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
    """
    channels = image.shape[1]
    alpha = image[:, -1:] if channels in (2, 4) else None
    if channels < 3:
        return YCbCrImage(image[:, :1], None, alpha)
    red, green, blue = image[:, 0:1], image[:, 1:2], image[:, 2:3]
    luma = _R * red + _G * green + _B * blue
    chroma = torch.cat([(blue - luma) / _CB, (red - luma) / _CR], 1)
    return YCbCrImage(luma, chroma, alpha)


def restore_color(
    luma: Float[Tensor, "n 1 h w"], a: YCbCrImage, b: YCbCrImage, color: Color = "b"
) -> Float[Tensor, "n c h w"]:
    """Combine a fused luma with the color and alpha of its sources.

    Args:
        luma: (n, 1, h, w) in [0, 1].
        a: the first source.
        b: the second source.
        color: source of the chroma: "a", "b", "both" (weighted by saturation) or "gray" (none). If the chosen source
            has no chroma, the other one is used; the result is gray if neither has any.

    Returns:
        (n, c, h, w) in [0, 1]; c = 1 gray or 3 RGB, and one more for alpha: that of `b`, else that of `a`. Luma and hue
        are kept exactly: colors outside the RGB cube are desaturated. Per-channel clipping would change both.
    """
    chroma = _choose(a.chroma, b.chroma, color)
    alpha = a.alpha if b.alpha is None else b.alpha
    image = luma if chroma is None else _rgb(luma, chroma)
    image = image.clamp(0, 1)
    return image if alpha is None else torch.cat([image, alpha], 1)


def merge_color_sources(sources: Sequence[YCbCrImage]) -> YCbCrImage:
    """Merge several sources into one for color and alpha; its luma, which is replaced later, is that of the first.

    Chroma is the mean, each weighted by its saturation; alpha is the maximum. The order of the sources does not matter.

    Args:
        sources: at least one, all of the same size.
    """
    chromas = [source.chroma for source in sources if source.chroma is not None]
    alphas = [source.alpha for source in sources if source.alpha is not None]
    return YCbCrImage(
        sources[0].luma,
        _weigh(*chromas) if len(chromas) > 1 else next(iter(chromas), None),
        torch.stack(alphas).amax(0) if alphas else None,
    )


def order_invariant_sum(terms: Tensor) -> Tensor:
    """Sum over the first axis, bit-identical for any order of the terms."""
    return terms.sort(0).values.sum(0)


def _choose(a: Tensor | None, b: Tensor | None, color: Color) -> Tensor | None:
    if color == "gray":
        return None
    if a is None or b is None:
        return b if a is None else a
    if color == "both":
        return _weigh(a, b)
    return a if color == "a" else b


def _weigh(*chromas: Tensor) -> Tensor:
    """The mean of chromas, each weighted by its own distance from gray.

    Source: K. R. Prabhakar, V. S. Srikar, R. V. Babu, "DeepFuse: a deep unsupervised approach for exposure fusion with
    extreme exposure image pairs", ICCV 2017, the equation that fuses the chrominance channels (there centered at 128).
    """
    stacked = torch.stack(chromas)
    weight = order_invariant_sum(stacked.abs())
    return order_invariant_sum(stacked * stacked.abs()) / weight.clamp_min(torch.finfo(weight.dtype).tiny)


def _rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """RGB in [0, 1] with exactly this luma and hue; colors outside the RGB cube are desaturated."""
    blue, red = _CB * chroma[:, 0:1], _CR * chroma[:, 1:2]
    green = -(_B * blue + _R * red) / _G
    offset = torch.cat([red, green, blue], 1)
    room = torch.where(offset > 0, 1 - luma, luma)
    distance = offset.abs().clamp_min(max(_GRAY, torch.finfo(offset.dtype).tiny))
    fits = (room / distance).amin(1, keepdim=True).clamp(0, 1)
    return luma + fits * offset


def _maximum(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max) if dtype.kind == "u" else 1
