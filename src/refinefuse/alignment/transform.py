"""Transforms from pixels of `b` to positions in `a`: a 3 x 3 matrix, preceded by a smooth displacement for `bspline`.

`a` is the moving image, `b` the fixed one.
"""

from __future__ import annotations

import json
import os
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
from refinefuse.paths import as_path

#: The kinds of transform, from the fewest to the most degrees of freedom; each one contains those before it.
TransformType = Literal["translation", "rigid", "similarity", "affine", "homography", "bspline"]

_FORMAT, _FORMAT_1 = "refinefuse-transform-2", "refinefuse-transform-1"
_KEYS_OF_FORMAT_1 = {
    "model": "transform_type",
    "size_a": "size_moving",
    "size_b": "size_fixed",
    "bend": "displacement",
}
_RECORD = {"format", "transform_type", "size_moving", "size_fixed", "matrix", "displacement"}
_LONGEST_SIDE = 1 << 20  # pixels: larger sizes mean a damaged file


@dataclass(frozen=True, eq=False)
class Transform:
    """A map from the pixels of `b` to positions in `a`, in pixels; (0, 0) is the center of the top left pixel.

    Attributes:
        transform_type: the kind of transform.
        size_moving: height and width of `a`.
        size_fixed: height and width of `b`.
        matrix: (3, 3), homogeneous (x, y, 1) of `b` to those of `a`.
        displacement: (rows, columns, 2) control points of a cubic B-spline over `b`: shifts (x, y) in pixels of `b`,
            added before the matrix; None for every type but bspline.
    """

    transform_type: TransformType
    size_moving: tuple[int, int]
    size_fixed: tuple[int, int]
    matrix: Float[np.ndarray, "3 3"]
    displacement: Float[np.ndarray, "rows columns 2"] | None = None

    def map_points(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Where points (x, y) of `b` lie in `a`."""
        if self.displacement is not None:
            h, w = self.size_fixed
            rows, columns = (
                spline(points[:, 1], h, len(self.displacement)),
                spline(points[:, 0], w, self.displacement.shape[1]),
            )
            points = points + np.einsum("nr,nc,rcd->nd", rows, columns, self.displacement)
        return project(self.matrix, points)

    def warp(self, image: Pixels) -> tuple[Pixels, Float[np.ndarray, "h w"]]:
        """Bring an image onto the grid of `b`.

        Args:
            image: (h, w) or (h, w, c) of `size_moving`, of any depth.

        Returns:
            The image on the grid of `b`, of its own depth; its edge is repeated where it has no data. And how far
            `a` has data, 1 inside and 0 outside, of `b`'s size.

        Raises:
            InputError: the image is not of the size that the transform was made for.
        """
        self.check_size("a", image.shape[:2])
        x, y = self.positions
        values = image.astype(np.float32)
        sampled = cv2.remap(values, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        h, w = self.size_moving
        inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
        top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
        sampled = np.clip(sampled, 0, top)  # cubic interpolation overshoots
        if image.dtype.kind == "u":
            sampled = np.floor(sampled + 0.5)
        return np.ascontiguousarray(sampled.astype(image.dtype)), inside.astype(np.float32)

    def resample(self, image: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray]:
        """A luma on the grid of `b`, linearly interpolated, and where pixels of `mask` determine it."""
        known = mask.astype(np.float32)
        if self.displacement is None:
            flags, shape = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.size_fixed[::-1]
            moved = cv2.warpPerspective(image, self.matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            inside = cv2.warpPerspective(known, self.matrix, shape, flags=flags)
            return np.asarray(moved), np.asarray(inside) > 0.99
        x, y = self.positions
        moved = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.remap(known, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(moved), np.asarray(inside) > 0.99

    def check_size(self, name: Literal["a", "b"], size: tuple[int, ...]) -> None:
        """Check that an image has the size that the transform was made for.

        Raises:
            InputError: if it does not; the message gives both sizes.
        """
        expected = self.size_moving if name == "a" else self.size_fixed
        if tuple(size) != expected:
            raise InputError(
                f"The transform was made for another size of `{name}`.\n  expected: {expected[0]} x {expected[1]}\n"
                f"  got: {size[0]} x {size[1]}\nAlign a pair of this size, and save its transform."
            )

    @cached_property
    def positions(self) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Where each pixel of `b` lies in `a`: x and y, float32."""
        h, w = self.size_fixed
        x, y = np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64))
        if self.displacement is not None:
            rows, columns = (
                spline(np.arange(h), h, len(self.displacement)),
                spline(np.arange(w), w, self.displacement.shape[1]),
            )
            x = x + rows @ self.displacement[..., 0] @ columns.T
            y = y + rows @ self.displacement[..., 1] @ columns.T
        m = self.matrix
        depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        depth = np.where(depth > 1e-6, depth, np.nan)  # behind the camera: not in `a`
        positions = ((m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth)
        far_x, far_y = (np.nan_to_num(position, nan=-1e6).clip(-1e6, 1e6).astype(np.float32) for position in positions)
        return far_x, far_y

    def describe(self) -> str:
        """In words: the matrix row by row."""
        rows = "; ".join(" ".join(f"{number:.8g}" for number in row) for row in self.matrix)
        bent = " after a smooth displacement" if self.displacement is not None else ""
        return f"{self.transform_type} [{rows}]{bent}"

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the transform as JSON, whole or not at all.

        Raises:
            InputError: the file exists, or cannot be written.
        """
        target = as_path(path)
        check_writable(target, overwrite=overwrite)
        record = {
            "format": _FORMAT,
            "transform_type": self.transform_type,
            "size_moving": list(self.size_moving),
            "size_fixed": list(self.size_fixed),
            "matrix": self.matrix.tolist(),
            "displacement": None if self.displacement is None else self.displacement.tolist(),
        }
        write_atomic(target, (json.dumps(record, indent=1) + "\n").encode())


def load_transform(path: str | os.PathLike[str]) -> Transform:
    """Read a transform that `Transform.save` wrote.

    Raises:
        InputError: the file is missing, is no such file, or holds a transform that cannot be inverted.
    """
    path = as_path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.\nCheck the path.") from None
    except RecursionError:
        raise _no_transform(path, "the JSON is nested too deeply") from None
    except ValueError:
        raise _no_transform(path, "it is not JSON") from None
    if isinstance(record, dict) and record.get("format") == _FORMAT_1:
        record = {_KEYS_OF_FORMAT_1.get(key, key): value for key, value in record.items()} | {"format": _FORMAT}
    if not isinstance(record, dict) or record.get("format") != _FORMAT or set(record) != _RECORD:
        raise _no_transform(path, "unknown keys or format")
    try:
        return _from_record(record)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_transform(path, str(error)) from None


def _from_record(record: dict[str, Any]) -> Transform:
    matrix = np.array(record["matrix"], float)
    displacement = None if record["displacement"] is None else np.array(record["displacement"], float)
    moving, fixed = (size_of(record[key]) for key in ("size_moving", "size_fixed"))
    if record["transform_type"] not in get_args(TransformType):
        raise ValueError(f"unknown transform_type {record['transform_type']!r}")
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError("the matrix must be 3 x 3 and invertible")
    if displacement is not None and (
        displacement.ndim != 3
        or displacement.shape[2] != 2
        or min(displacement.shape[:2]) < 4
        or not np.isfinite(displacement).all()
    ):
        raise ValueError("the displacement must be a grid of shifts")
    return Transform(record["transform_type"], moving, fixed, matrix, displacement)


def size_of(sides: Any) -> tuple[int, int]:
    """Validate a size (height, width) in a record; raises ValueError if no image can have it."""
    whole = isinstance(sides, list) and len(sides) == 2 and all(type(side) is int for side in sides)
    if not whole or not all(0 < side <= _LONGEST_SIDE for side in sides):
        raise ValueError(f"a size must be two whole numbers from 1 to {_LONGEST_SIDE}")
    return sides[0], sides[1]


def _no_transform(path: Path, found: str) -> InputError:
    return InputError(
        f"'{path}' does not contain a transform.\n"
        "  expected: a file written by `refinefuse align` or `Transform.save`\n"
        f"  got: {found}\nAlign a pair from the two cameras, and save its transform."
    )


def project(matrix: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Apply a homography to points (x, y)."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def corners(size: tuple[int, int]) -> Float[np.ndarray, "4 2"]:
    """The centers (x, y) of the four corner pixels, clockwise from the top left."""
    h, w = size
    return np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], float)


def centering(size: tuple[int, int], scale: float = 1.0) -> Float[np.ndarray, "3 3"]:
    """The matrix from centered coordinates, in units of `scale` pixels, to pixels."""
    h, w = size
    return np.array([[scale, 0, (w - 1) / 2], [0, scale, (h - 1) / 2], [0, 0, 1]], float)


def zoom(size: tuple[int, int], small: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """The matrix from pixels of the downsampled image to pixels of the image."""
    y, x = size[0] / small[0], size[1] / small[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], float)


def spline(positions: Float[np.ndarray, " n"], side: int, controls: int) -> Float[np.ndarray, "n controls"]:
    """The weights of the control points of a uniform cubic B-spline over [0, side - 1], one row per position.

    Source: D. Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 18(8), 1999, eq. 2.
    """
    spans = controls - 3
    at = np.clip(np.asarray(positions, float) / max(side - 1, 1), 0, 1) * spans
    first = np.minimum(at.astype(int), spans - 1)
    u = at - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], -1) / 6
    rows = np.zeros((len(at), controls))
    np.put_along_axis(rows, first[:, None] + np.arange(4), weights, 1)
    return rows
