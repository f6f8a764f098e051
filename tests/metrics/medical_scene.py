"""A triplet with what medical images have and `images` has not: black ground, saturated bone, parts copied exactly."""

import numpy as np


def medical(height=80, width=96):
    """A fused image and its sources, levels 0..255: two discs on black, with bone at 254 and 255."""
    y, x = np.mgrid[0:height, 0:width]
    radius = np.hypot((y - height / 2) / (height / 2), (x - width / 2) / (width / 2))
    a = np.where(radius < 0.8, 60 + 40 * np.cos(9 * radius), 0)
    bone = (radius > 0.7) & (radius < 0.8)
    a[bone] = 254 + x[bone] % 2
    b = np.where(radius < 0.75, 110 + 70 * np.sin(x / 4) * np.cos(y / 5), 0)
    b[height // 2 : height // 2 + 9, width // 4 : width // 4 + 12] = 200
    a, b = (np.floor(z + 0.5) for z in (a, b))
    fused = np.maximum(a, b)
    fused[: height // 2, : width // 2] = np.floor((0.6 * a + 0.4 * b)[: height // 2, : width // 2] + 0.5)
    return fused, a, b
