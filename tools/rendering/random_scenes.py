"""Random scenes seen by two cameras: infrared and visible pairs whose truth is known, in any number.

A scene is a stack of layers from the sky to what stands nearest (the dead leaves model with a ground plane): each has
a shape, an albedo and a temperature with textures of their own, so the two images have outlines in common, little else.
Light, weather and the two sensors come last. Training on such pairs needs nobody's license.

Source of the idea: Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 41, 2001; Baradad et al.,
"Learning to see by looking at noise", NeurIPS 2021.

Usage: python tools/rendering/random_scenes.py FOLDER [--count N] [--first SEED]
writes FOLDER/ir/NNNN.png and FOLDER/vi/NNNN.png.
240 pairs take three minutes on one processor core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

HEIGHT, WIDTH = 384, 512
Plane = np.ndarray  # (h, w), float32


@dataclass
class Scene:
    """What is seen so far, far to near: linear albedo, temperature without a scale, distance and own light."""

    rng: Generator
    horizon: int
    albedo: np.ndarray = field(init=False)
    heat: Plane = field(init=False)
    depth: Plane = field(init=False)
    light: np.ndarray = field(init=False)
    shade: Plane = field(init=False)

    def __post_init__(self) -> None:
        self.albedo = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        self.heat = np.zeros((HEIGHT, WIDTH), np.float32)
        self.depth = np.full((HEIGHT, WIDTH), 1e3, np.float32)
        self.light = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        self.shade = np.ones((HEIGHT, WIDTH), np.float32)

    def cover(self, mask: Plane, albedo: np.ndarray, heat: Plane | float, depth: float, soft: float = 0.7) -> None:
        """Cover what lies behind a mask in [0, 1]; outlines are antialiased in the same way in both images."""
        seen = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft)
        self.albedo += seen[..., None] * (albedo - self.albedo)
        self.heat += seen * (heat - self.heat)
        self.light *= 1 - seen[..., None]
        self.shade += seen * (1 - self.shade)
        self.depth = np.where(seen > 0.5, np.float32(depth), self.depth)

    def at_depth(self, depth: float) -> int:
        """The row in which something at this distance (in 1 to 100) touches the ground."""
        return int(self.horizon + (HEIGHT - self.horizon) / max(depth, 1.0))


def texture(rng: Generator, octaves: int, first: float, gain: float = 0.6) -> Plane:
    """Smooth noise of several octaves, mean 0, deviation 1; `first` is the coarsest grain in pixels."""
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(octaves):
        grain = max(1.0, first / 2**octave)
        size = (int(WIDTH / grain) + 3, int(HEIGHT / grain * rng.uniform(0.7, 1.5)) + 3)
        coarse = rng.standard_normal(size[::-1]).astype(np.float32)
        total += gain**octave * cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    found: Plane = (total - total.mean()) / (total.std() + 1e-6)
    return found


def color(rng: Generator, low: float = 0.05, high: float = 0.8, saturation: float = 0.35) -> np.ndarray:
    """An albedo, mostly near gray."""
    gray = rng.uniform(low, high)
    return np.clip(gray * (1 + saturation * rng.standard_normal(3) * rng.random()), 0.02, 0.95).astype(np.float32)


def surface(rng: Generator, base: np.ndarray, contrast: float, grain: float) -> np.ndarray:
    """An albedo with texture."""
    grown: np.ndarray = base * np.exp(contrast * texture(rng, int(rng.integers(2, 6)), grain))[..., None]
    bounded: np.ndarray = np.clip(grown, 0.01, 1).astype(np.float32)
    return bounded


def polygon(points: np.ndarray) -> Plane:
    """The inside of a polygon with vertices (n, 2), x and y."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillPoly(mask, [np.round(points * 8).astype(np.int32)], 1.0, cv2.LINE_8, 3)
    return mask


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0) -> Plane:
    """The inside of an ellipse with these half axes, turned by an angle in radians."""
    turn = np.linspace(0, 2 * np.pi, 40)
    dx, dy = rx * np.cos(turn), ry * np.sin(turn)
    c, s = np.cos(angle), np.sin(angle)
    return polygon(np.stack([x + c * dx - s * dy, y + s * dx + c * dy], -1))


