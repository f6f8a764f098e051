"""Does a thermal image show hot things dark, and how colored is an image?"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float
from torch import Tensor

from refinefuse.image.color import to_ycbcr

_SIDE = 160  # pixels of the longer side, to which the image is reduced: textures and noise say nothing here
_SKEW, _HEIGHT = 4.1, -1.95


def polarity_score(luma: Float[np.ndarray, "h w"]) -> float:
    """How much a thermal image looks as if hot were white: above 0 white-hot, below 0 black-hot.

    Two traits decide, and both change their sign when an image is inverted: hot things are few, so that the
    histogram of a white-hot image leans to the bright side (skewness); and the upper quarter of an image, mostly
    sky, is colder than the lower half.

    Weights: logistic regression on the training images of TNO, M3SVD, LLVIP and RoadScene (286) and their negatives,
    each dataset weighted the same. Error rates on the test sets are in docs/thermal.md.

    Args:
        luma: in [0, 1].
    """
    height, width = luma.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(luma, np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float64)
    deviation = small.std()
    if deviation < 1e-3 or small.shape[0] < 8:  # flat, or a strip: nothing to see
        return 0.0
    centered = small - small.mean()
    skewness = (centered * centered * centered).mean() / deviation**3  # a power would take eight times as long
    above, below = small[: len(small) // 4].mean(), small[len(small) // 2 :].mean()
    return float(_SKEW * np.tanh(skewness / 2) + _HEIGHT * (above - below) / deviation)


def saturation(image: Float[Tensor, "n c h w"]) -> float:
    """Mean distance of the chroma from gray; 0 for a gray image."""
    chroma = to_ycbcr(image).chroma
    return 0.0 if chroma is None else float(chroma.abs().mean())
