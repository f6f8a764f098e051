"""People and vehicles: what is warm in a thermal image."""

from __future__ import annotations

import numpy as np

from rendering.noise import Array, Texture, floats, step
from rendering.solids import Solid, block, both, length, limb, melt, outline, union, wheel

Rgb = tuple[float, float, float]

_PROFILE = (  # of a car: z and y in meters, the front at +z
    (-2.06, 0.28), (-2.14, 0.62), (-2.05, 0.97), (-1.62, 1.38), (-0.95, 1.47), (0.05, 1.43),
    (0.98, 0.98), (1.75, 0.84), (2.08, 0.68), (2.14, 0.40), (2.02, 0.24),
)  # fmt: skip
_AXLES = (-1.32, 1.34)


def person(texture: Texture, *, jacket: Rgb, trousers: Rgb, stride: float = 0.25, seed: float = 0.0) -> Solid:
    """Someone 1.75 m tall.

    Args:
        texture: gives folds to the clothes.
        jacket: reflectance.
        trousers: reflectance.
        stride: how far the feet are apart, in meters along z.
        seed: moves the folds.
    """
    s = stride

    def skin(p: Array) -> Array:
        head = length((p - floats([0, 1.61, 0.02])) / floats([0.85, 1.15, 1.0])) - 0.105
        hands = np.minimum(
            limb(p, (-0.25, 0.79, s * 0.62), (-0.25, 0.74, s * 0.7), 0.042),
            limb(p, (0.25, 0.79, -s * 0.5), (0.25, 0.73, -s * 0.5), 0.042),
        )
        return union(head * 0.9, limb(p, (0, 1.4, 0), (0, 1.55, 0.01), 0.058), hands)

    def top(p: Array) -> Array:
        chest = limb(p / floats([1.35, 1, 1]), (0, 0.97, 0), (0, 1.27, 0), 0.125, 0.135)
        arms = [
            melt(
                limb(p, (x, 1.36, 0), (x * 1.28, 1.1, z * 0.4), 0.056, 0.047),
                limb(p, (x * 1.28, 1.1, z * 0.4), (x * 1.34, 0.83, z), 0.046, 0.038),
            )
            for x, z in ((-0.185, s * 0.6), (0.185, -s * 0.5))
        ]
        mirrored = np.stack([np.abs(p[:, 0]), p[:, 1], p[:, 2]], -1)
        shoulders = limb(mirrored, (0.16, 1.37, 0), (0, 1.45, 0), 0.055, 0.06)
        return melt(chest, shoulders, *arms, radius=0.05)

    def legs(p: Array) -> Array:
        parts = []
        for x, z, knee in ((-0.09, -s, 0.08), (0.09, s, 0.1)):
            parts.append(limb(p, (x, 0.93, 0), (x * 1.05, 0.5, z * 0.45 + knee * s), 0.095, 0.066))
            parts.append(limb(p, (x * 1.05, 0.5, z * 0.45 + knee * s), (x * 1.1, 0.1, z), 0.064, 0.048))
        return melt(*parts, radius=0.06)

    def shoes(p: Array) -> Array:
        return np.minimum(
            limb(p, (-0.1, 0.05, -s), (-0.1, 0.05, -s + 0.17), 0.05),
            limb(p, (0.1, 0.05, s), (0.1, 0.05, s + 0.17), 0.05),
        )

    def hair(p: Array) -> Array:
        return length((p - floats([0, 1.655, -0.025])) / floats([0.9, 1.0, 1.05])) - 0.105

    parts = (skin, top, legs, shoes, hair)

    def distance(p: Array) -> Array:
        return union(*(part(p) for part in parts))

    def paint(p: Array, _normals: Array) -> tuple[Array, Array]:
        which = np.argmin([part(p) for part in parts], 0)
        colors = floats([(0.42, 0.27, 0.2), jacket, trousers, (0.03, 0.03, 0.03), (0.05, 0.035, 0.025)])
        heat = floats([0.97, 0.70, 0.66, 0.50, 0.78])[which]
        folds = texture(p[:, 0] + seed, p[:, 1] + p[:, 2], 0.01, 0.35, 4)
        cloth = (which == 1) | (which == 2)
        warm_chest = 0.10 * np.exp(-(((p[:, 1] - 1.28) / 0.18) ** 2))
        heat = heat + np.where(cloth, 0.045 * folds + warm_chest, 0.015 * folds)
        return colors[which] * (1 + 0.25 * cloth * folds)[:, None].clip(0.3, 1.8), heat

    return Solid(distance, paint, (0.42, 0.55, 1.82))


