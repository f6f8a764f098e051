"""Solid things by their signed distance, and how a camera sees them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rendering.camera import Camera
from rendering.noise import Array, floats

Point = tuple[float, float, float]

_STEPS = 48
_NEAR = 0.006  # meters: closer than this is a hit


@dataclass(frozen=True)
class Solid:
    """Something with a surface, in its own frame: it stands on y = 0 and faces +z.

    Attributes:
        distance: signed distance in meters of points (n, 3).
        paint: reflectance (n, 3) and heat (n,) of surface points with normals (n, 3).
        half: half of its extent along x and z, and its height.
    """

    distance: Callable[[Array], Array]
    paint: Callable[[Array, Array], tuple[Array, Array]]
    half: tuple[float, float, float]


@dataclass(frozen=True)
class Seen:
    """The pixels in which a solid is seen.

    Attributes:
        rows: (n,) rows.
        columns: (n,) columns.
        depth: (n,) meters along z.
        points: (n, 3) in the world.
        normals: (n, 3) in the world.
        local: (n, 3) in the solid's frame.
        reflectance: (n, 3) in [0, 1].
        heat: (n,) in [0, 1].
    """

    rows: Array
    columns: Array
    depth: Array
    points: Array
    normals: Array
    local: Array
    reflectance: Array
    heat: Array


def look(camera: Camera, solid: Solid, place: tuple[float, float], turn: float = 0.0) -> Seen:
    """March rays from the camera to a solid that stands at `place` (x, z), turned by `turn` radians (0 faces away)."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = floats([[c, 0, s], [0, 1, 0], [-s, 0, c]])  # from the solid's frame to the world
    origin = floats([place[0], 0, place[1]])
    rows, columns = _window(camera, solid, rotation, origin)
    rays = camera.rays()[rows, columns].reshape(-1, 3)
    length = np.linalg.norm(rays, axis=1)
    eye, direction = (floats(camera.eye) - origin) @ rotation, rays / length[:, None] @ rotation
    travel, hit = _march(solid, eye, direction)
    y, x = np.mgrid[rows, columns].reshape(2, -1)[:, hit]
    local = eye + travel[hit, None] * direction[hit]
    normals = _normals(solid, local)
    reflectance, heat = solid.paint(local, normals)
    depth = travel[hit] / length[hit]
    return Seen(y, x, depth, local @ rotation.T + origin, normals @ rotation.T, local, reflectance, heat)


def _window(camera: Camera, solid: Solid, rotation: Array, origin: Array) -> tuple[slice, slice]:
    """The part of the image that the solid's box covers."""
    half_x, half_z, height = solid.half
    corners = floats([[x, y, z] for x in (-half_x, half_x) for y in (0, height) for z in (-half_z, half_z)])
    columns, rows = camera.project(corners @ rotation.T + origin)
    left, right = np.clip([columns.min() - 1, columns.max() + 2], 0, camera.width).astype(int)
    top, bottom = np.clip([rows.min() - 1, rows.max() + 2], 0, camera.height).astype(int)
    return slice(top, bottom), slice(left, right)


def _march(solid: Solid, eye: Array, direction: Array) -> tuple[Array, Array]:
    """Sphere tracing; only the rays that are still under way are moved on.

    Source: J. C. Hart, "Sphere tracing: a geometric method for the antialiased ray tracing of implicit surfaces",
    The Visual Computer 12, 1996.
    """
    reach = np.hypot(solid.half[0], solid.half[1]) + 0.5
    middle = np.hypot(eye[0], eye[2])
    travel = np.full(len(direction), max(middle - reach, 0.1), np.float32)
    hit = np.zeros(len(direction), bool)
    moving, across = np.arange(len(direction)), direction.T
    for _ in range(_STEPS):
        points = eye[:, None] + travel[moving] * across[:, moving]
        distance = solid.distance(points.T)  # transposed: each coordinate lies in one piece, which is faster
        hit[moving[distance < _NEAR]] = True
        travel[moving] += np.maximum(distance, 0) * 0.9
        moving = moving[(distance >= _NEAR) & (travel[moving] < middle + reach + 2)]
        if not moving.size:
            break
    return travel, hit


def _normals(solid: Solid, points: Array) -> Array:
    offsets = 0.01 * np.eye(3, dtype=np.float32)
    slope = np.stack([solid.distance(points + d) - solid.distance(points - d) for d in offsets], -1)
    return np.asarray(slope / np.maximum(length(slope), 1e-6)[:, None])


def length(p: Array) -> Array:
    """Length of vectors (n, 3)."""
    return np.asarray(np.sqrt(p[:, 0] ** 2 + p[:, 1] ** 2 + p[:, 2] ** 2))


def union(*distances: Array) -> Array:
    """What is nearest."""
    return functools.reduce(np.minimum, distances)


def limb(p: Array, a: Point, b: Point, thick: float, thin: float | None = None) -> Array:
    """Distance to a rod from `a` to `b` with round ends, `thick` at a and `thin` (or as thick) at b."""
    start, along = floats(a), floats(b) - floats(a)
    off = p - start
    t = np.clip((off @ along) / (along @ along), 0, 1)
    square = sum((off[:, i] - t * along[i]) ** 2 for i in range(3))
    return np.asarray(np.sqrt(square) - (thick + t * ((thin or thick) - thick)))


def block(p: Array, center: Point, half: Point, rounding: float = 0.0) -> Array:
    """Distance to a box with rounded edges."""
    x, y, z = (np.abs(p[:, i] - center[i]) - half[i] + rounding for i in range(3))
    outside = np.sqrt(np.maximum(x, 0) ** 2 + np.maximum(y, 0) ** 2 + np.maximum(z, 0) ** 2)
    return np.asarray(outside + np.minimum(np.maximum(np.maximum(x, y), z), 0) - rounding)


def wheel(p: Array, center: Point, radius: float, half_width: float) -> Array:
    """Distance to a cylinder around an axis along x."""
    x, y, z = (p[:, i] - center[i] for i in range(3))
    return both(np.hypot(y, z) - radius, np.abs(x) - half_width, 0.03)


def both(first: Array, second: Array, rounding: float) -> Array:
    """Distance to where two shapes overlap, with the edge between them rounded."""
    a, b = first + rounding, second + rounding
    return np.asarray(np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0) - rounding)


def melt(*distances: Array, radius: float = 0.05) -> Array:
    """The union of solids with seams filled over `radius` meters."""
    total = distances[0]
    for other in distances[1:]:
        h = np.maximum(radius - np.abs(total - other), 0) / radius
        total = np.minimum(total, other) - h * h * radius / 4
    return total


def outline(x: Array, y: Array, corners: tuple[tuple[float, float], ...]) -> Array:
    """Distance in a plane of points (n,) to a polygon, negative inside. Source: I. Quilez, "2D distance functions"."""
    best, sign = np.full(len(x), np.inf, np.float32), np.ones(len(x), np.float32)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        best = np.minimum(best, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        above, below, left = y >= ay, y < by, ex * wy > ey * wx
        sign = np.where((above & below & left) | ~(above | below | left), -sign, sign)
    return np.asarray(sign * np.sqrt(best))
