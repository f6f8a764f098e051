"""Edge directions, which two sensors have in common regardless of the sign and strength of the edges.

An image becomes a field of vectors (m cos 2t, m sin 2t): t is the direction of the gradient, doubled so that a dark
edge on bright ground equals a bright one on dark ground; m is its strength relative to the neighborhood, saturating at
1. Two images agree where their vectors do. If the directions are unrelated, the sum of the products over the image is a
random walk of known variance, so agreement is measured in its standard deviations.

Source: after the double-angle orientation of G. H. Granlund, "In search of a general image processing operator",
Computer Graphics and Image Processing 8, 1978; orientation for registering different sensors: J. P. W. Pluim, J. B. A.
Maintz, M. A. Viergever, "Image registration by maximization of combined mutual information and gradient information",
IEEE TMI 19(8), 2000.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from refinefuse.image.pixels import Pixels, check_pixels

Gray = Float[np.ndarray, "h w"]
Field = Float[np.ndarray, "h w 2"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class EdgeScale:
    """The scale of edge detection.

    Attributes:
        smooth: standard deviation of the blur before the gradient, pixels.
        reach: standard deviation of the neighborhood for relative edge strength, pixels.
        spread: standard deviation of the blur of the vectors, pixels: it suppresses noise and widens the capture range.
    """

    smooth: float
    reach: float
    spread: float


def luma(pixels: Pixels) -> Gray:
    """Convert an image to float32 luma in [0, 1] (BT.601), ignoring alpha.

    Raises:
        InputError: the array is not an image.
    """
    check_pixels(pixels)
    scale = 1.0 / np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0
    values = pixels.astype(np.float32) * np.float32(scale)
    if values.ndim == 3 and values.shape[2] == 2:
        return np.ascontiguousarray(values[..., 0])
    return values if values.ndim == 2 else np.asarray(cv2.cvtColor(values[..., :3], cv2.COLOR_RGB2GRAY))


def orientation(image: Gray, edge_scale: EdgeScale) -> Field:
    """Compute the field of edge directions of an image: vectors of length 0 to 1."""
    smooth = cv2.GaussianBlur(image, (0, 0), edge_scale.smooth)
    x = cv2.Scharr(smooth, cv2.CV_32F, 1, 0)
    y = cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    strength = cv2.magnitude(x, y)
    around = cv2.GaussianBlur(strength, (0, 0), edge_scale.reach)
    level = around + (0.25 * float(around.mean()) + 1e-6)
    # strength / level, divided by 1 + itself, divided by strength for each of the two factors of the double angle
    factor = 1 / (strength * (level + strength) + 1e-12)
    vectors = np.dstack([(x * x - y * y) * factor, 2 * x * y * factor])
    return np.asarray(cv2.GaussianBlur(vectors, (0, 0), edge_scale.spread), np.float32)


def agreement(a: Field, b: Field, where: Mask) -> float:
    """Agreement of the directions, in standard deviations above chance."""
    chance = float(np.vdot(dot(a, a)[where], dot(b, b)[where])) / 2
    return float(dot(a, b)[where].sum()) / np.sqrt(chance) if chance > 0 else 0.0


def dot(a: Field, b: Field) -> Gray:
    """Dot product of the vectors of two fields; faster than a sum over an axis of size 2."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1])


def downsample(image: Gray, factor: float) -> Gray:
    """Downsample an image by a factor; unchanged for a factor of 1 or less."""
    if factor <= 1:
        return image
    h, w = image.shape
    size = (max(1, round(w / factor)), max(1, round(h / factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
