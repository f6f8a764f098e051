"""Wooded hills at dusk with walkers and a cabin, in 16 bits: raw counts of a thermal camera beside a color camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rendering.camera import Camera, blur, detect, expose
from rendering.figures import person
from rendering.layers import Layers, levels
from rendering.noise import Array, Texture, clouds, floats, sample, step
from rendering.solids import Solid, block, both, look, outline, union

_CAMERA = Camera(height=480, width=640, focal=760, horizon=190, eye=(0, 2.6, 0))
_SUN = floats([-0.86, 0.16, 0.48])  # low, to the left, a little ahead
_STEPS = np.geomspace(5.0, 7000.0, 500, dtype=np.float32)  # meters at which the ground is looked up
_CELL = 11.0  # meters a point of the relief
_CABIN, _CABIN_TURN = (-7.5, 47.0), 2.6


class _Land:
    """Height and cover of the ground at any place."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._relief = clouds(generator, (1024, 1024), 3.7)
        self._rugged = clouds(generator, (1024, 1024), 2.6)
        self._woods = clouds(generator, (1024, 1024), 3.0)
        self._crowns = blur(generator.standard_normal((1024, 1024)).astype(np.float32), 1.3) * 3.5

    def height(self, x: Array, z: Array) -> Array:
        """Metres above the foot of the camera."""
        far = step(250, 2600, z)
        valley = -55 * step(25, 420, z) - 1.3 * step(4, 45, z)
        ranges = far * (95 + 150 * sample(self._relief, x / _CELL, z / _CELL)) + 330 * step(2200, 6500, z) * (
            0.75 + 0.5 * sample(self._rugged, x / 14.0, z / 14.0)
        )
        knolls = (0.5 + 7 * step(40, 500, z)) * sample(self._rugged, x / 2.3, z / 2.3)
        canopy = 9 * self.wooded(x, z) * (0.9 + 0.55 * sample(self._crowns, x / 1.4, z / 1.4))
        return np.asarray(valley + ranges + knolls + canopy)

    def wooded(self, x: Array, z: Array) -> Array:
        """From 0 (meadow) to 1 (wood)."""
        return step(
            -0.10, 0.12, sample(self._woods, x / 2.6, z / 2.6) + 0.25 * step(500, 1500, z) - 2.2 * step(330, 190, z)
        )


def render(seed: int = 0) -> tuple[Array, Array]:
    """Infrared (480, 640) and visible (480, 640, 3), both uint16."""
    generator = np.random.default_rng([seed, 4])
    texture, land = Texture(generator), _Land(generator)
    image = _sky(generator)
    _ground(image, land, texture)
    for solid, (x, z), turn in _things(texture):
        above = replace(_CAMERA, eye=(0, _CAMERA.eye[1] - float(land.height(floats([[x]]), floats([[z]]))[0, 0]), 0))
        seen = look(above, solid, (x, z), turn)
        light = _dusk(seen.normals, np.ones(len(seen.depth), np.float32)) * seen.reflectance
        glowing = (seen.reflectance[:, :1] > 0.9) * floats([1.0, 0.62, 0.25]) * 0.9
        image.place(seen, np.where(glowing > 0, glowing, light))
    visible = expose(image.light, generator, gain=1.15, read=0.0025, shot=0.0002)
    infrared = detect(image.heat, generator, softness=0.8, noise=0.005)
    return levels(0.12 + 0.72 * infrared, np.uint16), levels(visible, np.uint16)


def _sky(generator: np.random.Generator) -> Layers:
    height, width = _CAMERA.height, _CAMERA.width
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    up = np.clip((_CAMERA.horizon - rows) / _CAMERA.horizon, 0, 1)
    towards = np.exp(-(((columns + 60) / 420) ** 2))  # the sun has just gone down on the left
    low = np.exp(-up * 4.2)[..., None]
    light = (1 - low) * floats([0.16, 0.24, 0.42]) * (1.15 - 0.55 * up[..., None])
    light = light + low * (floats([0.46, 0.36, 0.34]) + towards[..., None] * floats([0.50, 0.24, 0.02]))
    cover = clouds(generator, (512, 1024), 3.0, 6.0)[:height, :width] + 0.9 * np.sin(9 * up + 1)
    bars = (step(0.5, 2.0, cover) * step(0.03, 0.2, up))[..., None]
    below = floats([0.58, 0.31, 0.27]) * (0.45 + 0.8 * towards[..., None]) + 0.05
    light = light * (1 - 0.75 * bars) + below * 0.75 * bars
    heat = 0.24 - 0.20 * np.sqrt(up) + 0.06 * bars[..., 0]
    return Layers(light.astype(np.float32), heat.astype(np.float32), np.full((height, width), 1e5, np.float32))


