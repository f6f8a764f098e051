"""A lorry with a hot engine behind a smoke screen, at the edge of a wood."""

from __future__ import annotations

import cv2
import numpy as np

from rendering.camera import Camera, blur, detect, expose
from rendering.figures import lorry, person
from rendering.layers import Layers, levels
from rendering.noise import Array, Texture, clouds, floats, step
from rendering.solids import Seen, look

_CAMERA = Camera(height=480, width=640, focal=780, horizon=175, eye=(0, 2.4, 0))
_SUN = floats([-0.55, 0.62, -0.56])  # where the light comes from
_WOOD = 62.0  # meters to the wood's edge
_SKY = floats([0.78, 0.86, 0.96])


def render(seed: int = 0) -> tuple[Array, Array]:
    """Infrared (480, 640) and visible (480, 640, 3), both uint8."""
    generator = np.random.default_rng([seed, 2])
    texture = Texture(generator)
    image = _sky(generator)
    _hills(image, generator)
    _field(image, texture)
    _wood(image, generator)
    for seen in _things(texture):
        image.place(seen, _daylight(seen))
    _bushes(image, generator)
    _haze(image)
    light, heat = _screen(image, generator)
    visible = expose(light, generator, gain=0.95, read=0.004, shot=0.00025)
    infrared = detect(heat, generator, softness=0.9, noise=0.009)
    return levels(infrared, np.uint8), levels(visible, np.uint8)


def _sky(generator: np.random.Generator) -> Layers:
    height, width = _CAMERA.height, _CAMERA.width
    up = np.clip((_CAMERA.horizon - np.arange(height)) / _CAMERA.horizon, 0, 1)[:, None].astype(np.float32)
    cover = clouds(generator, (512, 1024), 3.0, 3.5)[:height, :width]
    white = step(-0.9, 1.2, cover)[..., None]
    light = (1 - white) * (_SKY * (0.95 - 0.35 * up[..., None])) + white * floats([0.93, 0.93, 0.92]) * (
        0.93 + 0.03 * cover[..., None]
    )
    heat = 0.20 - 0.13 * up + 0.035 * step(-0.5, 1.5, cover)
    return Layers(light.astype(np.float32), heat.astype(np.float32), np.full((height, width), 2000, np.float32))


def _hills(image: Layers, generator: np.random.Generator) -> None:
    """Two wooded ridges far away."""
    y = np.arange(_CAMERA.height, dtype=np.float32)[:, None]
    rough = clouds(generator, (512, 1024), 2.0)[: _CAMERA.height, : _CAMERA.width]
    for depth, lift, color, heat in (
        (1200.0, 36.0, (0.07, 0.095, 0.06), 0.30),
        (500.0, 17.0, (0.055, 0.08, 0.04), 0.33),
    ):
        line = (
            clouds(generator, (1, 1024), 3.2)[0, : _CAMERA.width] * 7
            + clouds(generator, (1, 1024), 1.6)[0, : _CAMERA.width] * 1.3
        )
        there = (y > _CAMERA.horizon - lift - line) & (y < _CAMERA.horizon + 9)
        image.put(
            there,
            (1 + 0.3 * rough[there])[:, None] * floats(color),
            heat + 0.012 * rough[there],
            floats(depth),
        )


def _field(image: Layers, texture: Texture) -> None:
    """Dry grass with a sandy track to the lorry."""
    rays = _CAMERA.rays()
    there = rays[..., 1] < -_CAMERA.eye[1] / 300
    depth = -_CAMERA.eye[1] / rays[there][:, 1]
    x = rays[there][:, 0] * depth
    pixel = depth * depth / (_CAMERA.focal * _CAMERA.eye[1])
    patches = texture(x, depth, pixel, 14, 5)
    upright = _CAMERA.eye[1] * np.log(depth)  # equal steps of it are equal steps in the image: grass stands up
    blades = texture(x, 0.8 * upright, depth / _CAMERA.focal, 0.16, 3)
    tufts = 0.6 * texture(x + 30, 1.1 * upright, depth / _CAMERA.focal, 0.7, 5) + 0.6 * texture(
        x, depth, pixel * 0.4, 2.5, 4
    )
    center = 1.0 + 0.035 * (depth - 25) + 1.2 * np.sin(depth / 17)
    rut = np.abs(np.abs(x - center + 0.12 * tufts) - 0.95)
    sand = np.clip(
        step(0.48, 0.22, rut + 0.1 * blades) + 0.35 * step(1.7, 0.9, np.abs(x - center)) * step(-0.2, 0.9, tufts), 0, 1
    )
    dry = step(-1.2, 1.4, patches + 0.35 * tufts)[:, None]
    grass = (1 - dry) * floats([0.085, 0.125, 0.038]) + dry * floats([0.22, 0.19, 0.085])
    grass = grass * (1 + 0.36 * blades + 0.26 * tufts).clip(0.25, 2.0)[:, None]
    earth = (
        floats([0.33, 0.265, 0.185])
        * (1 + 0.10 * texture(x, depth, pixel * 0.4, 0.4, 4) - 0.12 * step(0.35, 0.1, rut)).clip(0.4, 1.5)[:, None]
    )
    mix = sand[:, None]
    shade = 1 - 0.72 * _shadow(x, depth)
    wood = 1 - 0.5 * step(_WOOD - 11, _WOOD - 1, depth)
    light = ((1 - mix) * grass + mix * earth) * (shade * wood)[:, None] * 1.25
    heat = (
        0.40
        + 0.035 * dry[:, 0]
        + 0.022 * blades
        + 0.028 * tufts
        + 0.10 * sand
        - 0.10 * _shadow(x, depth)
        - 0.05 * (1 - wood)
    )
    image.put(there, light, heat, depth)


