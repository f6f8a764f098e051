"""Import and export rigs and lenses as OpenCV (`cv2.FileStorage`) and ROS (camera_info) files.

OpenCV and ROS rectify both cameras to one ideal camera: an image is undistorted, rotated by R and projected by P
(`cv2.initUndistortRectifyMap`, image_proc). A rig is written with `b` as the ideal camera: R of `b` is the identity
and P its camera matrix; R of `a` aligns its image with that of `b`. This R is a rotation only if the rig is a pure
rotation; neither program requires that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from jaxtyping import Float

from refinefuse.atomic import check_writable, write_text_atomic
from refinefuse.errors import InputError
from refinefuse.rig.lens import Lens, nominal_lens
from refinefuse.rig.model import Rig

#: Keys of the camera matrix and the distortion in common files: single camera, first camera, second camera.
_MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "K", "M"), ("cameraMatrix1", "M1", "K1"), ("cameraMatrix2", "M2", "K2")
_DISTORTION_KEYS = (
    ("distortion_coefficients", "distCoeffs", "dist_coeffs", "D"),
    ("distCoeffs1", "D1"),
    ("distCoeffs2", "D2"),
)
_SIZES = ("image_width", "image_height"), ("image_width_1", "image_height_1"), ("image_width_2", "image_height_2")
_MODELS = ("plumb_bob", "rational_polynomial")
_SAME = 1e-9
Record = Mapping[str, Any]


def load_lens(path: Path) -> Lens:
    """Load the lens of one camera from an OpenCV calibration (YAML, XML or JSON) or a ROS camera_info file.

    Raises:
        InputError: the file has no camera matrix and distortion.
    """
    record = _read(path)
    return _lens(path, record, 0)


def load_opencv(path: Path) -> Rig:
    """Load a rig from an OpenCV stereo calibration: the first camera is `a`, the second `b`.

    The file has either R1, P1, R2 and P2 (rectified, without parallax at infinity), or R and T in meters from the first
    to the second camera, as returned by `cv2.stereoCalibrate`.

    Raises:
        InputError: the file is not a stereo calibration.
    """
    record = _read(path)
    lens_a, lens_b = _lens(path, record, 1), _lens(path, record, 2)
    sizes = [_size(path, record, camera) for camera in (1, 2)]
    if "R1" in record and "R2" in record:
        rectified = [_matrix(path, record, f"{name}{camera}") for name in "RP" for camera in (1, 2)]
        turn_a, turn_b, project_a, project_b = rectified
        return _rectified((lens_a, lens_b), (turn_a, turn_b), (project_a, project_b), (sizes[0], sizes[1]))
    turn, shift = _matrix(path, record, "R"), _matrix(path, record, "T").ravel()
    if shift.shape != (3,):
        raise _unusable(path, "T is not a vector of three numbers")
    matrix = lens_a.camera_matrix @ turn.T @ np.linalg.inv(lens_b.camera_matrix)
    parallax = -lens_a.camera_matrix @ turn.T @ shift
    scale = matrix[2, 2]
    return Rig(sizes[0], sizes[1], matrix / scale, lens_a, lens_b, np.inf, parallax / scale)


def save_opencv(rig: Rig, path: Path, *, overwrite: bool = False) -> None:
    """Save a rig as M1, D1, R1, P1 (of `a`) and M2, D2, R2, P2 (of `b`) for `cv2.initUndistortRectifyMap`.

    With the map of the first camera, computed for the size of the second, `cv2.remap` warps `a` onto the undistorted
    `b`.

    Raises:
        InputError: the file exists or cannot be written.
    """
    check_writable(path, overwrite=overwrite)
    lenses, turn = _lenses(rig), _turn_of(rig)
    suffix = path.suffix.lower() if path.suffix.lower() in (".xml", ".json") else ".yml"
    storage = cv2.FileStorage(suffix, cv2.FileStorage_WRITE | cv2.FileStorage_MEMORY)
    named = zip((1, 2), lenses, (turn, np.eye(3)), (rig.size_moving, rig.size_fixed), strict=True)
    for camera, lens, rotation, size in named:
        for key, side in zip(_SIZES[camera], reversed(size), strict=True):
            storage.write(key, side)
        storage.write(f"M{camera}", lens.camera_matrix)
        storage.write(f"D{camera}", lens.distortion[None])
        storage.write(f"R{camera}", rotation)
        storage.write(f"P{camera}", np.hstack([lenses[1].camera_matrix, np.zeros((3, 1))]))
    write_text_atomic(path, storage.releaseAndGetString())


def load_ros(a: Path, b: Path) -> Rig:
    """Load a rig from the camera_info YAML files of two cameras that were calibrated together.

    Raises:
        InputError: a file is not a camera_info file.
    """
    records = [_read(path) for path in (a, b)]
    lenses = [_lens(path, record, 0) for path, record in zip((a, b), records, strict=True)]
    sizes = [_size(path, record, 0) for path, record in zip((a, b), records, strict=True)]
    turns = [_matrix(path, record, "rectification_matrix") for path, record in zip((a, b), records, strict=True)]
    projections = [_matrix(path, record, "projection_matrix") for path, record in zip((a, b), records, strict=True)]
    return _rectified(
        (lenses[0], lenses[1]), (turns[0], turns[1]), (projections[0], projections[1]), (sizes[0], sizes[1])
    )


def save_ros(rig: Rig, a: Path, b: Path, *, overwrite: bool = False) -> None:
    """Save a rig as two camera_info YAML files that `camera_calibration_parsers` can read.

    Raises:
        InputError: a file exists or cannot be written.
    """
    for path in (a, b):
        check_writable(path, overwrite=overwrite)
    lenses = _lenses(rig)
    projection = np.hstack([lenses[1].camera_matrix, np.zeros((3, 1))])
    for path, name, size, lens, turn in (
        (a, "thermal", rig.size_moving, lenses[0], _turn_of(rig)),
        (b, "visible", rig.size_fixed, lenses[1], np.eye(3)),
    ):
        record = {
            "image_width": size[1],
            "image_height": size[0],
            "camera_name": name,
            "camera_matrix": _ros_matrix(lens.camera_matrix),
            "distortion_model": "rational_polynomial" if len(lens.distortion) == 8 else "plumb_bob",
            "distortion_coefficients": _ros_matrix(lens.distortion[None]),
            "rectification_matrix": _ros_matrix(turn),
            "projection_matrix": _ros_matrix(projection),
        }
        write_text_atomic(path, yaml.safe_dump(record, sort_keys=False))


def _lenses(rig: Rig) -> tuple[Lens, Lens]:
    return rig.lens_moving or nominal_lens(rig.size_moving), rig.lens_fixed or nominal_lens(rig.size_fixed)


def _turn_of(rig: Rig) -> Float[np.ndarray, "3 3"]:
    """Return R of `a`, which maps rays of `a` to rays of `b`."""
    lens_a, lens_b = _lenses(rig)
    turn = np.linalg.inv(lens_b.camera_matrix) @ np.linalg.inv(rig.matrix) @ lens_a.camera_matrix
    return np.asarray(turn / np.cbrt(np.linalg.det(turn)))


def _rectified(
    lenses: tuple[Lens, Lens],
    turns: tuple[np.ndarray, np.ndarray],
    projections: tuple[np.ndarray, np.ndarray],
    sizes: tuple[tuple[int, int], tuple[int, int]],
) -> Rig:
    """Build the rig of two cameras from the R and P that rectify them."""
    to_a, to_b = (lens.camera_matrix @ np.linalg.inv(turn) for lens, turn in zip(lenses, turns, strict=True))
    offsets = [p[:, 3] / np.diag(p)[:3] if p.shape == (3, 4) else np.zeros(3) for p in projections]
    matrix = to_a @ np.linalg.inv(to_b)
    parallax = to_a @ (offsets[0] - offsets[1])
    scale = matrix[2, 2]
    apart = bool(np.abs(parallax).max() > _SAME)
    return Rig(sizes[0], sizes[1], matrix / scale, *lenses, np.inf, parallax / scale if apart else None)


def _ros_matrix(values: np.ndarray) -> dict[str, Any]:
    return {"rows": values.shape[0], "cols": values.shape[1], "data": [float(value) for value in values.ravel()]}


def _read(path: Path) -> Record:
    """Read the values of a ROS or OpenCV file by key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.\nCheck the path.") from None
    except UnicodeDecodeError:
        raise _unusable(path, "it is not text") from None
    if not text.startswith("%YAML") and path.suffix.lower() in (".yaml", ".yml"):
        try:
            record = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError):
            raise _unusable(path, "it is not YAML") from None
        if not isinstance(record, dict):
            raise _unusable(path, "no record")
        return record
    try:
        storage = cv2.FileStorage(text, cv2.FileStorage_READ | cv2.FileStorage_MEMORY)
        root = storage.root()
        nodes = {key: root.getNode(key) for key in root.keys()}  # noqa: SIM118  # not a dictionary
        return {
            key: node.mat() if node.isMap() else node.real() if node.isReal() or node.isInt() else node.string()
            for key, node in nodes.items()
            if node.isMap() or node.isReal() or node.isInt() or node.isString()
        }
    except (cv2.error, SystemError):
        raise _unusable(path, "OpenCV cannot read it") from None


