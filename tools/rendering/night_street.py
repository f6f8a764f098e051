"""A street at night: headlights blind the visible camera, and people stand in the dark."""

from __future__ import annotations

import cv2
import numpy as np

from rendering.camera import Camera, detect, expose, glow
from rendering.figures import car, person
from rendering.layers import Layers, levels
from rendering.noise import Array, Texture, chance, clouds, floats, step
from rendering.solids import Seen, Solid, length, limb, look

_CAMERA = Camera(height=480, width=640, focal=600, horizon=218, eye=(1.4, 1.65, 0))
_WALL, _KERB = 7.2, 4.6  # meters from the middle of the street to the fronts, and to the kerbs
_ONES = np.ones(3, np.float32)
_FAR = 130.0
_HOUSE, _FLOOR, _BAY = 11.0, 3.3, 2.2  # meters: width of a house, height of a floor, distance of the windows
_SODIUM, _WHITE = (1.0, 0.62, 0.28), (1.0, 0.95, 0.85)
_LAMPS = ((-5.0, 6.2, 27.0), (5.0, 6.2, 44.0), (-5.0, 6.2, 62.0), (5.0, 6.2, 80.0), (-5.0, 6.2, 98.0))
_HEADLIGHTS = ((-2.75, 0.69, 17.9), (-1.45, 0.69, 17.9))


def render(seed: int = 0) -> tuple[Array, Array]:
    """Infrared (480, 640) and visible (480, 640, 3), both uint8."""
    generator = np.random.default_rng([seed, 1])
    texture = Texture(generator)
    rays = _CAMERA.rays()
    image = _background(rays, texture, generator)
    for lamp in _LAMPS:
        post = look(_CAMERA, _post(lamp), (lamp[0], lamp[2]))
        image.place(post, _shine(post))
    for seen, bright in _things(texture):
        image.place(seen, bright * _shine(seen))
    light = _wet(image, rays, texture)
    light = (
        light * np.exp(-image.depth / 160)[..., None]
        + floats([0.0030, 0.0026, 0.0024]) * (1 - np.exp(-image.depth / 90))[..., None]
    )
    visible = expose(_glare(light), generator, gain=2.4, read=0.006, shot=0.0009)
    infrared = detect(1.2 * image.heat - 0.1, generator, softness=0.9, noise=0.011)
    return levels(infrared, np.uint8), levels(visible, np.uint8)


def _background(rays: Array, texture: Texture, generator: np.random.Generator) -> Layers:
    """Sky, fronts and ground."""
    height, width = rays.shape[:2]
    up = np.clip((_CAMERA.horizon - np.arange(height)) / _CAMERA.horizon, 0, 1)[:, None] * np.ones((1, width))
    haze = clouds(generator, (512, 1024), 3.2, 3.0)[:height, :width]
    light = floats([0.0065, 0.0058, 0.0062]) * (1.3 - up + 0.15 * haze)[..., None]
    image = Layers(
        light.astype(np.float32),
        (0.17 - 0.09 * up + 0.006 * haze).astype(np.float32),
        np.full((height, width), _FAR, np.float32),
    )
    for side in (-1.0, 1.0):
        _front(image, rays, side, texture)
    _ground(image, rays, texture)
    return image


def _lit(points: Array, normals: Array, reflectance: Array) -> Array:
    """Light of the street lamps and the sky's faint glow, reflected by matt surfaces: (n, 3)."""
    total = floats([0.016, 0.0145, 0.015]) * (0.6 + 0.4 * normals[:, 1:2])
    for i, lamp in enumerate(_LAMPS):
        to = floats(lamp) - points
        square = (to * to) @ _ONES
        facing = np.clip((to * normals) @ _ONES, 0, None) / np.sqrt(square)
        down = np.clip(to[:, 1] / np.sqrt(square), 0, 1) ** 0.5  # the lamps are shielded above
        total = total + (11.0 * facing * down / (square + 1))[:, None] * floats(_SODIUM if i % 2 else _WHITE)
    return np.asarray(total + _beams(points, normals)) * reflectance


def _beams(points: Array, normals: Array) -> Array:
    """Headlights: a flat lobe towards the camera and to the kerb."""
    total = np.zeros((len(points), 1), np.float32)
    for lamp in _HEADLIGHTS:
        to = floats(lamp) - points
        square = (to * to) @ _ONES + 0.3
        ahead, across, drop = to[:, 2], to[:, 0] + 0.05 * to[:, 2], to[:, 1]
        lobe = np.exp(-((across / (0.22 * np.abs(ahead) + 0.2)) ** 2)) * np.exp(
            -(((drop - 0.045 * ahead) / (0.05 * np.abs(ahead) + 0.12)) ** 2)
        )
        facing = np.clip((to * normals) @ _ONES, 0, None) / np.sqrt(square)
        total += (55 * (ahead > 0) * lobe * (facing + 0.06) / square)[:, None]
    return total * floats([1.0, 0.97, 0.9])


