"""Does a thermal picture show hot things dark, or has a pair changed places?"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float
from torch import Tensor

from refinefuse.image.color import split

_SIDE = 160  # pixels of the longer side, to which the picture is reduced: textures and noise say nothing here
_SKEW, _HEIGHT, _SURE = 4.1, -1.95, -2.0
_COLOURED, _GREY = 0.02, 0.004  # mean distance of the chroma from grey


def hotness(luma: Float[np.ndarray, "h w"]) -> float:
    """How much a thermal picture looks as if hot were white: above 0 white-hot, below 0 black-hot.

    Two traits decide, and both change their sign when a picture is inverted: hot things are few, so that the
    histogram of a white-hot picture leans to the bright side (skewness); and the upper quarter of a picture, mostly
    sky, is colder than the lower half.

    Weights: logistic regression on the training pictures of TNO, M3SVD, LLVIP and RoadScene (286) and their negatives,
    each set weighing the same. How often it is right on the test sets is told in docs/thermal.md.

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
    skewness = ((small - small.mean()) ** 3).mean() / deviation**3
    above, below = small[: len(small) // 4].mean(), small[len(small) // 2 :].mean()
    return float(_SKEW * np.tanh(skewness / 2) + _HEIGHT * (above - below) / deviation)


def pair_doubts(a: Float[Tensor, "1 c h w"], b: Float[Tensor, "1 c h w"], *, polarity: bool) -> list[str]:
    """What makes a pair look as if its pictures had changed places, or `a` were black-hot.

    Args:
        a: the source that gives no colour, in [0, 1].
        b: the source whose colour is kept, in [0, 1].
        polarity: whether to look for black-hot; False where the user has said what `a` is.
    """
    found = []
    if _saturation(a) > _COLOURED and _saturation(b) < _GREY:
        found.append("`a` is coloured and `b` is grey: the pair looks swapped (the visible picture comes last)")
    elif polarity and _saturation(a) < _GREY and hotness(split(a).luma[0, 0].numpy()) < _SURE:
        found.append("`a` looks black-hot: if hot things are dark in it, give --black-hot; if not, --white-hot")
    return found


def _saturation(image: Tensor) -> float:
    chroma = split(image).chroma
    return 0.0 if chroma is None else float(chroma.abs().mean())