def _hits(land: _Land) -> Array:
    """Depth (h, w) in meters at which each pixel's ray meets the ground; infinite in the sky."""
    across = (np.arange(_CAMERA.width, dtype=np.float32) + 0.5 - _CAMERA.width / 2) / _CAMERA.focal
    heights = land.height(across * _STEPS[:, None], np.broadcast_to(_STEPS[:, None], (len(_STEPS), _CAMERA.width)))
    rows = _CAMERA.horizon - _CAMERA.focal * (heights - _CAMERA.eye[1]) / _STEPS[:, None]
    skyline = np.minimum.accumulate(rows, 0)
    depth = np.full((_CAMERA.height, _CAMERA.width), np.inf, np.float32)
    wanted = np.arange(_CAMERA.height, dtype=np.float32) + 0.5
    for column in range(_CAMERA.width):
        line = skyline[:, column]
        after = np.searchsorted(-line, -wanted)
        ground = after < len(_STEPS)
        k = np.maximum(after[ground], 1)
        share = np.clip((line[k - 1] - wanted[ground]) / np.maximum(line[k - 1] - line[k], 1e-3), 0, 1)
        depth[ground, column] = _STEPS[k - 1] + share * (_STEPS[k] - _STEPS[k - 1])
    return depth


def _ground(image: Layers, land: _Land, texture: Texture) -> None:
    depth = _hits(land)
    there = np.isfinite(depth)
    z = np.where(there, depth, 7000.0).astype(np.float32)
    x = _CAMERA.rays()[..., 0] * z
    reach = np.maximum(z / _CAMERA.focal * 2, 0.8).astype(np.float32)
    here = land.height(x, z)
    slope_x, slope_z = (land.height(x + reach, z) - here) / reach, (land.height(x, z + reach) - here) / reach
    normals = np.stack([-slope_x, np.ones_like(x), -slope_z], -1)
    normals /= np.sqrt((normals**2).sum(-1, keepdims=True))
    wood = land.wooded(x, z)
    upright = _CAMERA.eye[1] * np.log(z)
    blades = texture(x, 0.9 * upright, z / _CAMERA.focal, 0.18, 3)
    tufts = texture(x, 1.2 * upright, z / _CAMERA.focal, 1.0, 5)
    patches = texture(x, z, z * z / (_CAMERA.focal * 4), 22, 4)
    dry = step(-1.0, 1.5, patches + 0.5 * tufts)[..., None]
    meadow = ((1 - dry) * floats([0.11, 0.13, 0.05]) + dry * floats([0.26, 0.20, 0.10])) * (
        1 + 0.3 * blades + 0.28 * tufts
    ).clip(0.3, 2)[..., None]
    leaves = texture(x, here, z / _CAMERA.focal, 7, 4)
    trees = floats([0.045, 0.062, 0.030]) * (1 + 0.35 * leaves).clip(0.3, 2)[..., None]
    path = step(0.75, 0.45, np.abs(x - 1.9 - 3.2 * np.sin(z / 13) + 0.03 * z + 0.25 * tufts)) * step(70, 55, z)
    albedo = (1 - wood[..., None]) * meadow + wood[..., None] * trees
    albedo = (
        albedo * (1 - path[..., None]) + path[..., None] * floats([0.34, 0.28, 0.21]) * (1 + 0.12 * blades)[..., None]
    )
    light = albedo * _dusk(normals, 1 - 0.35 * wood)
    air = 1 - np.exp(-z / 5200)[..., None]
    air = air + 0.16 * (np.exp(-(((here + 50) / 22) ** 2)) * step(350, 900, z))[..., None] * (
        1 - air
    )  # mist in the valley
    glow = image.light[int(_CAMERA.horizon) - 60].mean(0) * 0.55 + image.light[int(_CAMERA.horizon) - 60] * 0.45
    light = light * (1 - air) + air * glow * 0.85
    sunny = np.clip(normals @ _SUN + 0.1, 0, 1)
    heat = 0.30 + 0.13 * wood + 0.16 * sunny + 0.05 * dry[..., 0] + 0.022 * tufts + 0.014 * blades + 0.13 * path
    heat = heat + 0.04 * wood * leaves + 0.03 * step(-60, 200, here)
    thick = 1 - np.exp(-z / 9000)
    heat = heat * (1 - thick) + 0.27 * thick
    image.put(there, light[there], heat[there], depth[there])