def car(*, color: Rgb, running: float) -> Solid:
    """A small car, 4.3 m long.

    Args:
        color: reflectance of the body.
        running: how warm the engine is, from 0 (parked since the morning) to 1.
    """

    def half_width(y: Array) -> Array:
        return 0.86 - 0.2 * step(0.9, 1.5, y) - 0.06 * step(0.5, 0.2, y)

    def body(p: Array) -> Array:
        nose = 0.16 * np.clip((np.abs(p[:, 2]) - 1.5) / 0.65, 0, 1) ** 2  # the corners are drawn in
        across = np.abs(p[:, 0]) - half_width(p[:, 1]) + nose
        shell = both(outline(p[:, 2], p[:, 1], _PROFILE), across, 0.09)
        arches = union(*(np.hypot(p[:, 2] - z, p[:, 1] - 0.32) for z in _AXLES)) - 0.37
        return np.asarray(np.maximum(shell, -np.maximum(arches, 0.55 - np.abs(p[:, 0]))) * 0.85)

    def wheels(p: Array) -> Array:
        mirrored = np.stack([np.abs(p[:, 0]), p[:, 1], p[:, 2]], -1)
        return union(*(wheel(mirrored, (0.72, 0.32, z), 0.32, 0.11) for z in _AXLES))

    def distance(p: Array) -> Array:
        return np.minimum(body(p), wheels(p))

    def paint(p: Array, n: Array) -> tuple[Array, Array]:
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        tyre = wheels(p) < body(p)
        hub = tyre & (union(*(np.hypot(z - at, y - 0.32) for at in _AXLES)) < 0.2)
        pillars = (np.abs(z + 0.42) < 0.04) | (np.abs(z - 0.8) < 0.05) | (z < -1.55)
        side_glass = (np.abs(n[:, 0]) > 0.6) & (y > 0.97) & (y < 1.34) & (z > -1.7) & (z < 0.75) & ~pillars
        screens = (np.abs(n[:, 2]) > 0.4) & (y > 1.0) & (y < 1.40) & (x < 0.60)
        glass = ~tyre & (side_glass | screens)
        grille = ~tyre & (n[:, 2] > 0.5) & (y < 0.62) & (x < 0.5) & (y > 0.34)
        lamps = ~tyre & (np.abs(n[:, 2]) > 0.3) & (y > 0.6) & (y < 0.78) & (x > 0.45) & (np.abs(z) > 1.7)
        seams = (
            ~tyre
            & ~glass
            & (np.abs(n[:, 0]) > 0.6)
            & (union(*(np.abs(z - at) for at in (-0.42, 0.72, -1.3))) < 0.012)
            & (y > 0.4)
        )
        reflectance = np.where(glass[:, None], 0.02, floats(color))
        reflectance = np.where((grille | seams)[:, None], 0.02, reflectance)
        reflectance = np.where(tyre[:, None], np.where(hub, 0.25, 0.025)[:, None], reflectance)
        reflectance = np.where(
            lamps[:, None],
            np.where((z > 0)[:, None], floats([0.6, 0.6, 0.6]), floats([0.4, 0.02, 0.02])),
            reflectance,
        )
        engine = running * step(0.3, 1.6, z) * (0.25 + 0.1 * (n[:, 1] > 0.6))
        heat = 0.40 - 0.13 * np.clip(n[:, 1], -0.3, 1) + engine + running * np.where(grille, 0.28, 0)  # sky above: cold
        heat = heat - 0.05 * (seams | lamps) + 0.03 * step(0.75, 0.5, y)
        heat = np.where(glass, 0.24 + 0.05 * running - 0.05 * np.clip(n[:, 1], 0, 1), heat)
        heat = np.where(tyre, np.where(hub, 0.40 + 0.35 * running, 0.38 + 0.2 * running), heat)
        heat = heat + 0.25 * running * step(0.35, 0.2, y) * ~tyre  # the underside
        return reflectance, heat

    return Solid(distance, paint, (1.0, 2.3, 1.6))