def limb(a: tuple[float, float], b: tuple[float, float], thick: float) -> Plane:
    """A thick line with round ends."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    points = (tuple(round(v * 8) for v in p) for p in (a, b))
    cv2.line(mask, *points, 1.0, max(1, round(thick)), cv2.LINE_8, 3)  # type: ignore[call-overload]
    return mask


def sky(scene: Scene) -> None:
    """Air, clouds, and what both are to the thermal camera: cold."""
    rng = scene.rng
    rows = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None]
    clouds = 1 / (1 + np.exp(-rng.uniform(1, 4) * (texture(rng, 5, rng.uniform(60, 260)) - rng.uniform(-1, 1.5))))
    blue = np.array([0.35, 0.5, 0.8], np.float32) * rng.uniform(0.6, 1.1)
    air = blue * (0.7 + 0.5 * rows[..., None]) * np.ones((1, WIDTH, 1), np.float32)
    white = np.float32(rng.uniform(0.6, 1.0))
    full = np.ones((HEIGHT, WIDTH), np.float32)
    warmth = rng.uniform(0.1, 0.5) * rows + rng.uniform(0, 0.5) * clouds
    scene.cover(full, air + clouds[..., None] * (white - air), warmth - rng.uniform(0.3, 1.5), 900)


def ground(scene: Scene) -> None:
    """A plane below the horizon whose two textures have little in common, mostly with a road."""
    rng = scene.rng
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[scene.horizon :] = 1
    rows = np.arange(HEIGHT)
    below = np.clip((rows - scene.horizon) / (HEIGHT - scene.horizon), 0.01, 1).astype(np.float32)[:, None]
    seen, felt = _foreshortened(rng, below), _foreshortened(rng, below)
    base = np.log(color(rng, 0.08, 0.5))
    albedo = np.exp(base + rng.uniform(0.05, 0.35) * seen[..., None]).astype(np.float32)
    common = rng.uniform(-0.4, 0.4)
    scene.cover(mask, albedo, rng.uniform(-0.2, 0.4) + 0.12 * (felt + common * seen), 100)
    scene.depth[scene.horizon :] = np.minimum(1 / below[scene.horizon :], 100)
    if rng.random() < 0.7:
        _road(scene)


def _foreshortened(rng: Generator, below: Plane) -> Plane:
    """Texture of a plane that is seen at an angle: coarse near by, fine far off."""
    flat = texture(rng, 5, rng.uniform(20, 120))
    y = ((1 / below) * 40 % (HEIGHT - 1)) * np.ones((1, WIDTH), np.float32)
    x = ((np.arange(WIDTH, dtype=np.float32)[None] - WIDTH / 2) / below * 0.5) % (WIDTH - 1)
    warped: np.ndarray = cv2.remap(flat, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    return warped


def _road(scene: Scene) -> None:
    rng = scene.rng
    vanishing, left, right = rng.uniform(0, WIDTH), *np.sort(rng.uniform(-0.6 * WIDTH, 1.6 * WIDTH, 2))
    top = scene.horizon + 1
    edges = np.array([[vanishing - 2, top], [vanishing + 2, top], [right, HEIGHT], [left, HEIGHT]])
    asphalt = polygon(edges)
    scene.cover(
        asphalt,
        surface(rng, color(rng, 0.08, 0.3, 0.1), 0.08, 6),
        rng.uniform(-0.2, 0.7) + 0.05 * texture(rng, 4, 40),
        90,
    )
    for across in rng.random(int(rng.integers(0, 5))):  # markings: bright to one camera alone
        foot = left + across * (right - left)
        thick = rng.uniform(2, 8)
        stripe = polygon(np.array([[vanishing, top], [vanishing, top], [foot + thick, HEIGHT], [foot - thick, HEIGHT]]))
        if rng.random() < 0.6:
            dash = (
                np.log(
                    np.arange(HEIGHT) - scene.horizon + 1.0,
                    where=np.arange(HEIGHT) > scene.horizon,
                    out=np.zeros(HEIGHT),
                )
                * rng.uniform(3, 7)
            ) % 1
            stripe = stripe * (dash < 0.5)[:, None]
        scene.albedo += stripe[..., None] * (rng.uniform(0.6, 0.9) - scene.albedo)


def building(scene: Scene, depth: float) -> None:
    """A wall with windows, some of them lit, perhaps under a roof."""
    rng = scene.rng
    foot, scale = scene.at_depth(depth), HEIGHT / depth
    width, height = rng.uniform(0.5, 2.5) * scale, rng.uniform(0.5, 2.2) * scale
    x = rng.uniform(-0.2, 1.1) * WIDTH
    skew = rng.uniform(-0.2, 0.2) * width
    corners = np.array([[x, foot], [x, foot - height], [x + width, foot - height + skew * 0.3], [x + width, foot]])
    wall, warmth = polygon(corners), rng.uniform(-0.3, 0.6)
    scene.cover(wall, surface(rng, color(rng), rng.uniform(0.02, 0.15), 8), warmth + 0.06 * texture(rng, 3, 60), depth)
    roof = rng.random() < 0.5
    if roof:
        tip = np.array([[x - 3, foot - height], [x + width / 2, foot - height * 1.3], [x + width + 3, foot - height]])
        scene.cover(polygon(tip), surface(rng, color(rng), 0.15, 3), warmth + rng.uniform(-0.5, 0.3), depth)
    columns, rows = int(rng.integers(1, 9)), int(rng.integers(1, 7))
    lit, glass = rng.random(), color(rng, 0.02, 0.3)
    for i in range(columns):
        for j in range(rows):
            w, h = width / columns, height / rows
            at = (x + (i + 0.25) * w, foot - (j + 0.8) * h)
            pane = polygon(
                np.array([at, (at[0] + w / 2, at[1]), (at[0] + w / 2, at[1] + h / 2), (at[0], at[1] + h / 2)])
            )
            scene.cover(pane, glass, warmth + rng.normal(0.1, 0.25), depth, 0.5)
            if rng.random() < lit * 0.5:
                scene.light += pane[..., None] * rng.uniform(0.2, 0.8) * np.array([1, 0.8, 0.5], np.float32)


def tree(scene: Scene, depth: float) -> None:
    """A trunk under a crown of leaves, or bare branches."""
    rng = scene.rng
    foot, scale = scene.at_depth(depth), HEIGHT / depth
    x, height = rng.uniform(0, WIDTH), rng.uniform(0.6, 2.0) * scale
    bark, heat = color(rng, 0.03, 0.25), rng.uniform(-0.3, 0.3)
    trunk = limb((x, foot), (x + rng.normal(0, 0.05) * height, foot - height * 0.7), 0.04 * height)
    scene.cover(trunk, surface(rng, bark, 0.3, 4), heat, depth, 0.6)
    bare = rng.random() < 0.4
    for _ in range(int(rng.integers(5, 30)) if bare else 0):
        start = (x, foot - rng.uniform(0.3, 0.7) * height)
        end = (x + rng.normal(0, 0.3) * height, start[1] - rng.uniform(0.05, 0.5) * height)
        scene.cover(limb(start, end, rng.uniform(0.5, 0.02 * height + 1)), bark, heat, depth, 0.5)
    if not bare:
        crown = ellipse(x, foot - height * 0.8, rng.uniform(0.2, 0.45) * height, rng.uniform(0.25, 0.5) * height)
        near = cv2.GaussianBlur(crown, (0, 0), max(1, 0.06 * height))
        leaves = np.clip(near * 3 - 1 + 0.7 * texture(rng, 6, 0.2 * height + 2), 0, 1) * (near > 0.05)
        green = color(rng, 0.05, 0.3, 0.1) * np.array([0.8, 1.1, 0.6], np.float32)
        scene.cover(
            leaves, surface(rng, green, 0.4, 5), heat + rng.uniform(-0.3, 0.2) + 0.1 * texture(rng, 5, 12), depth, 0.5
        )


def person(scene: Scene, depth: float) -> None:
    """Head, coat, trousers: warm to one camera, of any color to the other."""
    rng = scene.rng
    foot, tall = scene.at_depth(depth), 0.55 * HEIGHT / depth
    x, step, skin = rng.uniform(0, WIDTH), rng.uniform(-0.12, 0.12), rng.uniform(0.8, 1.6)
    cloth, legs = skin * rng.uniform(0.4, 0.9), skin * rng.uniform(0.4, 0.9)
    _shadow(scene, x, foot, 0.25 * tall, tall)
    top, hip = foot - tall, foot - 0.47 * tall
    trousers, coat = color(rng, 0.02, 0.5), color(rng, 0.02, 0.7)
    for side in (-1, 1):
        scene.cover(
            limb((x, hip), (x + side * step * tall + side * 0.03 * tall, foot), 0.11 * tall), trousers, legs, depth, 0.5
        )
        hand = (x + side * rng.uniform(0.1, 0.25) * tall, hip + rng.uniform(-0.2, 0.05) * tall)
        scene.cover(limb((x + side * 0.08 * tall, top + 0.22 * tall), hand, 0.07 * tall), coat, cloth, depth, 0.5)
    scene.cover(
        ellipse(x, (top + 0.15 * tall + hip) / 2, 0.12 * tall, 0.22 * tall),
        surface(rng, coat, 0.15, 3),
        cloth + 0.1 * texture(rng, 3, 6),
        depth,
        0.5,
    )
    scene.cover(ellipse(x, top + 0.08 * tall, 0.055 * tall, 0.075 * tall), color(rng, 0.1, 0.6, 0.2), skin, depth, 0.5)


def vehicle(scene: Scene, depth: float) -> None:
    """A car or a van, standing cold or running: then warm where its engine and wheels are."""
    rng = scene.rng
    foot, scale = scene.at_depth(depth), HEIGHT / depth
    long, tall = rng.uniform(0.7, 1.4) * scale, rng.uniform(0.32, 0.6) * scale
    x, warmth = rng.uniform(-0.1, 0.95) * WIDTH, rng.uniform(-0.5, 0.4)
    _shadow(scene, x + long / 2, foot, long, 0.3 * tall)
    body = np.array([(0, 0.15), (0, 0.55), (0.2, 0.6), (0.32, 1), (0.75, 1), (0.88, 0.6), (1, 0.5), (1, 0.15)])
    if rng.random() < 0.3:
        body = np.array([(0, 0.1), (0, 1), (0.9, 1), (1, 0.6), (1, 0.1)])
    if rng.random() < 0.5:
        body[:, 0] = 1 - body[:, 0]
    outline = polygon(np.stack([x + body[:, 0] * long, foot - body[:, 1] * tall], -1))
    scene.cover(outline, color(rng, 0.03, 0.85, 0.6), warmth + 0.04 * texture(rng, 3, 20), depth, 0.6)
    pane = polygon(
        np.array([(x + u * long, foot - v * tall) for u, v in ((0.3, 0.62), (0.36, 0.93), (0.7, 0.93), (0.75, 0.62))])
    )
    scene.cover(pane, color(rng, 0.02, 0.3), warmth + rng.uniform(-0.5, 0.4), depth, 0.5)
    running = rng.random() < 0.6
    for u in (0.2, 0.8):
        scene.cover(
            ellipse(x + u * long, foot - 0.13 * tall, 0.14 * tall, 0.14 * tall),
            color(rng, 0.02, 0.1),
            warmth + running * rng.uniform(0.3, 1),
            depth,
            0.5,
        )
    if running:
        glow = cv2.GaussianBlur(
            ellipse(x + rng.choice([0.12, 0.88]) * long, foot - 0.4 * tall, 0.15 * long, 0.2 * tall),
            (0, 0),
            max(1.0, 0.05 * long),
        )
        scene.heat += glow * outline * rng.uniform(0.2, 1)
        for u in (0.02, 0.98):
            lamp = ellipse(x + u * long, foot - 0.42 * tall, 0.04 * tall + 1, 0.04 * tall + 1)
            scene.light += (
                lamp[..., None]
                * rng.uniform(0.5, 4)
                * np.array([1, rng.uniform(0.1, 1), rng.uniform(0.1, 0.9)], np.float32)
            )


def clutter(scene: Scene, depth: float) -> None:
    """A leaf: any shape with any look and any heat, so that nothing is taken for granted."""
    rng = scene.rng
    foot, size = scene.at_depth(depth), rng.uniform(0.05, 0.5) * HEIGHT / depth
    x, y = rng.uniform(0, WIDTH), foot - size * rng.random()
    kind = rng.integers(3)
    if kind == 0:
        mask = ellipse(x, y, size * rng.uniform(0.2, 1), size * rng.uniform(0.2, 1), rng.uniform(0, 3))
    elif kind == 1:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        mask = polygon(np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], -1))
    else:
        mask = limb((x, y), (x + rng.normal(0, 2) * size, y + rng.normal(0, 2) * size), rng.uniform(1, 6))
    heat = rng.normal(0.1, 0.5) + rng.uniform(0, 0.2) * texture(rng, 4, rng.uniform(4, 60))
    scene.cover(
        mask, surface(rng, color(rng), rng.uniform(0, 0.4), rng.uniform(2, 30)), heat, depth, rng.uniform(0.4, 1.2)
    )


def _shadow(scene: Scene, x: float, foot: float, wide: float, long: float) -> None:
    """The ground under an object: darker to the visible camera, a little cooler to the other."""
    mask = cv2.GaussianBlur(
        ellipse(x + scene.rng.normal(0, 0.3) * wide, foot, wide * 0.7, max(1.5, 0.12 * long)), (0, 0), 1.5
    )
    scene.shade *= 1 - scene.rng.uniform(0.2, 0.7) * mask
    scene.heat -= 0.1 * scene.rng.random() * mask


def visible(scene: Scene) -> np.ndarray:
    """The visible camera's image, uint8 RGB: light, air, lens, sensor and tone curve."""
    rng = scene.rng
    day = rng.random() < 0.55
    sun = rng.uniform(0.6, 1.6) if day else 10 ** rng.uniform(-2.3, -0.7)
    lit = texture(rng, 2, 300)
    patches = 1 - (rng.uniform(0, 0.6) * (texture(rng, 2, rng.uniform(60, 200)) > rng.uniform(0, 1.5)) if day else 0)
    radiance = scene.albedo * (sun * scene.shade * patches)[..., None] * np.exp(0.1 * lit)[..., None]
    if not day:
        for _ in range(int(rng.integers(0, 5))):  # street lamps and their cones
            x, y, r = rng.uniform(0, WIDTH), rng.uniform(0.1, 0.8) * HEIGHT, rng.uniform(20, 160)
            cone = cv2.GaussianBlur(ellipse(x, y + r, r, r * 1.2), (0, 0), r / 2)
            tone = np.array([1, rng.uniform(0.6, 1), rng.uniform(0.3, 1)], np.float32)
            radiance += scene.albedo * cone[..., None] * tone * rng.uniform(0.1, 0.8)
            scene.light += ellipse(x, y, 2.5, 2.5)[..., None] * tone * 3
    radiance = (
        radiance
        + scene.light
        + sum(rng.uniform(0.02, 0.15) * cv2.GaussianBlur(scene.light, (0, 0), s) for s in (4, 16))
    )
    if rng.random() < 0.25:  # fog or smoke, which the other camera sees through
        thick = 10 ** rng.uniform(-2.2, -0.5) * np.exp(0.6 * texture(rng, 4, 200))
        through = np.exp(-thick * np.minimum(scene.depth, 60))[..., None]
        radiance = radiance * through + (1 - through) * sun * rng.uniform(0.4, 0.9)
    radiance = cv2.GaussianBlur(radiance.astype(np.float32), (0, 0), rng.uniform(0.4, 1.0))
    exposure = rng.uniform(0.6, 1.1) / np.percentile(radiance, rng.uniform(90, 99.5)) if day else rng.uniform(0.5, 3)
    signal = radiance * exposure
    shot = rng.uniform(0.002, 0.02 if day else 0.06)
    signal = signal + shot * np.sqrt(np.clip(signal, 0, 2) + 0.05) * rng.standard_normal(signal.shape)
    pixels: np.ndarray = (np.clip(signal, 0, 1) ** (1 / rng.uniform(1.6, 2.4)) * 255).round().astype(np.uint8)
    return pixels


