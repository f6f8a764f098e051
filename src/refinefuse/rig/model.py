"""A calibrated pair of cameras: the mapping from pixels of `b` to positions in `a`, for any distance."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from refinefuse.alignment.transform import Transform, project, size_of
from refinefuse.atomic import check_writable, write_atomic
from refinefuse.errors import InputError
from refinefuse.paths import as_path
from refinefuse.rig.lens import Lens

_FORMAT = "refinefuse-rig-1"


@dataclass(frozen=True, eq=False)
class LensTransform(Transform):
    """A transform between two lenses: undistort pixels of `b`, apply the matrix, distort as in `a`.

    Attributes:
        lens_moving: lens of `a`; None means no distortion.
        lens_fixed: lens of `b`; None means no distortion.
    """

    lens_moving: Lens | None = None
    lens_fixed: Lens | None = None

    def map_points(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Map points (x, y) of `b` to `a`."""
        ideal = points if self.lens_fixed is None else self.lens_fixed.undistort(points)
        mapped = project(self.matrix, ideal)
        return mapped if self.lens_moving is None else self.lens_moving.distort(mapped)

    @cached_property
    def positions(self) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Return the position in `a` of each pixel of `b`: x and y, float32."""
        h, w = self.size_fixed
        grid = np.stack(np.meshgrid(np.arange(w, dtype=float), np.arange(h, dtype=float)), -1)
        x, y = self.map_points(grid.reshape(-1, 2)).T.reshape(2, h, w)
        return (
            np.nan_to_num(x, nan=-1e6).clip(-1e6, 1e6).astype(np.float32),
            np.nan_to_num(y, nan=-1e6).clip(-1e6, 1e6).astype(np.float32),
        )

    def resample(self, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Resample a luma onto the grid of `b` by linear interpolation; also return where `mask` makes it valid."""
        moved = cv2.remap(image, *self.positions, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.remap(mask.astype(np.float32), *self.positions, cv2.INTER_LINEAR)
        return np.asarray(moved), np.asarray(inside) > 0.99

    def describe(self) -> str:
        """Describe the transform: the rows of the matrix, and the lenses."""
        named = (("A", self.lens_moving), ("B", self.lens_fixed))
        lenses = [f"; lens of {name}: {lens.describe()}" for name, lens in named if lens is not None]
        return super().describe() + "".join(lenses)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Raise an error: a transform file cannot store lenses.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"Cannot write '{path}': a transform file cannot store lenses.\nSave the rig itself with Rig.save."
        )


@dataclass(frozen=True)
class RigQuality:
    """Accuracy of a calibration; lengths in pixels of `b`.

    Attributes:
        frames: number of frame pairs used.
        score: agreement of the edges, in standard deviations above chance.
        corner_error: largest expected error at the four corners of the overlap.
        residual: typical remaining distance between edges, due to noise and to objects at other distances.
        error_map: expected error on a grid of rows and columns over `b`; None where `a` has no data.
    """

    frames: int
    score: float
    corner_error: float
    residual: float
    error_map: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, eq=False)