def _front(image: Layers, rays: Array, side: float, texture: Texture) -> None:
    """One row of houses."""
    across = rays[..., 0] * side
    depth = np.where(across > 1e-3, (_WALL - side * _CAMERA.eye[0]) / np.maximum(across, 1e-3), np.inf)
    y = _CAMERA.eye[1] + rays[..., 1] * depth
    z = depth + 40 * (side > 0)  # the two sides are different houses
    house = np.floor(np.where(np.isfinite(z), z, 0) / _HOUSE)
    top = _FLOOR * (3 + np.floor(3 * chance(house, side + 2, 1)))
    there = (depth < _FAR) & (y > 0.0) & (y < top + 0.9)
    z, y, depth, house, top = z[there], y[there], depth[there], house[there], top[there]
    points = np.stack([np.full_like(y, side * _WALL), y, depth], -1)
    reflectance, glowing, heat, relief = _masonry(z, y, depth, house, top, side, texture)
    normals = np.stack([np.full_like(y, -side), relief, 0.4 * relief], -1)
    image.put(there, _lit(points, normals, reflectance) + glowing, heat, depth)


def _masonry(
    z: Array, y: Array, depth: Array, house: Array, top: Array, side: float, texture: Texture
) -> tuple[Array, Array, Array, Array]:
    """Reflectance, own light, heat and relief of house fronts at z, y meters."""
    pixel = depth * depth / (_CAMERA.focal * 5)  # meters that a pixel covers along the street
    bay, floor = np.floor(z / _BAY), np.floor((y - 0.4) / _FLOOR)
    u, v = z - _BAY * (bay + 0.5), y - 0.4 - _FLOOR * (floor + 0.5)
    ground_floor, roof = floor < 1, y > top
    w, h = np.where(ground_floor, 0.85, 0.52), np.where(ground_floor, 1.25, 0.88)
    near_u, near_v = np.abs(u) - w, np.abs(v + 0.1 * ground_floor) - h
    edge = np.maximum(near_u, near_v)
    soft = 0.04 + pixel * 0.5
    window = step(soft, -soft, edge) * ~roof
    frame = step(0.16 + soft, 0.12, edge) * (1 - window) * ~roof
    cornice = (step(0.2, 0.12, np.abs(y - 0.4 - _FLOOR * np.round((y - 0.4) / _FLOOR))) * (y > 1)).astype(np.float32)
    bricks = np.where((np.abs(y * 14 % 1 - 0.5) > 0.42) & (depth < 24), -0.12, 0.0)
    stain = texture(z, y, pixel + depth / _CAMERA.focal, 3.0, 6)
    tint = chance(house, side + 2, 2)[:, None]
    base = floats([0.33, 0.29, 0.24]) * (1 - tint) + floats([0.36, 0.19, 0.14]) * tint
    reflectance = base * (1 + 0.22 * stain + bricks + 0.3 * cornice - 0.25 * roof).clip(0.2, 1.8)[:, None]
    reflectance = reflectance * (1 - window)[:, None] + 0.02 * window[:, None] + 0.25 * frame[:, None]
    lit = chance(bay, floor, side + 2, 3) < np.where(ground_floor, 0.22, 0.27)
    lit &= ~(ground_floor & (depth < 30))
    glowing = _room(u, v, w, h, chance(bay, floor, side + 2, 4), window * lit)
    mullion = 1 - 0.85 * step(0.05 + 0.3 * pixel, 0.02, np.abs(u)) * ~ground_floor
    pane = 0.24 + 0.07 * chance(bay, floor, 5) + 0.05 * lit + 0.05 * step(-0.3, 0.9, v / h)
    wall = 0.37 + 0.035 * stain + 0.05 * (tint[:, 0] - 0.5) + 0.05 * cornice + 0.02 * np.exp(-y) - 0.10 * roof
    heat = wall * (1 - window) + pane * window + 0.055 * frame * (1 + lit)
    return reflectance, glowing * mullion[:, None], heat, (0.5 * cornice + 0.1 * stain + 0.3 * frame).astype(np.float32)


def _room(u: Array, v: Array, w: Array, h: Array, luck: Array, shown: Array) -> Array:
    """What a lit window shows: curtains, a lamp's fall-off, now and then the blue of a screen."""
    curtain = step(0.45, 0.6, np.abs(u) / w + 0.25 * (luck - 0.5)) * (luck < 0.7)
    folds = 0.75 + 0.25 * np.cos(u * 42)
    lamp = np.exp(-(((u / w - 0.8 * (luck - 0.5)) / 0.9) ** 2) - ((v / h - 0.35) / 0.9) ** 2)
    amount = 0.22 * (0.35 + luck) * (0.35 + lamp) * (1 - 0.55 * curtain * folds)
    warm, cold = floats([1.0, 0.68, 0.33]), floats([0.45, 0.65, 1.0])
    color = np.where((luck > 0.86)[:, None], cold * 0.6, warm)
    return np.asarray((amount * shown)[:, None] * color)