def infrared(scene: Scene) -> np.ndarray:
    """The thermal camera's image, uint8: air, a softer lens, fixed patterns, and the automatic gain of its maker."""
    rng = scene.rng
    soft = cv2.GaussianBlur(scene.heat, (0, 0), rng.uniform(0.6, 1.8))
    spread = soft.std() + 1e-3
    soft = soft + spread * (
        rng.uniform(0.0, 0.06) * rng.standard_normal(soft.shape)
        + rng.uniform(0, 0.03) * rng.standard_normal((1, WIDTH))
    )
    low, high = np.percentile(soft, (rng.uniform(0, 3), rng.uniform(97, 100)))
    darkest, brightest = rng.uniform(0, 60), rng.uniform(150, 255)
    levels = darkest + (soft - low) / (high - low + 1e-3) * (brightest - darkest)
    pixels: np.ndarray = np.clip(levels, 0, 255).round().astype(np.uint8)
    return pixels


def render(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Infrared (h, w) and visible (h, w, 3), uint8, of one scene; the same seed gives the same images."""
    rng = np.random.default_rng((2025, seed))
    scene = Scene(rng, int(rng.uniform(0.05, 0.6) * HEIGHT))
    sky(scene)
    ground(scene)
    kinds = [building, tree, clutter, vehicle, person]
    counts = rng.poisson([3, 5, 12, 2.5, 3.5])
    things = [
        (kind, float(np.exp(rng.uniform(np.log(1.15), np.log(25)))))
        for kind, n in zip(kinds, counts, strict=True)
        for _ in range(n)
    ]
    for kind, depth in sorted(things, key=lambda thing: -thing[1]):
        kind(scene, depth)
    return infrared(scene), visible(scene)


def main() -> None:
    """Write the pairs that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    for name in ("ir", "vi"):
        (args.folder / name).mkdir(parents=True, exist_ok=True)
    for seed in range(args.first, args.first + args.count):
        heat, seen = render(seed)
        cv2.imwrite(str(args.folder / "ir" / f"{seed:04}.png"), heat)
        cv2.imwrite(str(args.folder / "vi" / f"{seed:04}.png"), cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
