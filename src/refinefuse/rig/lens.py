"""The lens of a camera: a camera matrix and distortion coefficients, as OpenCV and ROS define them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

_EXACT = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-9)
_COUNTS = (4, 5, 8)  # plumb bob without and with k3; rational polynomial


@dataclass(frozen=True, eq=False)
class Lens:
    """A pinhole camera with radial and tangential distortion.

    Attributes:
        camera_matrix: (3, 3), in pixels; (0, 0) is the center of the top-left pixel.
        distortion: k1, k2, p1, p2[, k3[, k4, k5, k6]] of OpenCV's model: 4, 5 or 8 coefficients.

    Raises:
        ValueError: the values do not form a valid lens.
    """

    camera_matrix: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, " k"]

    def __post_init__(self) -> None:
        matrix, distortion = self.camera_matrix, self.distortion
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
            raise ValueError("a camera matrix must be 3 x 3, with positive focal lengths")
        if distortion.shape not in [(count,) for count in _COUNTS] or not np.isfinite(distortion).all():
            raise ValueError("distortion must be 4, 5 or 8 finite numbers: k1, k2, p1, p2, k3, k4, k5, k6")

    def distort(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Map points (x, y) of an ideal camera with the same matrix to the distorted image."""
        if not self.distortion.any():
            return points
        rays = (points - self.camera_matrix[:2, 2]) / np.diag(self.camera_matrix)[:2]
        ahead = np.concatenate([rays, np.ones((len(rays), 1))], 1)[:, None]
        distorted, _ = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), self.camera_matrix, self.distortion)
        return np.asarray(distorted[:, 0])

    def undistort(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Map points (x, y) of the distorted image to an ideal camera with the same matrix."""
        if not self.distortion.any():
            return points
        ideal = cv2.undistortImagePoints(points[:, None], self.camera_matrix, self.distortion, None, _EXACT)
        return np.asarray(ideal[:, 0])

    def describe(self) -> str:
        """Describe the lens: focal lengths, center and distortion."""
        m = self.camera_matrix
        numbers = [m[0, 0], m[1, 1], m[0, 2], m[1, 2], *self.distortion]
        return " ".join(f"{number:.8g}" for number in numbers)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be saved as JSON."""
        return {"camera_matrix": self.camera_matrix.tolist(), "distortion": self.distortion.tolist()}


def nominal_lens(size: tuple[int, int], k1: float = 0.0, k2: float = 0.0) -> Lens:
    """Return a lens centered on an image; its focal length, which images do not determine, equals the longer side."""
    h, w = size
    focal = float(max(h, w))
    matrix = np.array([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]])
    return Lens(matrix, np.array([k1, k2, 0.0, 0.0, 0.0]))
