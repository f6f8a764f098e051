"""Realistic degradations: adverse lighting and sensor noise, for training and for robustness tests.

Every function takes luma in [0, 1] as float32 (h, w), a severity in [0, 1] (0 leaves the image unchanged) and a
generator, and returns luma of the same shape and range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from jaxtyping import Float

Luma = Float[np.ndarray, "h w"]
Degradation = Callable[[Luma, float, np.random.Generator], Luma]


def underexposure(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """Under-exposure: down to a twentieth of the light, with shot noise."""
    gain = 0.05**severity
    photons = 2000 * gain
    noise = rng.standard_normal(luma.shape, np.float32) * np.sqrt(luma * gain / photons + 1e-6) * severity
    darkened: Luma = np.clip(luma * gain + noise * 0.5, 0, 1)
    return darkened


def overexposure(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """Over-exposure with one to three lamps facing the lens: saturated discs with wide halos."""
    rows, columns = np.ogrid[: luma.shape[0], : luma.shape[1]]
    lit = luma * (1 + 2 * severity * rng.random(dtype=np.float32))
    for _ in range(rng.integers(1, 4)):
        y, x = rng.random(2) * luma.shape
        radius = float(np.hypot(*luma.shape)) * rng.uniform(0.01, 0.05)
        distance = ((rows - y) ** 2 + (columns - x) ** 2).astype(np.float32) / radius**2
        lit += severity * 1.5 / (1 + distance)  # the long tails of a lens's glare
    return np.clip(lit, 0, 1)


def haze(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """Haze or smoke between the camera and the scene, denser towards one side of the image.

    Source: the airlight model of Koschmieder (1924), I = J t + A (1 - t).
    """
    rows, columns = np.ogrid[: luma.shape[0], : luma.shape[1]]
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * rows / luma.shape[0] + np.sin(angle) * columns / luma.shape[1]
    transmission = np.exp(-severity * 2.5 * (0.6 + 0.4 * slope)).clip(0.05, 1).astype(np.float32)
    veiled: Luma = luma * transmission + np.float32(rng.uniform(0.6, 1)) * (1 - transmission)
    return veiled


def sensor_noise(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """High gain: noise that increases with the signal, up to a tenth of the range."""
    deviation = 0.1 * severity * np.sqrt(0.3 + 0.7 * luma)
    return np.clip(luma + deviation * rng.standard_normal(luma.shape, np.float32), 0, 1)


def rain(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """Rain: bright streaks with a common slant.

    Source: Garg, Nayar, "Photorealistic rendering of rain streaks", ACM Transactions on Graphics 25(3), 2006; much
    simplified: a streak is a blurred line of even brightness.
    """
    length = int(rng.integers(9, 25))
    slant = rng.uniform(-0.35, 0.35)  # from the vertical, as a tangent
    streak = np.zeros((length, length), np.float32)
    middle = length / 2
    cv2.line(streak, (round(middle * (1 - slant)), 0), (round(middle * (1 + slant)), length - 1), 1.0, 1, cv2.LINE_AA)
    drops = (rng.random(luma.shape, np.float32) < 0.004 * severity) * rng.random(luma.shape, np.float32)
    seen = 0.6 * cv2.filter2D(drops, -1, cv2.GaussianBlur(streak, (0, 0), 0.5))
    rained: Luma = np.clip(luma + seen * (1 - luma), 0, 1)
    return rained


def low_thermal_contrast(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """Low thermal contrast: warm areas turn dark, the hottest lose up to 75 % of their level; blurred.

    For the infrared image, not the visible one.
    """
    dim = (1 - 0.75 * severity * rng.random()) * luma ** np.float32(1 + 1.5 * severity * rng.random())
    faded: Luma = cv2.GaussianBlur(dim, (0, 0), max(0.1, severity * rng.random()))
    return faded


def thermal_noise(luma: Luma, severity: float, rng: np.random.Generator) -> Luma:
    """Artifacts of uncooled infrared sensors: column and row fixed-pattern noise, pixel noise, lens shading.

    For the infrared image, not the visible one.
    """
    rows, columns = np.ogrid[: luma.shape[0], : luma.shape[1]]
    pattern = 0.02 * severity * rng.random()
    added = pattern * rng.standard_normal((1, luma.shape[1]), np.float32)
    added = added + 0.5 * pattern * rng.standard_normal((luma.shape[0], 1), np.float32)
    added = added + 0.03 * severity * rng.random() * rng.standard_normal(luma.shape, np.float32)
    from_center = (rows / luma.shape[0] - 0.5) ** 2 + (columns / luma.shape[1] - 0.5) ** 2
    added = added + 0.2 * severity * rng.uniform(-1, 1) * from_center
    noised: Luma = np.clip(luma + added.astype(np.float32), 0, 1)
    return noised


DEGRADATIONS: Mapping[str, Degradation] = {
    "underexposure": underexposure,
    "overexposure": overexposure,
    "haze": haze,
    "sensor_noise": sensor_noise,
    "rain": rain,
}
"""Degradations by name, in the order used by training."""

NOT_OF_THE_SCENE = frozenset({"sensor_noise", "rain"})
"""Degradations that add content not in the scene: the losses compare with the image before degradation."""