def _dusk(normals: Array, open_sky: Array) -> Array:
    """Light on matt surfaces after sunset: the blue of the whole sky and the red of its west."""
    sky = (0.55 + 0.45 * normals[..., 1]) * open_sky
    west = np.clip(normals @ _SUN + 0.15, 0, 1.2)
    return np.asarray(sky[..., None] * floats([0.20, 0.25, 0.36]) + west[..., None] * floats([0.62, 0.34, 0.18]))


def _things(texture: Texture) -> list[tuple[Solid, tuple[float, float], float]]:
    red, blue, dark = (0.20, 0.05, 0.04), (0.06, 0.09, 0.18), (0.05, 0.05, 0.05)
    walkers = [
        (person(texture, jacket=blue, trousers=dark, stride=0.22, seed=1), (1.7, 14.5), 0.2),
        (person(texture, jacket=dark, trousers=dark, stride=0.30, seed=4), (2.6, 15.6), 0.1),
        (person(texture, jacket=red, trousers=dark, stride=0.25, seed=7), (-3.0, 33.0), 2.9),
    ]
    return [(_cabin(texture), _CABIN, _CABIN_TURN), *walkers]


def _cabin(texture: Texture) -> Solid:
    """A heated hut of logs with a chimney and a lit window."""
    gable = ((-2.6, 2.3), (0.0, 4.1), (2.6, 2.3))

    def walls(p: Array) -> Array:
        logs = 0.03 * np.abs(np.sin(p[:, 1] * np.pi / 0.28))
        return (
            np.minimum(
                block(p, (0, 0.9, 0), (2.2, 1.6, 3.0), 0.02),
                both(outline(p[:, 0], p[:, 1], gable), np.abs(p[:, 2]) - 3.0, 0.01),
            )
            + logs
        )

    def roof(p: Array) -> Array:
        slab = np.abs(p[:, 1] - 4.15 + 0.72 * np.abs(p[:, 0])) * 0.81 - 0.07
        return np.maximum(slab, np.maximum(np.abs(p[:, 0]) - 2.85, np.abs(p[:, 2]) - 3.4))

    def chimney(p: Array) -> Array:
        return block(p, (1.1, 3.6, -1.2), (0.32, 1.3, 0.32), 0.02)

    parts = (walls, roof, chimney)

    def paint(p: Array, n: Array) -> tuple[Array, Array]:
        which = np.argmin([part(p) for part in parts], 0)
        grain = texture(p[:, 2] + p[:, 0], p[:, 1] * 3, 0.05, 0.8, 4)
        reflectance = (
            floats([(0.16, 0.10, 0.06), (0.12, 0.12, 0.13), (0.22, 0.18, 0.16)])[which]
            * (1 + 0.2 * grain).clip(0.4, 1.6)[:, None]
        )
        along, out = np.where(np.abs(n[:, 0]) > 0.6, p[:, 2] - 1.2, p[:, 0] - 0.9), which == 0
        window = out & (np.abs(along) < 0.5) & (np.abs(p[:, 1] - 1.45) < 0.42)
        cross = window & ((np.abs(along) < 0.05) | (np.abs(p[:, 1] - 1.45) < 0.05))
        door = out & (np.abs(n[:, 2]) > 0.6) & (np.abs(p[:, 0] + 0.9) < 0.45) & (p[:, 1] < 1.95)
        reflectance = np.where((window & ~cross)[:, None], 1.0, np.where(door[:, None], 0.07, reflectance))
        heat = floats([0.52, 0.36, 0.62])[which] + 0.015 * grain + 0.3 * (which == 2) * step(3.9, 4.9, p[:, 1])
        return reflectance, np.where(window, 0.70, np.where(door, 0.60, heat))

    return Solid(lambda p: union(*(part(p) for part in parts)) * 0.9, paint, (3.0, 3.6, 5.0))
