"""Estimate the polarity of thermal images."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float
from torch import Tensor

from refinefuse.image.color import to_ycbcr

Plane = Float[np.ndarray, "h w"]
_SIDE = 160  # pixels of the longer side, to which the image is reduced: textures and noise say nothing here
_FEWEST = 8  # pixels of the shorter side
_EXTREME = 2  # percent of the pixels that are the hottest, or the coldest
_VOTES = ((1.01, 0.26), (1.49, 1.05), (0.72, 0.43), (0.69, 0.25))
"""For each trait, its weight, and the value at which its vote reaches 0.7 of the maximum."""


def polarity_score(luma: Plane) -> float:
    """Estimate the polarity of a thermal image: above 0 white-hot, below 0 black-hot.

    Four traits vote, each of which changes its sign when an image is inverted: what is upright and stands out (persons,
    poles) is hot; the hottest parts have sharper edges than the coldest, which are mostly sky; the upper quarter is
    colder than the lower half; what stands out at the scale of vehicles is hot. Votes are bounded, so that no trait
    decides alone. Their sum is the logarithm of the odds.

    Weights: logistic regression on training images of TNO, RoadScene, MSRS (400 of 1051), LLVIP, M3SVD, M3FD and
    RGB-NIR Scene (796 in all, one of which is black-hot) and their negatives. Each dataset has the same weight, but
    M3FD 0.7 and RGB-NIR Scene, which is not thermal and is to cause no warning, 0.3. Error rates on the test sets are
    in docs/thermal.md.

    Args:
        luma: in [0, 1].
    """
    small = _reduced(luma)
    if small.std() < 1e-3 or len(small) < _FEWEST:  # flat, or a strip: nothing to see
        return 0.0
    upright = cv2.GaussianBlur(small, (0, 0), 1, sigmaY=3) - cv2.GaussianBlur(small, (0, 0), 4, sigmaY=3)
    above, below = small[: len(small) // 4].mean(), small[len(small) // 2 :].mean()
    traits = (
        _skewness(upright),
        _sharper_side(small),
        float(below - above) / float(small.std()),
        _skewness(_band(small, 4)),
    )
    return float(sum(weight * x / np.hypot(x, half) for (weight, half), x in zip(_VOTES, traits, strict=True)))


def shared_detail(a: Plane, b: Plane) -> float:
    """Correlation of the fine detail of two images, from -1 to 1.

    Thermal and visible images stay below 0.6, inverted or not (99 % of 800); near-infrared images, which show
    reflected light as visible ones do, often exceed it.
    """
    one, other = (_band(_reduced(luma), 1).ravel() for luma in (a, b))
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size > 0 else 0.0


def _reduced(luma: Plane) -> Plane:
    height, width = luma.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(np.ascontiguousarray(luma, np.float32), size, interpolation=cv2.INTER_AREA)


def _band(small: Plane, sigma: float) -> Plane:
    """Difference from the surroundings at a scale in pixels."""
    return cv2.GaussianBlur(small, (0, 0), sigma) - cv2.GaussianBlur(small, (0, 0), 2 * sigma)


def _skewness(values: Plane) -> float:
    """From -1 to 1: below 0 if few values are far below the others, above 0 if few are far above."""
    centered = values.astype(np.float64) - values.mean()
    squares = centered * centered  # a power would take eight times as long
    return float(np.tanh((squares * centered).mean() / max(squares.mean(), 1e-9) ** 1.5 / 2))


def _sharper_side(small: Plane) -> float:
    """Log ratio of the gradient in the brightest parts to that in the darkest."""
    steepness = cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    dark, bright = np.percentile(small, (_EXTREME, 100 - _EXTREME))
    least = 0.01  # of the full range: noise
    return float(np.log((steepness[small >= bright].mean() + least) / (steepness[small <= dark].mean() + least)))


def saturation(image: Float[Tensor, "n c h w"]) -> float:
    """Mean distance of the chroma from gray; 0 for a gray image."""
    chroma = to_ycbcr(image).chroma
    return 0.0 if chroma is None else float(chroma.abs().mean())
