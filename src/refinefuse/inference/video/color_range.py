"""The luma plane of a video frame and its color range."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.image.thermal import IntensityRange

if TYPE_CHECKING:
    from av import VideoFrame

_NARROW_RANGE, _FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
_BT601, _BT709, _SRGB, _UNSPECIFIED = 6, 1, 13, 2  # ITU-T H.273 codes: matrix, primaries, transfer, unspecified
_LUMA_FIRST = re.compile(r"(yuva?j?4\d\dp|gray)(9|10|12|14|16)?(le)?|nv12|nv21")
_ALL_BUT_ODD = IntensityRange("percentile", 0.01, 99.99)


def has_luma(pixel_format: str) -> bool:
    """Whether the first plane of this pixel format is luma, in whole bytes of native byte order."""
    return _LUMA_FIRST.fullmatch(pixel_format) is not None


def luma_plane(frame: VideoFrame) -> np.ndarray[Any, Any]:
    """View the first plane of a frame as (h, w), uint8 or uint16; its format must satisfy `has_luma`."""
    plane: Any = frame.planes[0]
    dtype = np.dtype(np.uint8 if frame.format.components[0].bits <= 8 else "<u2")
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    view: np.ndarray[Any, Any] = rows[: frame.height, : frame.width]
    return view


def with_luma(frame: VideoFrame) -> VideoFrame:
    """Return the frame if its first plane is luma; otherwise convert it to gray."""
    deep = max(component.bits for component in frame.format.components) > 8
    return frame if has_luma(frame.format.name) else converted(frame, "gray16le" if deep else "gray")


def converted(frame: VideoFrame, pixel_format: str, *, narrow: bool = False) -> VideoFrame:
    """Convert a frame to another pixel format, with matching color tags; YUV keeps its values.

    Args:
        frame: any frame.
        pixel_format: planar YUV, or gray.
        narrow: convert full-range YUV to limited range, for containers without a range tag.
    """
    was_yuv, becomes_gray = _is_yuv(frame), pixel_format.startswith("gray")
    was_full = not was_yuv or luma_range_of(frame).black == 0
    becomes_full = becomes_gray or (was_yuv and was_full and not narrow)
    if frame.format.name == pixel_format and was_full == becomes_full:
        return frame
    before, after = (_FULL_RANGE if full else _NARROW_RANGE for full in (was_full, becomes_full))
    result = frame.reformat(format=pixel_format, src_color_range=before, dst_color_range=after)
    result.color_range = after if was_full or becomes_full else frame.color_range
    if not was_yuv and not becomes_gray:
        result.colorspace = _BT601
        result.color_primaries = _known(frame.color_primaries) or _BT709
        result.color_trc = _known(frame.color_trc) or _SRGB
    return result


def _is_yuv(frame: VideoFrame) -> bool:
    return not frame.format.is_rgb and len(frame.format.components) >= 3


def _known(tag: int) -> int | None:
    return None if tag in (0, _UNSPECIFIED) else tag


def neutral_chroma(plane: Any, bits: int) -> None:
    """Set a chroma plane to neutral."""
    np.frombuffer(plane, np.uint8 if bits <= 8 else "<u2")[...] = 1 << (bits - 1)


@dataclass(frozen=True)
class LumaRange:
    """Luma values of black and white.

    Attributes:
        black: value mapped to 0.
        white: value mapped to 1.
    """

    black: float
    white: float

    def inverted(self) -> LumaRange:
        """Swap black and white."""
        return LumaRange(self.white, self.black)

    def normalize(self, plane: np.ndarray[Any, Any]) -> Float[Tensor, "1 1 h w"]:
        """Convert a plane (h, w) to float32 in [0, 1], clipped."""
        values = torch.from_numpy(plane if plane.dtype == np.uint8 else plane.astype(np.float32)).float()
        return values.sub_(self.black).div_(self.white - self.black).clamp_(0, 1)[None, None]

    def put(self, luma: Float[Tensor, "1 1 h w"], plane: np.ndarray[Any, Any]) -> None:
        """Write luma in [0, 1] into a plane, rounded half up."""
        values = luma[0, 0].mul(self.white - self.black).add_(self.black + 0.5)
        plane[...] = values.cpu().numpy().astype(plane.dtype)


def luma_range_of(frame: VideoFrame) -> LumaRange:
    """Black and white as defined by the pixel format: gray counts and `j` formats use the full range.

    Source: ITU-R BT.601-7 (2011), section 2.5.3, and BT.2100-2 (2018), table 9 (narrow range of n bits).
    """
    bits, name = frame.format.components[0].bits, frame.format.name
    if name.startswith(("gray", "yuvj")) or frame.color_range == _FULL_RANGE:
        return LumaRange(0, 2**bits - 1)
    return LumaRange(16 << (bits - 8), 235 << (bits - 8))


def fit_range(planes: Iterable[np.ndarray[Any, Any]], rule: IntensityRange | None = None) -> IntensityRange:
    """Fit black and white points that are fixed for a sequence, so that the brightness does not pump.

    Args:
        planes: frames sampled from the sequence, or its first ones.
        rule: the user's rule; None means the lowest to the highest count, ignoring one pixel in ten thousand at either
            end (dead or glaring pixels).

    Raises:
        InputError: if all counts are equal, or do not fit the rule.
    """
    return (rule or _ALL_BUT_ODD).fit(np.ascontiguousarray(plane) for plane in planes)
