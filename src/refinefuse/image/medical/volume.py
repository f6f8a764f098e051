"""A medical volume: values, their position in the patient, and how slices are oriented for display."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray

from refinefuse.errors import InputError, optional
from refinefuse.image.pixels import LIMIT_VARIABLE

Modality = Literal["CT", "MR", "PT", "NM", ""]
NAMES = {"CT": "CT", "MR": "MRI", "PT": "PET", "NM": "SPECT", "": "of unknown kind"}
NOT_A_DEVICE = "Made by RefineFuse. Not a medical device: not for diagnosis or treatment."
COLORED: tuple[Modality, ...] = ("PT", "NM")  # what is shown in color
MAX_VOXELS = 2**30
"""Maximum number of voxels that a file may declare: 4 GiB as float32. Checked before allocation."""
_SPACING = (1e-4, 1e3)  # millimeters; from micro-CT to far beyond the coarsest scan
_RIGHT_ANGLE = 1e-3  # cosine of the angle between axes
_FARTHEST = 1e6  # millimeters from the origin


@dataclass(frozen=True)
class Volume:
    """Values on a grid in the patient.

    Attributes:
        values: (i, j, k) in `units`.
        affine: (4, 4), from voxel (i, j, k, 1) to millimeters, x from left to right, y to the front, z to the head
            (RAS+, as in NIfTI).
        path: the file or folder that it was read from.
        modality: as DICOM abbreviates it; empty if unknown.
        units: HU, SUV, other units as the file names them, or empty.
        patient: name and ID, for messages; empty if the file has neither.
        frame: DICOM's frame of reference: volumes with the same one lie in one space; empty if the file has none.
        headers: DICOM datasets without pixels, one per slice; empty for NIfTI.
        header: the NIfTI header; None for DICOM.
        window: center and width that a DICOM file suggests for display.
        warnings: what a user should know about how it was read.
        valid: which voxels hold a value (not padding, not NaN); None if all of them do.
        is_inverted: high values are displayed dark (MONOCHROME1): apply after the intensity range.

    Raises:
        InputError: there are no voxels, or the affine is singular or absurd.
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
    valid: Bool[np.ndarray, "i j k"] | None = None
    is_inverted: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.size == 0:
            raise InputError(
                f"Cannot use '{self.path}': a volume must have three dimensions and at least one voxel.\n"
                f"  expected: (i, j, k)\n  got: {self.values.shape}\nSplit a time series into single volumes first."
            )
        check_affine(self.affine, self.path)

    @property
    def spacing(self) -> Float[np.ndarray, " 3"]:
        """Distance of neighboring voxels along i, j and k in millimeters."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def is_orthogonal(self) -> bool:
        """Whether the axes of the grid are at right angles."""
        axes = self.affine[:3, :3] / self.spacing
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _RIGHT_ANGLE)

    @property
    def description(self) -> str:
        """Modality, size, spacing and path in one line."""
        size = " x ".join(str(side) for side in self.values.shape)
        spacing = " x ".join(f"{side:.4g}" for side in self.spacing)
        return f"{NAMES[self.modality]}, {size} voxels of {spacing} mm, '{self.path}'"

    def quantity(self, value: float) -> str:
        """A value as text, in the units of the volume."""
        return f"{value:g} {self.units}".rstrip()

    @property
    def corner_points(self) -> Float[np.ndarray, "3 8"]:
        """The corners of the field of view in millimeters."""
        ends = np.array(np.meshgrid(*[(-0.5, side - 0.5) for side in self.values.shape])).reshape(3, -1)
        return np.asarray(self.affine[:3, :3] @ ends + self.affine[:3, 3:])

    def corners(self) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Bounding box of all voxels in millimeters."""
        return self.corner_points.min(1), self.corner_points.max(1)

    def slice_values(self) -> list[NDArray[np.float32]]:
        """The valid values slice by slice, without padding and NaN."""
        if self.valid is None:
            return list(np.moveaxis(self.values, -1, 0))
        found = [self.values[:, :, k][self.valid[:, :, k]] for k in range(self.values.shape[2])]
        return [values for values in found if values.size]


def check_affine(affine: NDArray[Any], path: Path) -> None:
    """Check that an affine maps voxels to plausible positions.

    Raises:
        InputError: singular, not finite, or with a spacing or an origin that no scan has.
    """
    axes = affine[:3, :3]
    if np.isfinite(affine).all():
        lengths = np.linalg.norm(axes, axis=0)
        is_regular = lengths.min() > 0 and abs(np.linalg.det(axes / lengths)) >= 1e-6
        if is_regular and _SPACING[0] <= lengths.min() <= lengths.max() <= _SPACING[1]:
            if np.abs(affine[:3, 3]).max() <= _FARTHEST:
                return
            what = f"its origin is more than {_FARTHEST:g} mm away"
        elif is_regular:
            what = f"the spacing of its voxels must be {_SPACING[0]:g} to {_SPACING[1]:g} mm"
        else:
            what = "its affine is singular, so the voxels have no position"
    else:
        what = "its affine contains numbers that are not finite"
    rows = "\n".join(f"    {' '.join(f'{value:9.4g}' for value in row)}" for row in affine)
    raise InputError(
        f"Cannot use '{path}': {what}.\n  got:\n{rows}\nWrite the file again with a valid orientation and spacing."
    )


