"""Frames that a rig of two cameras takes of rendered scenes."""

import cv2
import numpy as np
from scenes import scene

from refinefuse.rig.lens import nominal_lens
from refinefuse.rig.model import LensTransform

SIZE = (240, 320)
BEYOND = 60  # pixels of the scene around what `b` sees


def seen(matrix, k1=0.0, size=SIZE, seeds=range(8)):
    """Frames (a, b): `a` through a lens of distortion k1, from which pixels of `b` lie at `matrix`; and the truth."""
    true = LensTransform("homography", size, SIZE, matrix, None, nominal_lens(size, k1))
    y, x = np.mgrid[: size[0], : size[1]].reshape(2, -1).astype(float)
    back = LensTransform("homography", SIZE, size, np.linalg.inv(matrix))
    positions = back.map_points(true.lens_moving.undistort(np.stack([x, y], 1))) + BEYOND
    grid = positions.reshape(*size, 2).astype(np.float32)
    frames = []
    for seed in seeds:
        wide_a, wide_b = scene(seed, (SIZE[0] + 2 * BEYOND, SIZE[1] + 2 * BEYOND))
        a = cv2.remap(wide_a, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        frames.append((a, np.ascontiguousarray(wide_b[BEYOND:-BEYOND, BEYOND:-BEYOND])))
    return frames, true
