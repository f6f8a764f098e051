"""Resample a volume to the grid of another, slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.volume import Volume, load, reorient

Slice = tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]
_SAME_GRID = 1e-3  # voxels by which two grids may differ at their corners and still count as one
_HALF = 0.5  # weight of valid neighbors from which an interpolated voxel counts as valid


def resample_to(source: Volume, affine: NDArray[Any], shape: tuple[int, ...]) -> Callable[[int], Slice]:
    """A function that returns one slice of a volume on another grid, and where the volume has data.

    Linear interpolation; none at all if the grids coincide. Before it goes onto a coarser grid, the volume is
    smoothed to the resolution of that grid, or fine structure would turn into false texture. Invalid voxels are
    excluded from the interpolation.

    Source: M. J. Cardoso, M. Modat, T. Vercauteren, S. Ourselin, "Scale factor point spread function matching: beyond
    aliasing in image resampling", MICCAI 2015, equation 5 for diagonal covariances.

    Args:
        source: the volume to resample.
        affine: (4, 4) of the grid, voxel to RAS+ millimeters.
        shape: (h, w, slices) of the grid.

    Raises:
        InputError: the two fields of view do not overlap.
    """
    step = np.linalg.inv(source.affine) @ affine
    ends = np.array(np.meshgrid(*[(0, side - 1) for side in shape])).reshape(3, -1)
    mapped = step[:3, :3] @ ends + step[:3, 3:]
    order, signs = _same_axes(step)
    if order is not None:
        reoriented = reorient(source.values, order, signs)
        corners = np.rint(mapped).astype(int)
        if (
            reoriented.shape == tuple(shape)
            and np.abs(mapped - corners).max() < _SAME_GRID
            and not corners.min(1).any()
        ):
            valid = np.broadcast_to(True, shape) if source.valid is None else reorient(source.valid, order, signs)
            return lambda k: (np.ascontiguousarray(reoriented[:, :, k]), np.ascontiguousarray(valid[:, :, k]))
    return _resampled(source, step, shape)


def _same_axes(step: NDArray[Any]) -> tuple[list[int] | None, list[int]]:
    """Order and signs of the axes, if the step from grid to grid changes nothing else."""
    whole = np.rint(step[:3, :3])
    if np.abs(step[:3, :3] - whole).max() > 1e-5 or not (np.abs(whole).sum(0) == 1).all():
        return None, []
    order = np.abs(whole).argmax(0).tolist()
    return order, [int(whole[voxel, new]) for new, voxel in enumerate(order)]


def _resampled(source: Volume, step: NDArray[Any], shape: tuple[int, ...]) -> Callable[[int], Slice]:
    ndimage = load("scipy.ndimage")
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    limits = np.array(source.values.shape) - 0.5

    def inside(k: int) -> NDArray[np.bool_]:
        found = np.ones(shape[:2], np.bool_)
        for axis in range(3):
            position = step[axis, 0] * rows + step[axis, 1] * columns + step[axis, 2] * k + step[axis, 3]
            found &= (position >= -0.5 - 1e-6) & (position <= limits[axis] + 1e-6)
        return found

    if not any(inside(k).any() for k in range(shape[2])):
        raise InputError(_no_overlap(source, step, shape))
    values, weights = _smoothed(source, step)

    def cut(volume: NDArray[Any], k: int) -> NDArray[np.float32]:
        start = step[:3, 2] * k + step[:3, 3]
        found: NDArray[np.float32] = ndimage.affine_transform(
            volume, step[:3, :3], start, (shape[0], shape[1], 1), output=np.float32, order=1, mode="nearest"
        )[..., 0]
        return found

    def at(k: int) -> Slice:
        if weights is None:
            return cut(values, k), inside(k)
        weight = cut(weights, k)
        return cut(values, k) / np.maximum(weight, np.float32(1e-6)), inside(k) & (weight >= _HALF)

    return at


def _smoothed(source: Volume, step: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Values at the resolution of the grid; if some are not valid, times their weight, and the weights."""
    ndimage = load("scipy.ndimage")
    coarser = np.linalg.norm(step[:3, :3], axis=1)  # extent of a voxel of the grid, in voxels of the source
    sigma = np.sqrt(np.maximum(coarser**2 - 1, 0) / (8 * np.log(2)))
    sigma = np.minimum(sigma, source.values.shape)  # wider ones only average the same values again

    def smooth(volume: NDArray[Any]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (
            ndimage.gaussian_filter(volume, sigma, mode="nearest") if sigma.max() > 0.1 else volume
        )
        return found

    if source.valid is None:
        return smooth(source.values), None
    valid = source.valid.astype(np.float32)
    return smooth(source.values * valid), smooth(valid)


def _no_overlap(source: Volume, step: NDArray[Any], shape: tuple[int, ...]) -> str:
    grid = Volume(np.broadcast_to(np.float32(0), shape), source.affine @ step, Path())

    def box(volume: Volume) -> str:
        return ", ".join(f"{low:.0f} .. {high:.0f}" for low, high in zip(*volume.corners(), strict=True))

    return (
        "The fields of view do not overlap.\n"
        f"  grid of the result: {box(grid)} mm\n  '{source.path}': {box(source)} mm\n"
        "Check that both volumes show the same region of the same patient, and register them first."
    )
