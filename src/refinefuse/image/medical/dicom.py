"""DICOM: the series of a folder, or one file, as a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.dicom_files import Series, is_dicom, read_series
from refinefuse.image.medical.elements import quiet_pydicom, text
from refinefuse.image.medical.pixels import Frames, PixelReader, check_declared_size
from refinefuse.image.medical.slice_geometry import SliceGeometry, SliceStack, slice_geometries, sort_slices
from refinefuse.image.medical.suv import suv_factor
from refinefuse.image.medical.volume import MAX_VOXELS, Modality, Volume, check_affine, check_voxel_count, load

__all__ = ["is_dicom", "read_dicom"]

_MODALITIES: dict[str, Modality] = {"CT": "CT", "MR": "MR", "PT": "PT", "NM": "NM"}
_ONE_PER_SERIES = ("Modality", "Units", "SUVType", "PhotometricInterpretation")


def read_dicom(path: Path, series: str | None = None, *, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read a series as a volume: slices sorted by position, in HU, SUV or the file's own units.

    Args:
        path: a file, or a folder with the files of one or more series at any depth; other files are ignored.
        series: number or UID of the series, if the folder holds several.
        max_voxels: maximum number of voxels that the series may declare; checked before allocation.

    Raises:
        InputError: no image, several series and no choice, a damaged file, slices that are missing, of several volumes,
            tilted against each other or of different sizes, color, or pixels that are missing or cannot be decoded.
        MissingDependencyError: pydicom is not installed.
    """
    load("pydicom")
    with quiet_pydicom():
        found = read_series(path, series)
        for file, header in found.files:
            check_declared_size(file, header, max_voxels)
        slices = [one for file, header in found.files for one in slice_geometries(file, header)]
        stack = sort_slices(slices, path)
        check_voxel_count((*stack.slices[0].size, stack.count), path, max_voxels)
        return _assemble(path, found, stack)


def _assemble(path: Path, series: Series, stack: SliceStack) -> Volume:
    affine = stack_affine(stack)
    check_affine(affine, path)
    header = stack.slices[0].header
    headers = [one.header for one in stack.slices]
    _check_agreement(path, headers)
    values, valid = _values(path, stack)
    notes = list(series.warnings)
    if stack.count != len(stack.slices):
        values, valid = _evenly_spaced(values, valid, stack)
        nearest = np.abs(stack.depths[:, None] - np.arange(stack.count)).argmin(0)
        headers = [headers[index] for index in nearest]
        notes.append(
            f"the {len(stack.slices)} slices of '{path}' are unevenly spaced: interpolated to {stack.count} "
            f"slices {np.linalg.norm(stack.step):.3g} mm apart"
        )
    modality = _MODALITIES.get(text(header, "Modality"), "")
    units = "HU" if modality == "CT" else text(header, "Units")
    if modality == "PT":
        factor, reason = suv_factor(headers)
        if factor is None:
            notes.append(f"no SUV for '{path}': {reason}")
        else:
            values *= np.float32(factor)
            units = "SUV"
    patient = (text(header, "PatientName"), text(header, "PatientID"))
    return Volume(
        values=values,
        affine=affine,
        path=path,
        modality=modality,
        units=units,
        patient=f"{patient[0]} ({patient[1]})" if any(patient) else "",
        frame=text(header, "FrameOfReferenceUID"),
        headers=tuple(headers),
        window=_window(header),
        warnings=tuple(notes),
        valid=valid,
        is_inverted=text(header, "PhotometricInterpretation") == "MONOCHROME1" and modality in ("MR", ""),
    )


def stack_affine(stack: SliceStack) -> NDArray[Any]:
    """(4, 4), from (column, row, slice) of a stack to RAS+ millimeters."""
    first = stack.slices[0]
    affine = np.eye(4)
    affine[:3, 0] = first.axes[0] * first.spacing[0]
    affine[:3, 1] = first.axes[1] * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = stack.step, first.position
    affine[:2] *= -1  # DICOM counts to the left and the back, RAS+ to the right and the front
    return affine


def _values(path: Path, stack: SliceStack) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Values (i, j, slice), with padding and numbers that are not finite replaced by the lowest value."""
    shape = (*stack.slices[0].size, len(stack.slices))
    values, valid = np.empty(shape, np.float32), np.ones(shape, np.bool_)
    decoded: dict[Path, Frames] = {}
    with PixelReader() as reader:
        for k, one in enumerate(stack.slices):
            if one.file not in decoded:
                decoded = {one.file: reader.read(one.file)}  # of one file at a time
            frames, mask = decoded[one.file]
            frame = _frame(one, frames)
            values[:, :, k] = (frame if one.scale is None else frame * one.scale[0] + one.scale[1]).T
            if mask is not None:
                valid[:, :, k] = mask[one.frame].T
    valid &= np.isfinite(values)
    if valid.all():
        return values, None
    if not valid.any():
        raise InputError(f"Cannot use '{path}': all of its pixels are padding.\nExport the series again.")
    values[~valid] = values[valid].min()
    return values, valid


def _frame(one: SliceGeometry, frames: NDArray[Any]) -> NDArray[Any]:
    if one.frame >= len(frames) or frames.shape[1:] != one.size[::-1]:
        raise InputError(
            f"Cannot use '{one.file}': it is damaged, or not an image of measured values (a segmentation?).\n"
            f"  expected: a frame {one.frame + 1} of {one.size[1]} x {one.size[0]}\n"
            f"  got: {' x '.join(str(side) for side in frames.shape)}\nExport the series again."
        )
    found: NDArray[Any] = frames[one.frame]
    return found


def _evenly_spaced(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None, stack: SliceStack
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Slices at 0, 1, 2, ... steps, each interpolated linearly between its two neighbors."""
    shape = (*values.shape[:2], stack.count)
    even, mask = np.empty(shape, np.float32), None if valid is None else np.empty(shape, np.bool_)
    for k in range(stack.count):
        above = int(np.clip(np.searchsorted(stack.depths, k), 1, len(stack.depths) - 1))
        low, high = stack.depths[above - 1 : above + 1]
        weight = np.float32(min(max((k - low) / (high - low), 0.0), 1.0))
        even[:, :, k] = values[:, :, above - 1] * (1 - weight) + values[:, :, above] * weight
        if mask is not None and valid is not None:
            mask[:, :, k] = (
                valid[:, :, above - 1 if weight < 1 else above] & valid[:, :, above if weight else above - 1]
            )
    return even, mask


def _check_agreement(path: Path, headers: list[Any]) -> None:
    """Raise an error if the meaning of the values differs between slices."""
    for keyword in _ONE_PER_SERIES:
        kinds = {text(header, keyword) or "nothing" for header in headers}
        if len(kinds) > 1:
            raise InputError(
                f"The slices of '{path}' differ in {keyword}.\n  expected: one value for the series\n"
                f"  got: {', '.join(sorted(kinds))}\nMove the slices of each kind into their own folder."
            )


def _window(header: Any) -> tuple[float, float] | None:
    """The first valid window of a file."""
    pair = []
    for keyword in ("WindowCenter", "WindowWidth"):
        value = header.get(keyword)
        first = value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) and value else value
        pair.append(None if first in (None, "") else float(first))
    center, width = pair
    return (center, width) if center is not None and width is not None and width > 0 else None