def check_voxel_count(shape: tuple[int, ...], path: Path, limit: int) -> None:
    """Refuse a declared size above the limit, before allocation.

    Raises:
        InputError: with both numbers.
    """
    count = 1
    for side in shape:
        count *= int(side)
    if count > limit:
        raise InputError(
            f"'{path}' declares more voxels than the limit allows.\n  expected: at most {limit:,}\n"
            f"  got: {' x '.join(str(side) for side in shape)} = {count:,}\n"
            "If the file is valid, crop or resample it first, or raise the limit: "
            f"`{LIMIT_VARIABLE}` in the environment."
        )


def different_patients(volumes: list[Volume], *, show_names: bool) -> list[str]:
    """Warnings about sources of different patients or frames of reference, compared with the last.

    A source without a patient differs from nobody.

    Args:
        volumes: the sources.
        show_names: whether the messages may name the patients (not if the result is anonymized).
    """
    last, found = volumes[-1], []
    for other in volumes[:-1]:
        if other.patient and last.patient and other.patient != last.patient:
            names = f": {other.patient} and {last.patient}" if show_names else ""
            found.append(f"the sources show different patients{names}")
        elif other.frame and last.frame and other.frame != last.frame:
            found.append(
                f"'{other.path}' and '{last.path}' have different frames of reference: unless they were registered, "
                "they are not aligned"
            )
    return found


def colored_last(volumes: list[Volume]) -> list[Volume]:
    """PET and SPECT after all others, which stay in their order: the last source gives the color."""
    return sorted(volumes, key=lambda volume: volume.modality in COLORED)


def exchanged_sources(volumes: list[Volume]) -> list[str]:
    """A warning if a PET or SPECT precedes a CT or MRI."""
    kinds = [volume.modality for volume in volumes]
    if kinds[-1] not in COLORED and set(COLORED) & set(kinds):
        return ["the PET or SPECT is not the last source, but was treated as the last one, whose color is kept"]
    return []


def finest(volumes: list[Volume]) -> int:
    """Index of the volume with the smallest voxels, the default grid; of equal ones the last.

    Grids at right angles come first: DICOM and many programs show no others (tilted gantry, affine registration).
    """
    upright = [index for index, volume in enumerate(volumes) if volume.is_orthogonal] or range(len(volumes))
    sizes = {index: float(np.prod(volumes[index].spacing)) for index in upright}
    return max(index for index, size in sizes.items() if size <= min(sizes.values()) * (1 + 1e-3))


def display_orientation(affine: NDArray[Any], shape: tuple[int, ...]) -> tuple[list[int], list[int], NDArray[Any]]:
    """How to reorient a grid so that its slices are images as a radiologist views them, rows first.

    Slices are cut across the axis with the widest spacing if it is wider by a fifth, as scanners do, and along the
    body (axial) otherwise. Axial images have the front at the top and the patient's right on their left.

    Args:
        affine: (4, 4), voxel to RAS+ millimeters.
        shape: of the grid.

    Returns:
        The order of the axes (rows, columns, slices), +1 or -1 for each of the new axes (-1: reversed), and the affine
        of the reoriented grid. `reorient` applies them to values, `reorient_back` undoes it.
    """
    world = load("nibabel.orientations").io_orientation(affine)[:, 0]
    world = np.where(np.isnan(world), 3, world).astype(int)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    widest = int(lengths.argmax())
    across = widest if lengths[widest] > 1.2 * np.sort(lengths)[1] else int(np.flatnonzero(world == 2)[0])
    # For slices across x, y or z: the world axis and the wanted direction of rows and columns; slices go upwards.
    views = {0: ((2, -1), (1, -1)), 1: ((2, -1), (0, -1)), 2: ((1, -1), (0, -1))}
    wanted = (*views[world[across]], (world[across], 1))
    order = [int(np.flatnonzero(world == axis)[0]) for axis, _ in wanted]
    signs = [1 if affine[axis, voxel] * sign > 0 else -1 for voxel, (axis, sign) in zip(order, wanted, strict=True)]
    reoriented = affine.copy()
    for new, (voxel, sign) in enumerate(zip(order, signs, strict=True)):
        reoriented[:, new] = affine[:, voxel] * sign
        if sign < 0:
            reoriented[:, 3] += affine[:, voxel] * (shape[voxel] - 1)
    return order, signs, reoriented


def reorient(values: NDArray[Any], order: list[int], signs: list[int]) -> NDArray[Any]:
    """Permute and flip the first three axes by the result of `display_orientation`, without copying."""
    rest = list(range(3, values.ndim))
    return values.transpose(*order, *rest)[tuple(slice(None, None, sign) for sign in signs)]


def reorient_back(values: NDArray[Any], order: list[int], signs: list[int]) -> NDArray[Any]:
    """The inverse of `reorient`."""
    rest = list(range(3, values.ndim))
    back = values[tuple(slice(None, None, sign) for sign in signs)]
    return back.transpose(*np.argsort(order).tolist(), *rest)


def load(module: str) -> Any:
    """Import a module of the extra `medical`.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    from importlib import import_module

    with optional("medical", "Reading and writing medical volumes"):
        return import_module(module)
