"""Images for the tests of the metrics, made from a seed: smooth ground, edges, texture, a hot target."""

import numpy as np
import torch


def pair(height, width, seed=0):
    """Two sources, levels 0..255: 'infrared' with a hot square, 'visible' with texture and an edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    phase = rng.uniform(0, 6, 4)
    a = 70 + 30 * np.sin(x / 7 + phase[0]) * np.cos(y / 11 + phase[1]) + rng.normal(0, 3, (height, width))
    a[height // 4 : height // 2, width // 3 : width // 2] += 120
    b = 110 + 40 * np.sin(x / 3 + y / 5 + phase[2]) + rng.normal(0, 5, (height, width))
    b += 50 * (x + y / 3 > width * 0.7)
    return [np.floor(np.clip(z, 0, 255) + 0.5) for z in (a, b)]


def triplet(height, width, seed=0):
    """A fused image and its sources; the fused one is a mixture with a copied corner, so that ties occur."""
    a, b = pair(height, width, seed)
    fused = np.floor(0.6 * np.maximum(a, b) + 0.4 * (a + b) / 2 + 0.5)
    fused[: height // 3, : width // 3] = b[: height // 3, : width // 3]
    return fused, a, b


def tensors(*images):
    """FusionDataModule of one image each."""
    return [torch.from_numpy(np.ascontiguousarray(x))[None, None] for x in images]