def lorry(texture: Texture) -> Solid:
    """A covered lorry with a hot engine and exhaust, 6 m long."""

    def cab(p: Array) -> Array:
        roof = block(p, (0, 1.75, 0.95), (1.05, 0.55, 0.62), 0.12)
        return melt(
            roof,
            block(p, (0, 1.15, 2.0), (0.92, 0.42, 0.75), 0.12),
            block(p, (0, 0.9, 1.5), (1.08, 0.3, 1.2), 0.06),
            radius=0.12,
        )

    def cover(p: Array) -> Array:
        ribs = 0.02 * np.cos(p[:, 2] * 2 * np.pi / 0.72)
        return (block(p, (0, 2.0, -1.4), (1.18, 0.85, 1.62), 0.32) + ribs) * 0.9

    def bed(p: Array) -> Array:
        return np.minimum(
            block(p, (0, 1.12, -1.4), (1.2, 0.16, 1.68), 0.02), block(p, (0, 0.78, -0.3), (0.5, 0.16, 2.8), 0.02)
        )

    def wheels(p: Array) -> Array:
        mirrored = np.stack([np.abs(p[:, 0]), p[:, 1], p[:, 2]], -1)
        return union(*(wheel(mirrored, (0.98, 0.5, z), 0.5, 0.17) for z in (-2.3, -1.15, 2.0)))

    def exhaust(p: Array) -> Array:
        return limb(p, (1.12, 0.9, 0.2), (1.12, 2.55, 0.2), 0.07)

    parts = (cab, cover, bed, wheels, exhaust)

    def distance(p: Array) -> Array:
        return union(*(part(p) for part in parts))

    def paint(p: Array, n: Array) -> tuple[Array, Array]:
        which = np.argmin([part(p) for part in parts], 0)
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        green, canvas = (0.10, 0.12, 0.06), (0.16, 0.155, 0.10)
        reflectance = floats([green, canvas, green, (0.03, 0.03, 0.03), (0.08, 0.06, 0.05)])[which]
        folds = texture(p[:, 2] * 0.6, p[:, 1] + p[:, 0], 0.02, 0.9, 4)
        reflectance = reflectance * (1 + 0.2 * folds[:, None] * (which == 1)[:, None]).clip(0.4, 1.6)
        side = (np.abs(n[:, 0]) > 0.6) & (z > 0.6) & (z < 1.35)
        front = (n[:, 2] > 0.5) & (x < 0.85)
        glass = (which == 0) & (y > 1.72) & (y < 2.12) & (side | front)
        grille = (which == 0) & (n[:, 2] > 0.5) & (y < 1.5) & (y > 0.9) & (x < 0.6)
        reflectance = np.where((glass | grille)[:, None], 0.03, reflectance)
        heat = floats([0.52, 0.50, 0.46, 0.58, 0.98])[which] + 0.02 * folds - 0.06 * np.clip(n[:, 1], -0.3, 1)
        bonnet = (which == 0) * np.clip(step(1.05, 1.6, z), 0, 1)
        heat = heat + bonnet * (0.26 + 0.12 * (n[:, 1] > 0.5)) + grille * 0.2
        heat = heat + (which == 2) * 0.25 * np.exp(-(((z - 0.6) / 1.1) ** 2)) * (y < 1.0)
        hub = (which == 3) & (union(*(np.hypot(z - at, y - 0.5) for at in (-2.3, -1.15, 2.0))) < 0.24)
        heat = np.where(hub, 0.8, heat)
        return reflectance, np.where(glass, 0.40, heat)

    return Solid(distance, paint, (1.3, 3.1, 3.0))
