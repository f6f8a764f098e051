"""A pinhole camera and the sensors behind it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rendering.noise import Array, floats


@dataclass(frozen=True)
class Camera:
    """Looks along z; x is to the right, y up, in meters.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        focal: focal length in pixels.
        horizon: the row of the horizon (a shifted lens: what is upright stays upright).
        eye: where the camera is.
    """

    height: int
    width: int
    focal: float
    horizon: float
    eye: tuple[float, float, float]

    def rays(self) -> Array:
        """(h, w, 3) directions of one meter depth: the point at depth t is eye + t * direction."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        across, up = (x + 0.5 - self.width / 2) / self.focal, (self.horizon - y - 0.5) / self.focal
        return np.stack([across, up, np.ones_like(across)], -1)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Columns and rows of points (..., 3) in front of the camera."""
        x, y, z = np.moveaxis(np.asarray(points, np.float32) - floats(self.eye), -1, 0)
        return self.width / 2 + self.focal * x / z, self.horizon - self.focal * y / z


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur, reflecting at the borders."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def glow(light: Array, strength: float, reach: float) -> Array:
    """Light scattered in the lens: the sum of ever wider and fainter blurs, up to `reach` pixels."""
    small = cv2.resize(light, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    halo = sum(blur(small, reach / 4 / 3**i) * weight for i, weight in enumerate((0.25, 0.35, 0.4)))
    size = light.shape[1], light.shape[0]
    return np.asarray(light + strength * cv2.resize(np.asarray(halo), size, interpolation=cv2.INTER_CUBIC))


def vignette(height: int, width: int, strength: float) -> Array:
    """(h, w) factors that fall towards the corners."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray((1 - strength * (x * x + y * y) / 2).astype(np.float32))


def expose(light: Array, generator: np.random.Generator, *, gain: float, read: float, shot: float) -> Array:
    """What a visible sensor makes of linear light.

    Args:
        light: (h, w, 3), 1 is white at gain 1.
        generator: the source of the noise.
        gain: exposure.
        read: deviation of the noise in the dark, as a part of white.
        shot: variance of the noise at white, as a part of white.

    Returns:
        (h, w, 3) display values in [0, 1]: noise, then a soft shoulder and the gamma of sRGB.
    """
    signal = blur(light, 0.65) * gain * vignette(light.shape[0], light.shape[1], 0.35)[..., None]
    deviation = np.sqrt(read**2 + shot * np.clip(signal, 0, 1))
    noise = generator.standard_normal(light.shape, np.float32)
    noise = 0.55 * noise.mean(-1, keepdims=True) * np.sqrt(3) + 0.45 * blur(noise, 0.6) * 2.0
    signal = np.clip(signal + deviation * noise, 0, None)
    knee = np.where(signal < 0.7, signal, 1 - 0.3 * np.exp(-(signal - 0.7) / 0.3))
    curve = 1.055 * np.maximum(knee, 1e-6) ** (1 / 2.4) - 0.055
    return floats(np.where(knee < 0.0031308, 12.92 * knee, curve))


def detect(heat: Array, generator: np.random.Generator, *, softness: float, noise: float) -> Array:
    """What an uncooled thermal sensor makes of heat (h, w) in [0, 1]: a soft lens, grain, stripes along columns."""
    height, width = heat.shape
    grain = generator.standard_normal((height, width), np.float32)
    stripes = 0.35 * generator.standard_normal((1, width)).astype(np.float32)
    drift = 0.15 * generator.standard_normal((height, 1)).astype(np.float32)
    seen = blur(heat.astype(np.float32), softness) * vignette(height, width, 0.06)
    return np.asarray(np.clip(seen + noise * (0.7 * grain + 0.5 * blur(grain, 0.8) + stripes + drift), 0, 1))
