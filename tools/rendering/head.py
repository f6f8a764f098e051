"""A slice through a head, as computed tomography and as magnetic resonance show it.

A phantom: the shapes are drawn after anatomy atlases in general, not after any person.
"""

from __future__ import annotations

import cv2
import numpy as np

from rendering.camera import blur
from rendering.layers import levels
from rendering.noise import Array, clouds, step

_SIZE, _FINE = 256, 2  # pixels of the image; drawn that many times finer
_SIDE = _SIZE * _FINE
_GYRUS = 13.5  # millimeters from furrow to furrow
_PIXEL = 230 / _SIDE  # millimeters, at the fine scale

# What each tissue gives: CT in Hounsfield units, and the signal of T2-weighted MR in [0, 1].
_HU: dict[str, float] = {
    "air": -1000,
    "skin": 60,
    "fat": -90,
    "muscle": 55,
    "compact": 1350,
    "spongy": 550,
    "fluid": 6,
    "gray": 39,
    "white": 29,
}
_T2: dict[str, float] = {
    "air": 0.0,
    "skin": 0.34,
    "fat": 0.62,
    "muscle": 0.22,
    "compact": 0.02,
    "spongy": 0.24,
    "fluid": 0.95,
    "gray": 0.50,
    "white": 0.31,
}


def render(seed: int = 0) -> tuple[Array, Array]:
    """CT and T2-weighted MR, both (256, 256) uint8."""
    generator = np.random.default_rng([seed, 3])
    y, x = (np.mgrid[:_SIDE, :_SIDE].astype(np.float32) + 0.5 - _SIDE / 2) * _PIXEL  # millimeters, the face is up
    head = _anatomy(x, y + 2, generator)
    ct = _tomograph(head, x, y, generator)
    mr = _resonance(head, x, y, generator)
    return levels(ct, np.uint8), levels(mr, np.uint8)


def _egg(x: Array, y: Array, wide: float, long: float) -> Array:
    """Distance in millimeters to the outline of a head: an oval, broader behind, flatter at the temples."""
    behind = y / long
    half = wide * (1 + 0.09 * behind - 0.03 * behind**2)
    radius = ((np.abs(x) / half) ** 2.15 + (np.abs(y) / long) ** 2.15) ** (1 / 2.15)
    return np.asarray((radius - 1) * 0.5 * (wide + long))


class _Slice:
    """The share that each tissue has of every pixel: what is laid covers what was there."""

    def __init__(self) -> None:
        self.shares: dict[str, Array] = {"air": np.ones((_SIDE, _SIDE), np.float32)}

    def lay(self, tissue: str, share: Array) -> None:
        for name in self.shares:
            self.shares[name] = self.shares[name] * (1 - share)
        self.shares[tissue] = self.shares.get(tissue, 0) + share

    def mix(self, values: dict[str, float]) -> Array:
        """The mean of `values`, one a tissue, weighted by the shares."""
        return np.asarray(sum(values[name] * share for name, share in self.shares.items()), np.float32)


def _within(distance: Array, soft: float = 0.5) -> Array:
    """1 inside, 0 outside, smooth over `soft` millimeters on either side."""
    return step(soft, -soft, distance)


def _anatomy(x: Array, y: Array, generator: np.random.Generator) -> _Slice:
    """The slice, laid from the outside in."""
    wobble, rough, uneven, spots = (clouds(generator, (_SIDE, _SIDE), beta) for beta in (3.6, 2.7, 3.2, 2.0))
    scalp = _egg(x, y, 75, 95) + 0.5 * wobble
    outer = _egg(x, y, 69, 88.5) + 0.9 * wobble
    thick = 6.0 + 1.6 * step(40, 88, np.abs(y)) - 1.8 * step(45, 70, np.abs(x)) + 0.7 * uneven
    inner = outer + thick
    head = _Slice()
    head.lay("skin", _within(scalp))
    head.lay("fat", _within(scalp + 2.0))
    temples = _within(np.hypot((np.abs(x) - 68) / 7.5, (y + 22) / 30) * 10 - 10, 1.0) * _within(scalp + 2.5)
    head.lay("muscle", np.clip(temples + _within(outer - 1.0), 0, 1))
    head.lay("compact", _within(outer))
    between = step(2.0, 3.3, -outer) * step(1.7, 3.0, inner) * step(4.0, 5.5, thick)
    head.lay("spongy", between * (0.75 + 0.2 * spots).clip(0, 1))
    head.lay("fluid", _within(inner))
    _brain(head, x, y, inner + 1.5 + 0.8 * rough, generator)
    return head


def _brain(head: _Slice, x: Array, y: Array, surface: Array, generator: np.random.Generator) -> None:
    """Cortex, marrow and what lies deeper; `surface` is the distance to the outline of the brain."""
    bend = 1.2 * clouds(generator, (_SIDE, 1), 3.6) * step(95, 40, np.abs(y))
    depth = np.minimum(-surface, _furrows(x, y, surface, np.abs(x - bend), generator))
    head.lay("gray", _within(-depth))
    head.lay("white", step(2.6, 3.8, depth + 0.35 * clouds(generator, (_SIDE, _SIDE), 3.0)))
    _nuclei(head, x - bend, y, 0.6 * clouds(generator, (_SIDE, _SIDE), 3.4))