def _shadow(x: Array, z: Array) -> Array:
    """How much the lorry takes of the light on the ground: (n,) in [0, 1]."""
    c, s = np.cos(_TURN), np.sin(_TURN)
    u, v = (x - _LORRY[0] - 0.7) * c - (z - _LORRY[1] - 0.6) * s, (x - _LORRY[0] - 0.7) * s + (z - _LORRY[1] - 0.6) * c
    edge = np.maximum(np.abs(u) - 1.5, np.abs(v) - 2.9)
    return step(0.7, -0.7, edge)


_LORRY, _TURN = (1.4, 25.5), 2.35  # place and heading


def _things(texture: Texture) -> list[Seen]:
    olive, dark = (0.09, 0.10, 0.05), (0.06, 0.065, 0.045)
    placed = [
        (lorry(texture), _LORRY, _TURN),
        (person(texture, jacket=olive, trousers=dark, stride=0.3, seed=2), (-2.9, 23.2), 1.4),
        (person(texture, jacket=olive, trousers=dark, stride=0.12, seed=5), (5.6, 27.5), 2.6),
    ]
    return [look(_CAMERA, solid, place, turn) for solid, place, turn in placed]


def _daylight(seen: Seen) -> Array:
    """Matt surfaces under a veiled sun."""
    sun = np.clip(seen.normals @ _SUN, 0, 1)
    sky = 0.5 + 0.5 * seen.normals[:, 1]
    contact = 0.45 + 0.55 * step(0.0, 1.3, seen.points[:, 1])
    light = (0.62 * sky * contact)[:, None] * _SKY + (0.85 * sun)[:, None] * floats([1, 0.95, 0.86])
    sheen = 0.05 * sky * (seen.reflectance.mean(1) < 0.035)
    return np.asarray(seen.reflectance * light + sheen[:, None] * _SKY)


def _wood(image: Layers, generator: np.random.Generator) -> None:
    """Trees from the back of the wood to its edge."""
    for row, depth in enumerate((104.0, 90.0, 78.0, 69.0, _WOOD)):
        count = 9 + row
        for x in (np.linspace(-0.5, 0.5, count) + generator.uniform(-0.05, 0.05, count)) * depth:
            if row > 2 and abs(x / depth - 0.10) < 0.07:  # a gap, behind the lorry
                continue
            tall = generator.uniform(7.5, 12.5)
            _tree(
                image,
                generator,
                (float(x), depth + generator.uniform(-2, 2)),
                tall,
                tall * generator.uniform(0.32, 0.46),
            )


def _bushes(image: Layers, generator: np.random.Generator) -> None:
    for x, z, tall in (
        (-9.0, 30, 1.9),
        (-7.9, 27, 1.3),
        (10.6, 33, 2.3),
        (8.9, 29, 1.2),
        (-5.6, 17.5, 0.75),
        (4.6, 14.2, 0.6),
    ):
        _tree(image, generator, (x, z), tall, tall * 0.95, trunk=False)


