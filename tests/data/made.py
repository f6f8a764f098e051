"""Images made here, with structure at every scale, as photographs have."""

import cv2
import numpy as np


def scene(seed, size=(240, 320)):
    """An image that is like no other."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.standard_normal((n, n)).astype(np.float32), size[::-1]) / n**0.5 for n in (4, 8, 16, 32, 64)
    ]
    image = sum(layers)
    return np.uint8(np.clip(128 + 60 * image, 0, 255))


def jpeg(image, quality=40):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED)
