"""Where in `a` each pixel of `b` lies: a 3 x 3 matrix, and for `bspline` a smooth bend before it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from jaxtyping import Bool, Float

from refinefuse.atomic import check_writable, write_atomic
from refinefuse.errors import InputError
from refinefuse.image.pixels import Pixels

#: The motions that are told apart, from stiff to soft; each one contains those before it.
TransformType = Literal["translation", "rigid", "similarity", "affine", "homography", "bspline"]

_FORMAT = "refinefuse-transform-1"
_RECORD = {"format", "transform_type", "size_a", "size_b", "matrix", "bend"}


@dataclass(frozen=True, eq=False)
class Transform:
    """A map from the pixels of `b` to places in `a`, in pixels; (0, 0) is the center of the top left pixel.

    Attributes:
        transform_type: the kind of motion.
        size_a: height and width of `a`.
        size_b: height and width of `b`.
        matrix: (3, 3), homogeneous (x, y, 1) of `b` to those of `a`.
        bend: (rows, columns, 2) control points of a cubic B-spline over `b`: shifts (x, y) in pixels of `b`, added
            before the matrix; None for every transform_type but bspline.
    """

    transform_type: TransformType
    size_a: tuple[int, int]
    size_b: tuple[int, int]
    matrix: Float[np.ndarray, "3 3"]
    bend: Float[np.ndarray, "rows columns 2"] | None = None

    def map_points(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Where points (x, y) of `b` lie in `a`."""
        if self.bend is not None:
            h, w = self.size_b
            rows, columns = spline(points[:, 1], h, len(self.bend)), spline(points[:, 0], w, self.bend.shape[1])
            points = points + np.einsum("nr,nc,rcd->nd", rows, columns, self.bend)
        return project(self.matrix, points)

    def warp(self, image: Pixels) -> tuple[Pixels, Float[np.ndarray, "h w"]]:
        """Bring a image onto the grid of `b`.

        Args:
            image: (h, w) or (h, w, c) of `size_a`, of any depth.

        Returns:
            The image on the grid of `b`, of its own depth; its edge is repeated where it has no data. And how far
            `a` has data, 1 inside and 0 outside, of `b`'s size.

        Raises:
            InputError: the image is not of the size that the transform was made for.
        """
        self.check_size("a", image.shape[:2])
        x, y = self._grid
        values = image.astype(np.float32)
        sampled = cv2.remap(values, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        h, w = self.size_a
        inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
        top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
        sampled = np.clip(sampled, 0, top)  # cubic interpolation overshoots
        if image.dtype.kind == "u":
            sampled = np.floor(sampled + 0.5)
        return np.ascontiguousarray(sampled.astype(image.dtype)), inside.astype(np.float32)

    def resample(self, image: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray]:
        """A luma on the grid of `b`, linearly interpolated, and where it is told by pixels of `mask`."""
        known = mask.astype(np.float32)
        if self.bend is None:
            flags, shape = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.size_b[::-1]
            moved = cv2.warpPerspective(image, self.matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            inside = cv2.warpPerspective(known, self.matrix, shape, flags=flags)
            return np.asarray(moved), np.asarray(inside) > 0.99
        x, y = self._grid
        moved = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.remap(known, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(moved), np.asarray(inside) > 0.99

    def check_size(self, name: Literal["a", "b"], size: tuple[int, ...]) -> None:
        """Refuse a image of another size than the transform was made for.

        Raises:
            InputError: with both sizes.
        """
        expected = self.size_a if name == "a" else self.size_b
        if tuple(size) != expected:
            raise InputError(
                f"The transform was made for another size of `{name}`.\n  expected: {expected[0]} x {expected[1]}\n"
                f"  found: {size[0]} x {size[1]}\nAlign a pair of this size and save its transform."
            )

    @cached_property
    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        h, w = self.size_b
        x, y = np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64))
        if self.bend is not None:
            rows, columns = spline(np.arange(h), h, len(self.bend)), spline(np.arange(w), w, self.bend.shape[1])
            x = x + rows @ self.bend[..., 0] @ columns.T
            y = y + rows @ self.bend[..., 1] @ columns.T
        m = self.matrix
        depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        depth = np.where(depth > 1e-6, depth, np.nan)  # behind the camera: no place in `a`
        places = ((m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth)
        far_x, far_y = (np.nan_to_num(place, nan=-1e6).clip(-1e6, 1e6).astype(np.float32) for place in places)
        return far_x, far_y

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the transform as JSON, whole or not at all.

        Raises:
            InputError: the file exists, or cannot be written.
        """
        check_writable(path, overwrite=overwrite)
        record = {
            "format": _FORMAT,
            "transform_type": self.transform_type,
            "size_a": list(self.size_a),
            "size_b": list(self.size_b),
            "matrix": self.matrix.tolist(),
            "bend": None if self.bend is None else self.bend.tolist(),
        }
        write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())


def load_transform(path: Path) -> Transform:
    """Read a transform that `Transform.save` wrote.

    Raises:
        InputError: the file is missing, is no such file, or holds a transform that cannot be inverted.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.\nCheck the path.") from None
    except ValueError:
        raise _no_transform(path, "it is not JSON") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT or set(record) != _RECORD:
        raise _no_transform(path, "other keys or another format")
    try:
        return _from_record(record)
    except (TypeError, ValueError) as error:
        raise _no_transform(path, str(error)) from None


def _from_record(record: dict[str, Any]) -> Transform:
    matrix = np.array(record["matrix"], float)
    bend = None if record["bend"] is None else np.array(record["bend"], float)
    sizes = [tuple(int(side) for side in record[key]) for key in ("size_a", "size_b")]
    if record["transform_type"] not in get_args(TransformType):
        raise ValueError(f"unknown transform_type {record['transform_type']!r}")
    if any(len(size) != 2 or min(size) < 1 for size in sizes):
        raise ValueError("a size is not two positive numbers")
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError("the matrix is not 3 x 3 and invertible")
    if bend is not None and (
        bend.ndim != 3 or bend.shape[2] != 2 or min(bend.shape[:2]) < 4 or not np.isfinite(bend).all()
    ):
        raise ValueError("the bend is not a grid of shifts")
    return Transform(record["transform_type"], sizes[0], sizes[1], matrix, bend)  # type: ignore[arg-type]


def _no_transform(path: Path, found: str) -> InputError:
    return InputError(
        f"'{path}' holds no transform.\n  expected: a file that --save-transform wrote\n  found: {found}\n"
        "Write it anew: refinefuse align A B -o A_ALIGNED --save-transform T.json"
    )


def project(matrix: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Points (x, y) after a homography."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def corners(size: tuple[int, int]) -> Float[np.ndarray, "4 2"]:
    """The centers (x, y) of the four corner pixels, clockwise from the top left."""
    h, w = size
    return np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], float)


def centering(size: tuple[int, int], unit: float = 1.0) -> Float[np.ndarray, "3 3"]:
    """The matrix from coordinates about the center, in `unit` pixels, to pixels."""
    h, w = size
    return np.array([[unit, 0, (w - 1) / 2], [0, unit, (h - 1) / 2], [0, 0, 1]], float)


def zoom(size: tuple[int, int], small: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """The matrix from the pixels of a shrunken image to those of the image."""
    y, x = size[0] / small[0], size[1] / small[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], float)


def spline(places: Float[np.ndarray, " n"], side: int, controls: int) -> Float[np.ndarray, "n controls"]:
    """The weights of the control points of a uniform cubic B-spline over [0, side - 1], a row for each place.

    Source: D. Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 18(8), 1999, eq. 2.
    """
    spans = controls - 3
    at = np.clip(np.asarray(places, float) / max(side - 1, 1), 0, 1) * spans
    first = np.minimum(at.astype(int), spans - 1)
    u = at - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], -1) / 6
    rows = np.zeros((len(at), controls))
    np.put_along_axis(rows, first[:, None] + np.arange(4), weights, 1)
    return rows