def _ground(image: Layers, rays: Array, texture: Texture) -> None:
    """Road, kerbs and pavements."""
    below = rays[..., 1] < -1e-4
    depth = np.where(below, _CAMERA.eye[1] / np.maximum(-rays[..., 1], 1e-4), np.inf)
    there = below & (depth < image.depth)
    depth, x = depth[there], (_CAMERA.eye[0] + rays[..., 0] * depth)[there]
    z = depth
    pixel = depth * depth / (_CAMERA.focal * _CAMERA.eye[1])
    grain, patches = texture(x, z, pixel * 0.4, 0.5, 5), texture(x, z * 0.4, pixel * 0.3, 5.0, 5)
    pavement = step(_KERB - 0.02, _KERB + 0.02, np.abs(x))
    kerb = step(0.16, 0.10, np.abs(np.abs(x) - _KERB))
    slabs = pavement * ((np.abs(x * 1.6 % 1 - 0.5) > 0.47) | (np.abs(z * 1.2 % 1 - 0.5) > 0.47)) * (depth < 22)
    dashes = step(0.09, 0.05, np.abs(x)) * (np.abs(z % 6 - 3) < 1.4) + step(0.07, 0.04, np.abs(np.abs(x) - 4.25)) * 0.7
    dashes = dashes * (0.75 + 0.25 * np.clip(patches + 0.5, -1, 1))
    tracks = np.exp(-(((np.abs(np.abs(x) - 2.1) - 0.72) / 0.22) ** 2)) * (1 - pavement)
    albedo = 0.075 + 0.055 * pavement + 0.10 * kerb - 0.04 * slabs + 0.34 * dashes * (1 - pavement)
    albedo = albedo * (1 + 0.16 * grain + 0.16 * patches - 0.12 * tracks).clip(0.3, 2)
    points = np.stack([x, np.zeros_like(x), z], -1)
    tilt = np.stack([0.05 * grain, np.ones_like(x), 0.08 * grain], -1)
    light = _lit(points, tilt, albedo[:, None] * floats([1.0, 0.98, 0.95]))
    cover = step(0.42, 0.36, np.hypot(x - 2.3, z - 9.5))  # of a manhole, above a warm drain
    heat = (
        0.40
        - 0.045 * pavement
        - 0.03 * kerb
        + 0.035 * tracks
        + 0.018 * patches
        + 0.01 * grain
        - 0.02 * dashes
        + 0.16 * cover
    )
    under = np.exp(-(((x + 2.1) / 0.9) ** 2)) * (
        np.exp(-(((z - 19.5) / 1.8) ** 2)) + 0.35 * np.exp(-(np.clip(z - 20, 0, None) / 12)) * (z > 20)
    )
    image.put(there, light, heat + 0.13 * under, depth)


def _things(texture: Texture) -> list[tuple[Seen, float]]:
    """Cars and people from far to near, with a factor on the light that falls on them."""
    dark, blue, brown = (0.035, 0.035, 0.04), (0.04, 0.05, 0.09), (0.09, 0.06, 0.04)

    def walker(jacket: tuple[float, float, float], stride: float, seed: float) -> Solid:
        return person(texture, jacket=jacket, trousers=dark, stride=stride, seed=seed)

    placed: list[tuple[Solid, float, float, float, float]] = [
        (car(color=(0.3, 0.3, 0.32), running=0.6), 2.1, 46, 0.0, 1.0),
        (walker(brown, 0.2, 3), -5.6, 34, 2.6, 0.8),
        (walker(blue, 0.25, 9), 5.7, 29, 0.1, 0.8),
        (car(color=(0.25, 0.05, 0.05), running=1.0), -2.1, 20, np.pi, 0.5),
        (walker(dark, 0.28, 1), 5.55, 17.5, 3.4, 0.5),
        (walker(brown, 0.2, 5), 6.2, 17.9, 3.2, 0.5),
        (walker(dark, 0.36, 2), 0.35, 13.2, 1.35, 0.12),
        (car(color=(0.10, 0.11, 0.13), running=0.0), 3.75, 10.2, 0.0, 0.8),
        (walker(blue, 0.16, 7), -5.2, 14.4, 0.5, 0.6),
    ]
    return [(look(_CAMERA, solid, (x, z), turn), bright) for solid, x, z, turn, bright in placed]