def _lens(path: Path, record: Record, camera: int) -> Lens:
    model = record.get("distortion_model") or "plumb_bob"
    if model not in _MODELS:
        raise _unusable(path, f"the distortion model '{model}'")
    keys = [next((key for key in names[camera] if key in record), None) for names in (_MATRIX_KEYS, _DISTORTION_KEYS)]
    if keys[0] is None or keys[1] is None:
        raise _unusable(path, f"no {'camera matrix' if keys[0] is None else 'distortion'} among {', '.join(record)}")
    matrix, distortion = (_matrix(path, record, key) for key in (keys[0], keys[1]))
    try:
        return Lens(matrix, distortion.ravel())
    except ValueError as error:
        raise _unusable(path, str(error)) from None


def _matrix(path: Path, record: Record, key: str) -> np.ndarray:
    value = record.get(key)
    try:
        if isinstance(value, Mapping):
            value = np.reshape(np.array(value["data"], float), (int(value["rows"]), int(value["cols"])))
        matrix = np.array(value, float)
    except (KeyError, TypeError, ValueError):
        raise _unusable(path, f"'{key}' is not a matrix") from None
    if not matrix.ndim or not matrix.size or not np.isfinite(matrix).all():
        raise _unusable(path, f"no matrix '{key}'")
    return matrix


def _size(path: Path, record: Record, camera: int) -> tuple[int, int]:
    names = [
        next((key for key in (one, _SIZES[0][axis]) if key in record), None) for axis, one in enumerate(_SIZES[camera])
    ]
    sides = [record[name] for name in names if name is not None]
    if len(sides) != 2 or not all(isinstance(side, (int, float)) and side >= 1 for side in sides):
        raise _unusable(path, f"no size of the images ({', '.join(_SIZES[camera])})")
    return int(sides[1]), int(sides[0])


def _unusable(path: Path, found: str) -> InputError:
    return InputError(
        f"'{path}' does not contain a usable calibration.\n"
        "  expected: an OpenCV calibration (camera matrix and distortion) or a ROS camera_info file\n"
        f"  got: {found}\nCheck that the file belongs to this camera."
    )
