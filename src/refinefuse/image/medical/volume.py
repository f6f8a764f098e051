"""A volume, where it lies in the patient, and how it is brought onto another grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray

from refinefuse.errors import InputError, MissingDependencyError

Modality = Literal["CT", "MR", "PT", "NM", ""]
NAMES = {"CT": "CT", "MR": "MRI", "PT": "PET", "NM": "SPECT", "": "of unknown kind"}
NOT_A_DEVICE = "Made by RefineFuse. Not a medical device: not for diagnosis or treatment."
Slice = tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]
_PARALLEL = 1e-3  # voxels by which two grids may differ at their corners and still count as one


@dataclass(frozen=True)
class Volume:
    """Values on a grid in the patient.

    Attributes:
        values: (i, j, k) in `unit`.
        affine: (4, 4), from voxel (i, j, k, 1) to millimeters, x to the left-to-right, y to the front, z to the head
            (RAS+, as NIfTI has it).
        path: the file or folder that it was read from.
        modality: as DICOM abbreviates it; empty where nothing says.
        unit: HU, SUV, another unit as the file names it, or empty.
        patient: name and identity, for messages; empty where the file has none.
        frame: DICOM's frame of reference: volumes that share it lie in one space; empty where the file has none.
        headers: DICOM datasets without pixels, one a slice; empty for NIfTI.
        header: the NIfTI header; None for DICOM.
        window: center and width that a DICOM file suggests for display.
        warnings: what a user should know about how it was read.

    Raises:
        InputError: the affine has no inverse, or there are no voxels.
    """

    values: Float32[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    path: Path
    modality: Modality = ""
    units: str = ""
    patient: str = ""
    frame: str = ""
    headers: tuple[Any, ...] = ()
    header: Any = None
    window: tuple[float, float] | None = None
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.size == 0:
            raise InputError(
                f"Cannot use '{self.path}': a volume has three dimensions, and voxels.\n  found: {self.values.shape}\n"
                "Split series in time into single volumes first."
            )
        axes = self.affine[:3, :3]
        lengths = np.linalg.norm(axes, axis=0)
        if not np.isfinite(self.affine).all() or lengths.min() == 0 or abs(np.linalg.det(axes / lengths)) < 1e-6:
            rows = "\n".join(f"    {' '.join(f'{value:9.4g}' for value in row)}" for row in self.affine)
            raise InputError(
                f"Cannot use '{self.path}': its affine is singular, so that the file does not say where the voxels "
                f"lie.\n  found:\n{rows}\nWrite the file again with a valid orientation (sform or qform)."
            )

    @property
    def spacing(self) -> Float[np.ndarray, " 3"]:
        """Distance of neighboring voxels along i, j and k in millimeters."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def description(self) -> str:
        """One line on what it is."""
        size = " x ".join(str(side) for side in self.values.shape)
        spacing = " x ".join(f"{side:.4g}" for side in self.spacing)
        return f"{NAMES[self.modality]}, {size} voxels of {spacing} mm, '{self.path}'"

    def corners(self) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """The box in millimeters that holds all voxels."""
        ends = np.array(np.meshgrid(*[(-0.5, side - 0.5) for side in self.values.shape])).reshape(3, -1)
        places = self.affine[:3, :3] @ ends + self.affine[:3, 3:]
        return places.min(1), places.max(1)


def display_orientation(affine: NDArray[Any], shape: tuple[int, ...]) -> tuple[list[int], list[int], NDArray[Any]]:
    """How to turn a grid so that its slices are images as a radiologist sees them, the first axis being the rows.

    Slices are cut across the axis with the widest spacing if it is wider by a fifth, as scanners do, and along the
    body (axial) otherwise. Axial images have the front at the top and the patient's right on their left.

    Args:
        affine: (4, 4), voxel to RAS+ millimeters.
        shape: of the grid.

    Returns:
        The order of the axes (rows, columns, slices), +1 or -1 for each of the new axes (-1: reversed), and the affine
        of the rotated_or_flipped grid. Values are rotated_or_flipped by `turn`, and back by `reorient_back`.
    """
    world = load("nibabel.orientations", "nibabel").io_orientation(affine)[:, 0]
    world = np.where(np.isnan(world), 3, world).astype(int)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    widest = int(lengths.argmax())
    across = widest if lengths[widest] > 1.2 * np.sort(lengths)[1] else int(np.flatnonzero(world == 2)[0])
    # For slices across x, y or z: the world axis and the wanted direction of rows and columns; slices go upwards.
    plans = {0: ((2, -1), (1, -1)), 1: ((2, -1), (0, -1)), 2: ((1, -1), (0, -1))}
    wanted = (*plans[world[across]], (world[across], 1))
    order = [int(np.flatnonzero(world == axis)[0]) for axis, _ in wanted]
    signs = [1 if affine[axis, voxel] * sign > 0 else -1 for voxel, (axis, sign) in zip(order, wanted, strict=True)]
    rotated_or_flipped = affine.copy()
    for new, (voxel, sign) in enumerate(zip(order, signs, strict=True)):
        rotated_or_flipped[:, new] = affine[:, voxel] * sign
        if sign < 0:
            rotated_or_flipped[:, 3] += affine[:, voxel] * (shape[voxel] - 1)
    return order, signs, rotated_or_flipped