class Rig:
    """Two cameras on one mount: `a` (thermal) moves onto the grid of `b` (visible).

    A pixel of `b` is undistorted by `lens_fixed`, mapped by the matrix, and distorted by `lens_moving`; the result is
    a position in `a`. Pixels are (x, y); (0, 0) is the center of the top-left pixel.

    Attributes:
        size_moving: height and width of `a`.
        size_fixed: height and width of `b`.
        matrix: (3, 3), maps homogeneous (x, y, 1) of `b` to `a`, both undistorted.
        lens_moving: lens of `a`; None means no distortion.
        lens_fixed: lens of `b`; None means no distortion.
        distance: distance in meters at which the matrix is exact; infinity if unknown or far away.
        parallax: (3,), homogeneous, in pixels x meters: divided by a distance, it is added to the last column of the
            matrix for objects at infinity. None means unknown: the matrix is used at any distance.
        quality: accuracy of the calibration; None for rigs from other programs.
    """

    size_moving: tuple[int, int]
    size_fixed: tuple[int, int]
    matrix: Float[np.ndarray, "3 3"]
    lens_moving: Lens | None = None
    lens_fixed: Lens | None = None
    distance: float = np.inf
    parallax: Float[np.ndarray, " 3"] | None = None
    quality: RigQuality | None = None

    def transform(self, distance: float | None = None) -> LensTransform:
        """Return the transform for objects at a distance.

        Args:
            distance: distance in meters; None uses that of the calibration.

        Raises:
            InputError: the distance is not positive, or the parallax of the rig is unknown.
        """
        matrix = self.matrix if distance is None else self._matrix_at(distance)
        return LensTransform(
            "homography", self.size_moving, self.size_fixed, matrix, None, self.lens_moving, self.lens_fixed
        )

    def _matrix_at(self, distance: float) -> Float[np.ndarray, "3 3"]:
        if not distance > 0:
            raise InputError(f"A distance must be above 0 meters.\n  got: {distance:g}")
        if self.parallax is None:
            raise InputError(
                "This rig does not know how its images shift with distance.\n"
                "Calibrate it at a second distance (`refinefuse rig calibrate` takes the rig and a distance), "
                "or remove "
                "the distance."
            )
        matrix = self.matrix.copy()
        matrix[:, 2] += self.parallax * (1 / distance - 1 / self.distance)
        return matrix

    def with_parallax(self, near: Float[np.ndarray, "3 3"], distance: float) -> Rig:
        """Return a copy with the parallax implied by a matrix for a second distance: the mean shift between the two.

        Raises:
            InputError: the two distances are equal.
        """
        inverse = 1 / distance - 1 / self.distance
        if abs(inverse) < 1e-6:
            raise InputError(
                "Parallax calibration needs frames at a second distance.\n"
                f"  expected: a distance other than {self.distance:g} m\n  got: {distance:g} m"
            )
        h, w = self.size_fixed
        center = np.array([[(w - 1) / 2, (h - 1) / 2]])
        shift = (project(near, center) - project(self.matrix, center))[0] / inverse
        depth = float(self.matrix[2] @ [*center[0], 1])
        return replace(self, parallax=np.array([*shift * depth, 0.0]))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the rig as JSON atomically.

        Raises:
            InputError: the file exists, or cannot be written.
        """
        target = as_path(path)
        check_writable(target, overwrite=overwrite)
        record = {
            "format": _FORMAT,
            "size_moving": list(self.size_moving),
            "size_fixed": list(self.size_fixed),
            "matrix": self.matrix.tolist(),
            "lens_moving": None if self.lens_moving is None else self.lens_moving.to_dict(),
            "lens_fixed": None if self.lens_fixed is None else self.lens_fixed.to_dict(),
            "distance": None if np.isinf(self.distance) else self.distance,
            "parallax": None if self.parallax is None else self.parallax.tolist(),
            "quality": None if self.quality is None else vars(self.quality),
        }
        write_atomic(target, (json.dumps(record, indent=1) + "\n").encode())


def holds_rig(path: Path) -> bool:
    """Return whether a file looks like a rig."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("format") == _FORMAT


def load_rig(path: str | os.PathLike[str]) -> Rig:
    """Read a rig that `Rig.save` wrote.

    Raises:
        InputError: the file is missing or is not a rig.
    """
    path = as_path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.\nCheck the path.") from None
    except (ValueError, RecursionError):
        raise _no_rig(path, "it is not JSON") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise _no_rig(path, f"the format {record.get('format')!r}" if isinstance(record, dict) else "no record")
    try:
        return _from_record(record)
    except KeyError as error:
        raise _no_rig(path, f"no key {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_rig(path, str(error)) from None


def _from_record(record: dict[str, Any]) -> Rig:
    matrix = np.array(record["matrix"], float)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError("the matrix must be 3 x 3 and invertible")
    parallax = None if record["parallax"] is None else np.array(record["parallax"], float)
    if parallax is not None and (parallax.shape != (3,) or not np.isfinite(parallax).all()):
        raise ValueError("the parallax must be three numbers")
    distance = np.inf if record["distance"] is None else float(record["distance"])
    if not distance > 0:
        raise ValueError("the distance must be above 0")
    quality = record["quality"]
    if quality is not None:
        quality = RigQuality(**quality | {"error_map": tuple(map(tuple, quality["error_map"]))})
    return Rig(
        size_of(record["size_moving"]),
        size_of(record["size_fixed"]),
        matrix,
        _lens(record["lens_moving"]),
        _lens(record["lens_fixed"]),
        distance,
        parallax,
        quality,
    )


def _lens(record: Any) -> Lens | None:
    return None if record is None else Lens(*(np.array(record[key], float) for key in ("camera_matrix", "distortion")))


def _no_rig(path: Path, found: str) -> InputError:
    return InputError(
        f"'{path}' does not contain a rig.\n  expected: a file written by `refinefuse rig calibrate`\n  got: {found}\n"
        "Calibrate again: refinefuse rig calibrate IR_FRAMES VIS_FRAMES -o rig.json"
    )
