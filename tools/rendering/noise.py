"""Random textures: fractal noise that fades out where a pixel could not resolve it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

_TILE = 256  # points a side of the periodic tile that textures are read from
_CELL = 8  # points a period of the tile's noise


def floats(values: ArrayLike) -> Array:
    """Numbers as a float32 array."""
    return np.asarray(values, np.float32)


def clouds(generator: np.random.Generator, shape: tuple[int, int], beta: float = 3.0, stretch: float = 1.0) -> Array:
    """Noise with a power spectrum of 1 / frequency^`beta`, periodic, zero mean and unit deviation.

    Args:
        generator: the source of randomness.
        shape: height and width in pixels.
        beta: 0 white, 2 rough, 4 smooth.
        stretch: how many times longer the structures are from left to right than from top to bottom.
    """
    height, width = shape
    spectrum = np.fft.rfft2(generator.standard_normal(shape))
    y, x = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * height * stretch
    frequency = np.hypot(y, x)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(spectrum * frequency ** (-beta / 2), shape)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


class Texture:
    """Fractal noise at any point of a plane, for surfaces that are seen in perspective."""

    def __init__(self, generator: np.random.Generator) -> None:
        white = generator.standard_normal((_TILE, _TILE)).astype(np.float32)
        tile = cv2.GaussianBlur(np.tile(white, (3, 3)), (0, 0), _CELL / 4)[_TILE:-_TILE, _TILE:-_TILE]
        self._tile = (tile - tile.mean()) / tile.std()

    def __call__(self, u: Array, v: Array, footprint: Array | float, scale: float, octaves: int = 5) -> Array:
        """Noise of about unit deviation.

        Args:
            u: first coordinate, in meters.
            v: second coordinate, in meters.
            footprint: what one pixel covers, in meters: finer octaves are left out, as a lens would.
            scale: the coarsest structures, in meters.
            octaves: how many halvings of the scale.
        """
        total = np.zeros(np.broadcast(u, v).shape, np.float32)
        for octave in range(octaves):
            period = scale / 2**octave
            visible = np.clip(1.5 - 2 * np.asarray(footprint) / period, 0, 1)
            if visible.max() == 0:
                break
            turn = 0.7 * octave  # turned, so that the tile's repeats of two octaves never line up
            c, s = np.cos(turn) * _CELL / period, np.sin(turn) * _CELL / period
            total += (
                0.6**octave * visible * sample(self._tile, c * u - s * v + 37 * octave, s * u + c * v + 91 * octave)
            )
        return total * 0.8


def sample(tile: Array, x: Array, y: Array) -> Array:
    """A periodic tile read between its points, at any number of places of any shape."""
    wide = 512  # OpenCV takes maps of at most 32767 points a side: fold a long list
    places = np.zeros((2, -(-x.size // wide) * wide), np.float32)
    places[0, : x.size], places[1, : x.size] = x.ravel(), y.ravel()
    columns, rows = places.reshape(2, -1, wide)
    values = cv2.remap(tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(values.ravel()[: x.size].reshape(x.shape))


def chance(*numbers: Array | float) -> Array:
    """A number in [0, 1) that whole `numbers` decide: the same for the same window, tree or brick."""
    key = np.zeros(np.broadcast(*numbers).shape, np.uint64)
    for number in numbers:
        key = (key + np.asarray(number).astype(np.int64).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
        key *= np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(32)
    return np.asarray((key >> np.uint64(11)).astype(np.float64) / 2**53)


def step(low: float | Array, high: float | Array, x: Array) -> Array:
    """0 up to `low`, 1 from `high` on, smooth between (and the other way round if `low` > `high`)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