def _tree(
    image: Layers,
    generator: np.random.Generator,
    place: tuple[float, float],
    tall: float,
    wide: float,
    trunk: bool = True,
) -> None:
    """One tree: heaps of leaves around a trunk, lit from the sun's side."""
    x, z = place
    scale = _CAMERA.focal / z
    foot = _CAMERA.horizon + scale * _CAMERA.eye[1]
    size = int(scale * max(1.25 * tall, 2.9 * wide)) + 4
    left, top = int(_CAMERA.width / 2 + scale * x - size / 2), int(foot - size) + 1
    rows, columns = (
        slice(max(top, 0), min(top + size, _CAMERA.height)),
        slice(max(left, 0), min(left + size, _CAMERA.width)),
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    v, u = np.mgrid[rows, columns].astype(np.float32)
    u, v = (u - left - size / 2) / scale, (foot - v) / scale  # meters beside and above the foot
    leaves, heap = _crown(generator, u, v, tall, wide, size, (rows.start - top, columns.start - left), trunk)
    stem = trunk & (np.abs(u + 0.1 * np.sin(v)) < 0.025 * tall * (1.15 - v / tall)) & (v > -0.05) & (v < tall * 0.6)
    sunny = np.clip(0.55 - 0.35 * u / wide + 0.30 * (v / tall - 0.5) + 0.34 * heap, 0.10, 1.5)
    tint = floats([0.062, 0.092, 0.028]) * generator.uniform(0.75, 1.25) + floats([0.03, 0.012, 0]) * generator.uniform(
        0, 1
    )
    light = np.where(leaves[..., None], sunny[..., None] * tint * 1.5, floats([0.05, 0.04, 0.03]))
    heat = np.where(leaves, 0.345 + 0.05 * sunny + 0.02 * heap, 0.40)
    there = (leaves | stem) & (image.depth[rows, columns] > z)
    for layer, values in ((image.light, light), (image.heat, heat), (image.depth, np.full_like(heat, z))):
        layer[rows, columns][there] = values[there]


def _crown(
    generator: np.random.Generator,
    u: Array,
    v: Array,
    tall: float,
    wide: float,
    size: int,
    offset: tuple[int, int],
    trunk: bool,
) -> tuple[Array, Array]:
    """Where there are leaves, and how far their heaps bulge out."""
    side = 1 << max(5, (size - 1).bit_length())
    part = slice(offset[0], offset[0] + u.shape[0]), slice(offset[1], offset[1] + u.shape[1])
    rough, lobes = clouds(generator, (side, side), 2.1)[part], clouds(generator, (side, side), 3.8)[part]
    middle, half = (0.60, 0.44) if trunk else (0.35, 0.62)
    radius = np.hypot(u / wide * (1 + 0.35 * (v / tall - 0.5)), (v / tall - middle) / half)
    leaves = (radius + 0.13 * rough + 0.17 * lobes < 0.93) & (v > 0)
    return leaves, 0.75 * rough - 0.45 * lobes


def _haze(image: Layers) -> None:
    clear = np.exp(-image.depth / 900)[..., None]
    far = (image.depth < 1900)[..., None]
    image.light[...] = np.where(far, image.light * clear + _SKY * 0.72 * (1 - clear), image.light)


def _screen(image: Layers, generator: np.random.Generator) -> tuple[Array, Array]:
    """The smoke: dense to visible light, thin to long waves, and hot where it comes from."""
    height, width = image.heat.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    dense = _plume(generator, x, y)
    down, right = np.gradient(blur(dense, 5))
    relief = np.clip(0.60 + 0.30 * np.tanh(9 * down + 13 * right) - 0.10 * np.tanh(blur(dense, 14) - 1.5), 0.2, 1.0)
    white = relief[..., None] * floats([0.74, 0.735, 0.73])
    cover = (1 - np.exp(-2.6 * dense))[..., None]
    light = image.light * (1 - cover) + white * cover
    thin = 1 - np.exp(-0.10 * dense)
    pots = sum(np.exp(-(((x - column) / 3.2) ** 2) - ((y - row) / 2.6) ** 2) for column, row in _POTS)
    near = sum(np.exp(-(((x - column - 10) / 26) ** 2) - ((y - row + 12) / 16) ** 2) for column, row in _POTS)
    heat = image.heat * (1 - thin) + 0.43 * thin + 0.07 * near * np.clip(dense, 0, 1.5)
    flame = np.clip(np.asarray(pots), 0, 1)[..., None]
    light = light * (1 - 0.9 * flame) + flame * floats([1.0, 0.62, 0.22])
    return np.asarray(light), np.asarray(heat * (1 - flame[..., 0]) + flame[..., 0])


_POTS = ((262.0, 266.0), (352.0, 272.0), (446.0, 262.0))  # column and row of what makes the smoke


def _plume(generator: np.random.Generator, x: Array, y: Array) -> Array:
    """Density of the smoke along each ray: billows that rise from the pots and drift to the right."""
    coarse, other = (clouds(generator, (512, 1024), 3.4)[: x.shape[0], : x.shape[1]] for _ in range(2))
    fine = clouds(generator, (512, 1024), 2.6)[: x.shape[0], : x.shape[1]]
    billows = cv2.remap(fine, x + 16 * coarse, y + 16 * other, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    total = np.zeros_like(x)
    for column, row in _POTS:
        rise = np.clip(row - y, 0, None)
        middle = column + 0.25 * rise + 0.0022 * rise**2 + 10 * coarse
        wide = 16 + 0.50 * rise + 9 * other
        column_of = np.exp(-(((x - middle) / np.maximum(wide, 6)) ** 2))
        total += column_of * step(row + 9, row - 4, y + 3 * coarse) * np.exp(-rise / 110) * 2.2
    ragged = np.clip(1.0 + 0.6 * billows + 0.2 * coarse, 0.4, None)
    return np.asarray(total * ragged)