def _furrows(x: Array, y: Array, surface: Array, middle: Array, generator: np.random.Generator) -> Array:
    """Distance in millimeters to the nearest furrow, the fissure between the halves among them."""
    u, v = (clouds(generator, (_SIDE, _SIDE), 3.4) for _ in range(2))
    field = cv2.GaussianBlur(
        generator.standard_normal((_SIDE, _SIDE)).astype(np.float32), (0, 0), _GYRUS / 4.4 / _PIXEL
    )
    field = cv2.remap(
        field / field.std(), *_pixels(x + 3 * u, y + 3 * v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    inward = np.clip(-surface / (21 + 4 * u), 0, 1)
    width = (0.05 + 0.13 * (1 - inward)) * (inward < 1)
    walls = (np.abs(field) < width) & (surface < 1)
    fissure = (middle < 0.75) & ((y < -34) | (y > 40))
    side, along = np.abs(x) + 1.6 * v, y + 2.2 * u
    sylvian = (np.abs(along + 7 - 0.35 * (side - 38) + 0.012 * (side - 38) ** 2) < 0.4 + 0.035 * (side - 34)) & (
        side > 38
    )
    insula = (np.abs(side - 37.5 - 0.016 * (along - 5) ** 2) < 0.6) & (np.abs(along - 5) < 14)
    shut = ~(walls | fissure | sylvian | insula)
    return np.asarray(cv2.distanceTransform(shut.astype(np.uint8), cv2.DIST_L2, 5) * _PIXEL)


def _pixels(x: Array, y: Array) -> tuple[Array, Array]:
    """Millimetres to columns and rows of the fine grid."""
    return x / _PIXEL + _SIDE / 2 - 0.5, y / _PIXEL + _SIDE / 2 - 0.5


def _nuclei(head: _Slice, x: Array, y: Array, rough: Array) -> None:
    """The nuclei and the ventricles, the same on both sides but for `rough` millimeters."""
    side = np.abs(x)

    def oval(cx: float, cy: float, a: float, b: float, turn: float = 0.0) -> Array:
        c, s = np.cos(turn), np.sin(turn)
        u, v = (side - cx) * c + (y - cy) * s, -(side - cx) * s + (y - cy) * c
        return np.asarray((np.hypot(u / a, v / b) - 1) * min(a, b) + rough)

    head.lay("gray", _within(oval(13.5, -21, 5.0, 10.5, -0.30), 0.8))  # caudate nucleus
    head.lay("gray", 0.85 * _within(oval(25.5, -7.5, 6.2, 14.5, -0.28), 1.0))  # lentiform nucleus
    head.lay("gray", 0.80 * _within(oval(9.0, 11.5, 7.6, 12.5, 0.35), 1.2))  # thalamus
    head.lay("white", _within(oval(30.6, -6, 1.0, 13, -0.22), 0.6))  # external capsule
    horns = np.minimum(oval(6.2, -24.5, 3.2, 11.0, -0.42), oval(2.6, -12.5, 1.9, 6.0, -0.12))
    atria = np.minimum(oval(20.5, 27.5, 4.6, 11.5, -0.38), oval(23.0, 40.0, 2.6, 9.0, 0.18))
    head.lay("fluid", _within(horns, 0.6))
    head.lay("fluid", _within(atria, 0.6))
    head.lay("fluid", _within(np.maximum(side - 1.5 - 0.4 * rough, np.abs(y - 6) - 11.0), 0.6))  # third ventricle
    head.lay(
        "fluid", 0.95 * _within(np.hypot(side / 7.5, (y - 31) / 3.4) * 3.4 - 3.4 + rough, 0.8)
    )  # cistern behind it
    head.lay("gray", _within(np.hypot((side - 20) / 2.6, (y - 27) / 5.2) * 3 - 3 + rough, 0.8))  # choroid plexus


def _tomograph(head: _Slice, x: Array, y: Array, generator: np.random.Generator) -> Array:
    """CT: linear attenuation, streaky noise, a window of 130 units around 40 in the brain, and the head rest."""
    hounsfield = head.mix(_HU)
    chalk = np.exp(-(((np.abs(x) - 20.3) / 1.5) ** 2) - ((y - 27.5) / 2.2) ** 2)
    pineal = np.exp(-((x / 1.6) ** 2) - ((y - 20.5) / 2.0) ** 2)
    hounsfield = hounsfield + 160 * chalk + 190 * pineal
    rest = np.abs(np.hypot(x, y + 6) - 109)
    hounsfield = hounsfield + (step(1.3, 0.7, rest) * 820 + step(4.5, 3.5, np.abs(np.hypot(x, y + 6) - 112.5)) * 60) * (
        y > 62
    )
    hounsfield = hounsfield + 9 * np.exp(-(np.clip(-_egg(x, y + 2, 62, 81), 0, None) / 5)) * (
        hounsfield > -50
    )  # beam hardening
    seen = cv2.resize(blur(np.asarray(hounsfield, np.float32), 1.3), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    grain = generator.standard_normal((_SIZE, _SIZE)).astype(np.float32)
    seen = seen + 4.2 * (grain - 0.6 * blur(grain, 1.6))
    window = np.clip((seen + 25) / 130, 0, 1)
    bone = np.clip((seen - 150) / 1500, 0, 1)
    return np.asarray(np.where(seen < 105, 0.80 * window, 0.80 + 0.2 * bone))


def _resonance(head: _Slice, x: Array, y: Array, generator: np.random.Generator) -> Array:
    """MR: signal by tissue, the coil's uneven sensitivity, and noise of magnitude images (Rician)."""
    signal = head.mix(_T2)
    texture = 1 + 0.035 * clouds(generator, (_SIDE, _SIDE), 2.2)
    coil = 1.0 + 0.10 * (x / 80) ** 2 + 0.13 * (y / 90) ** 2 - 0.05 * x / 80
    seen = cv2.resize(
        blur(np.asarray(signal * texture * coil, np.float32), 0.95), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA
    )
    noise = generator.standard_normal((2, _SIZE, _SIZE)).astype(np.float32) * 0.018
    return np.asarray(np.clip(0.92 * np.hypot(seen + noise[0], noise[1]), 0, 1))