def _post(lamp: tuple[float, float, float]) -> Solid:
    """A lamp post with an arm over the road; its place is under the lamp."""
    out = 0.6 * np.sign(lamp[0])

    def distance(p: Array) -> Array:
        upright = limb(p, (out, 0, 0), (out, lamp[1], 0), 0.09, 0.05)
        return np.minimum(upright, limb(p, (out, lamp[1], 0), (0, lamp[1] + 0.15, 0), 0.05))

    def paint(p: Array, normals: Array) -> tuple[Array, Array]:
        head = np.exp(-((length(p - floats([0, lamp[1], 0])) / 0.25) ** 2))
        return np.full((len(p), 3), 0.12, np.float32), 0.33 - 0.03 * normals[:, 1] + 0.5 * head

    return Solid(distance, paint, (0.8, 0.2, lamp[1] + 0.3))


def _shine(seen: Seen) -> Array:
    """The light that leaves a solid: matt, with a sheen of the lamps and the sky on what is seen at a low angle."""
    view = seen.points - floats(_CAMERA.eye)
    view /= length(view)[:, None]
    facing = (view * seen.normals) @ _ONES
    up = np.clip(view[:, 1] - 2 * facing * seen.normals[:, 1], 0, 1)  # of the mirrored ray
    glimmer = (0.012 * up + 0.02 * np.exp(-(((up - 0.25) / 0.1) ** 2))) * (0.06 + 0.54 * (1 + facing) ** 3)
    return np.asarray(_lit(seen.points, seen.normals, seen.reflectance) + glimmer[:, None] * floats(_SODIUM))


def _wet(image: Layers, rays: Array, texture: Texture) -> Array:
    """The road after rain: every light above it is drawn out towards the camera."""
    columns, rows = _CAMERA.project(floats(_HEADLIGHTS + _LAMPS))
    y, x = np.mgrid[: _CAMERA.height, : _CAMERA.width].astype(np.float32)
    ground = (rays[..., 1] < 0) & (np.abs(image.depth + _CAMERA.eye[1] / np.minimum(rays[..., 1], -1e-4)) < 0.02)
    depth = np.where(ground, image.depth, 1.0)
    across = _CAMERA.eye[0] + rays[..., 0] * depth
    ripple = texture(across, depth, depth**2 / 900, 0.9, 4)
    horizon = int(_CAMERA.horizon)
    mirrored = np.zeros_like(image.light)
    mirrored[horizon : 2 * horizon] = cv2.flip(image.light[:horizon], 0)
    mirrored = cv2.GaussianBlur(mirrored, (0, 0), sigmaX=1.5, sigmaY=14)
    for i, (column, row, lamp) in enumerate(zip(columns, rows, _HEADLIGHTS + _LAMPS, strict=True)):
        mirror_row = 2 * (_CAMERA.horizon + _CAMERA.focal * _CAMERA.eye[1] / lamp[2]) - row
        spread = 2.0 + 0.03 * (y - _CAMERA.horizon)
        streak = np.exp(-(((x - column + 1.5 * ripple) / spread) ** 2)) * np.exp(
            -(((y - mirror_row) / (60 if i < 2 else 40)) ** 2)
        )
        mirrored += (
            (1.6 if i < 2 else 0.35 * 30 / lamp[2])
            * streak[..., None]
            * floats(_WHITE if i < 2 or i % 2 == 0 else _SODIUM)
        )
    gloss = 0.22 * np.clip(0.55 + 0.35 * ripple, 0.1, 1.2) * (np.abs(across) < _KERB) * ground
    return np.asarray(image.light + gloss[..., None] * mirrored)


def _glare(light: Array) -> Array:
    """The lamps themselves, and what the lens makes of them."""
    columns, rows = _CAMERA.project(floats(_HEADLIGHTS + _LAMPS))
    y, x = np.mgrid[: _CAMERA.height, : _CAMERA.width].astype(np.float32)
    light = light.copy()
    for i, (column, row) in enumerate(zip(columns, rows, strict=True)):
        headlight = i < 2
        radius = 4.2 if headlight else 45 / _LAMPS[i - 2][2]
        square = ((x - column) / (1.0 if headlight else 2.0)) ** 2 + (y - row) ** 2
        color = floats(_WHITE if headlight or i % 2 == 0 else _SODIUM)
        light += (60.0 if headlight else 7.0) * np.exp(-square / radius**2)[..., None] * color
        if headlight:
            angle = np.arctan2(y - row, x - column)
            rays = 0.35 + 0.65 * np.abs(np.cos(3 * angle + 0.4)) ** 24 + 0.3 * np.abs(np.cos(11 * angle + i)) ** 8
            light += (9.0 * rays / (square / 16 + 2) ** 1.05)[..., None] * color
    return glow(light, 0.03, 90)