def reorient(values: NDArray[Any], order: list[int], signs: list[int]) -> NDArray[Any]:
    """Turn the first three axes as `display_orientation` says, without copying."""
    rest = list(range(3, values.ndim))
    return values.transpose(*order, *rest)[tuple(slice(None, None, sign) for sign in signs)]


def reorient_back(values: NDArray[Any], order: list[int], signs: list[int]) -> NDArray[Any]:
    """The inverse of `turn`."""
    rest = list(range(3, values.ndim))
    back = values[tuple(slice(None, None, sign) for sign in signs)]
    return back.transpose(*np.argsort(order).tolist(), *rest)


def resample_to(source: Volume, affine: NDArray[Any], shape: tuple[int, ...]) -> Callable[[int], Slice]:
    """A function that gives one slice of a volume on another grid at a time, and where the volume has data.

    Linear interpolation; none at all where the grids coincide. Before it goes onto a coarser grid, the volume is
    smoothed to the resolution of that grid, or fine structure would turn into false texture.

    Source: M. J. Cardoso, M. Modat, T. Vercauteren, S. Ourselin, "Scale factor point spread function matching: beyond
    aliasing in image resampling", MICCAI 2015, equation 5 for diagonal covariances.

    Args:
        source: what is brought onto the grid.
        affine: (4, 4) of the grid, voxel to RAS+ millimeters.
        shape: (h, w, slices) of the grid.

    Raises:
        InputError: the two fields of view do not overlap.
    """
    step = np.linalg.inv(source.affine) @ affine
    ends = np.array(np.meshgrid(*[(0, side - 1) for side in shape])).reshape(3, -1)
    moved = step[:3, :3] @ ends + step[:3, 3:]
    order, signs = _same_grid(step)
    if order is not None:
        rotated_or_flipped = reorient(source.values, order, signs)
        places = np.rint(moved).astype(int)
        if (
            rotated_or_flipped.shape == tuple(shape)
            and np.abs(moved - places).max() < _PARALLEL
            and not places.min(1).any()
        ):
            everywhere = np.ones(shape[:2], np.bool_)
            return lambda k: (np.ascontiguousarray(rotated_or_flipped[:, :, k]), everywhere)
    return _resampled(source, step, shape)


def _same_grid(step: NDArray[Any]) -> tuple[list[int] | None, list[int]]:
    """Order and signs of the axes, if the step from grid to grid only changes these."""
    whole = np.rint(step[:3, :3])
    if np.abs(step[:3, :3] - whole).max() > 1e-5 or not (np.abs(whole).sum(0) == 1).all():
        return None, []
    order = np.abs(whole).argmax(0).tolist()
    return order, [int(whole[voxel, new]) for new, voxel in enumerate(order)]


def _resampled(source: Volume, step: NDArray[Any], shape: tuple[int, ...]) -> Callable[[int], Slice]:
    ndimage = load("scipy.ndimage", "scipy")
    coarser = np.linalg.norm(step[:3, :3], axis=1)  # extent of a voxel of the grid, in voxels of the source
    blur = np.sqrt(np.maximum(coarser**2 - 1, 0) / (8 * np.log(2)))
    values = ndimage.gaussian_filter(source.values, blur, mode="nearest") if blur.max() > 0.1 else source.values
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    limits = np.array(source.values.shape) - 0.5

    def inside(k: int) -> NDArray[np.bool_]:
        found = np.ones(shape[:2], np.bool_)
        for axis in range(3):
            place = step[axis, 0] * rows + step[axis, 1] * columns + step[axis, 2] * k + step[axis, 3]
            found &= (place >= -0.5 - 1e-6) & (place <= limits[axis] + 1e-6)
        return found

    def cut(k: int) -> Slice:
        start = step[:3, 2] * k + step[:3, 3]
        found = ndimage.affine_transform(
            values, step[:3, :3], start, (shape[0], shape[1], 1), output=np.float32, order=1, mode="nearest"
        )
        return found[..., 0], inside(k)

    if not any(inside(k).any() for k in range(shape[2])):
        raise InputError(_apart(source, step, shape))
    return cut


def _apart(source: Volume, step: NDArray[Any], shape: tuple[int, ...]) -> str:
    grid = Volume(np.broadcast_to(np.float32(0), shape), source.affine @ step, Path())

    def box(volume: Volume) -> str:
        return ", ".join(f"{low:.0f} .. {high:.0f}" for low, high in zip(*volume.corners(), strict=True))

    return (
        "The fields of view do not overlap.\n"
        f"  grid of the result: {box(grid)} mm\n  '{source.path}': {box(source)} mm\n"
        "Check that both volumes show one region of one patient, and register them first."
    )


def load(module: str, library: str) -> Any:
    """Import a module of the extra `medical`.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(library, "medical", "ThermalOptions and writing medical volumes") from error
