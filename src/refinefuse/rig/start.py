"""Initial search for the motion between two cameras, over all frames jointly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refinefuse.alignment.edges import Gray, downsample, orientation
from refinefuse.alignment.search import LOOK, Candidate, Correlator, directions_after
from refinefuse.alignment.transform import centering, zoom

_FRAMES = 8  # maximum number of frames, evenly spaced
_WIDTH = 112  # longer side of the downscaled images
_REACH = 0.3  # maximum shift as a fraction of the side
_ANGLES = np.deg2rad(np.arange(-9, 9.1, 3))
_SCALES = np.exp(np.arange(-0.9, 0.91, 0.06))  # 0.4 to 2.5 times the scale at which the images fit


def search_rig(frames: Sequence[tuple[Gray, Gray]]) -> list[Candidate]:
    """Search rotations, scales and shifts between the cameras; return the best first.

    Each candidate is scored on all frames jointly, so a motion that fits one frame by chance ranks low.

    Args:
        frames: lumas of `a` and `b`, each of constant size.
    """
    chosen = [frames[number] for number in np.unique(np.linspace(0, len(frames) - 1, _FRAMES).astype(int))]
    (first_a, first_b), longer = chosen[0], [max(image.shape) for image in chosen[0]]
    small = [[downsample(image, side / _WIDTH) for image, side in zip(pair, longer, strict=True)] for pair in chosen]
    size_a, size_b = small[0][0].shape, small[0][1].shape
    to_a, to_b = zoom(first_a.shape, size_a), np.linalg.inv(zoom(first_b.shape, size_b))
    correlators = [Correlator(orientation(b, LOOK), _REACH) for _, b in small]
    fit = max(x / y for x, y in zip(size_a, size_b, strict=True))
    everywhere = np.ones(size_a, np.float32)
    found = []
    for angle in _ANGLES:
        for scale in _SCALES * fit:
            c, s = scale * np.cos(angle), scale * np.sin(angle)
            turn = centering(size_a) @ [[c, -s, 0], [s, c, 0], [0, 0, 1]] @ np.linalg.inv(centering(size_b))
            moved = (directions_after(a, everywhere, turn, size_b) for a, _ in small)
            surface = sum(one.surface(a) for one, a in zip(correlators, moved, strict=True)) / np.sqrt(len(chosen))
            y, x = np.unravel_index(int(np.argmax(surface)), np.shape(surface))
            shift = np.array([[1, 0, correlators[0].shifts[1][x]], [0, 1, correlators[0].shifts[0][y]], [0, 0, 1]])
            matrix = to_a @ turn @ shift @ to_b
            found.append(Candidate(matrix / matrix[2, 2], float(np.asarray(surface)[y, x])))
    return sorted(found, key=lambda one: -one.score)
