"""Positions of the slices of a DICOM series, and whether they form one volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.elements import number, whole_number

TOLERANCE = 1e-3  # of spacings (relative) and direction cosines, within one series
_UNEVEN = 0.05  # of a step between slices: how far from its expected position a slice may be
_WIDEST = 3.0  # ratio of unequal distances up to which slices are interpolated


@dataclass(frozen=True)
class SliceGeometry:
    """One slice: its position (LPS, millimeters), and which frame of which file it is."""

    position: Float[np.ndarray, " 3"]
    axes: Float[np.ndarray, "2 3"]  # directions of rising column and row numbers
    spacing: tuple[float, float]  # between columns, between rows
    thickness: float
    size: tuple[int, int]
    scale: tuple[float, float] | None  # slope and intercept of this frame alone
    frame: int
    file: Path
    header: Any


@dataclass(frozen=True)
class SliceStack:
    """Sorted slices, and the regular grid that they form.

    Attributes:
        slices: sorted along their normal.
        step: from one slice of the grid to the next (LPS, millimeters).
        depths: of the slices, in steps from the first: 0, 1, 2, ... if they are evenly spaced.
        count: of slices of the grid; more than there are slices if they are not evenly spaced.
    """

    slices: list[SliceGeometry]
    step: NDArray[Any]
    depths: NDArray[Any]
    count: int


def slice_geometries(file: Path, header: Any, *, colors: bool = False) -> Iterator[SliceGeometry]:
    """The slices of one file, by its header: classic, enhanced (functional groups), or SPECT.

    Args:
        file: path, for messages and for reading the pixels.
        header: its elements.
        colors: whether color is allowed.

    Raises:
        InputError: color that is not wanted, or no geometry.
    """
    if header.get("SamplesPerPixel", 1) != 1 and not colors:
        raise InputError(
            f"Cannot use '{file}': it contains colors, not measured values.\n  expected: one value per pixel\n"
            f"  got: {header.get('PhotometricInterpretation')}\nPass the series from which it was made."
        )
    try:
        yield from _frames(file, header)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Cannot use '{file}': its slices have no position.\n"
            f"  expected: ImagePositionPatient, ImageOrientationPatient, PixelSpacing\n  got: {error}\n"
            "Export the series again, or convert it to NIfTI."
        ) from None


def _frames(file: Path, header: Any) -> Iterator[SliceGeometry]:
    count = whole_number(header, "NumberOfFrames", 1)
    if "PerFrameFunctionalGroupsSequence" in header:  # enhanced CT, MR and PET
        groups = header.PerFrameFunctionalGroupsSequence
        if len(groups) != count:
            raise ValueError(f"{count} frames, but {len(groups)} positions")
        shared = header.SharedFunctionalGroupsSequence[0]
        for index, own in enumerate(groups):
            position = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
            orientation = _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
            measures = _group(own, shared, "PixelMeasuresSequence")
            scale = _group(own, shared, "PixelValueTransformationSequence", {})
            linear = (number(scale, "RescaleSlope", 1), number(scale, "RescaleIntercept", 0)) if scale else None
            thickness = number(measures, "SliceThickness", 1.0)
            yield _slice(position, orientation, measures, thickness, linear, index, file, header)
        return
    detector = (header.get("DetectorInformationSequence") or [header])[0]  # SPECT keeps its geometry there
    position = detector.get("ImagePositionPatient", header.get("ImagePositionPatient"))
    orientation = detector.get("ImageOrientationPatient", header.get("ImageOrientationPatient"))
    if not position or not orientation:
        raise ValueError("no position or no orientation")
    spacing = number(header, "SpacingBetweenSlices", 0.0)
    first = _slice(position, orientation, header, spacing or number(header, "SliceThickness", 1.0), None, 0, file,
                   header)  # fmt: skip
    if count > 1 and header.get("Modality") != "NM":
        raise ValueError("several frames in a file without functional groups")
    normal = np.cross(*first.axes)
    step = (spacing or first.thickness) if count > 1 else 0.0
    for index in range(count):  # of SPECT: the step may be negative
        at = first.position + index * step * normal
        yield SliceGeometry(at, first.axes, first.spacing, first.thickness, first.size, None, index, file, header)


def _group(own: Any, shared: Any, name: str, otherwise: Any = None) -> Any:
    for groups in (own, shared):
        if groups.get(name):
            return groups[name][0]
    if otherwise is None:
        raise KeyError(name)
    return otherwise


def _slice(
    position: Any, orientation: Any, measures: Any, thickness: float, scale: tuple[float, float] | None, frame: int,
    file: Path, header: Any,
) -> SliceGeometry:  # fmt: skip
    axes = np.array([float(value) for value in orientation]).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > 2 * TOLERANCE or not np.isfinite(axes).all():
        raise ValueError(f"the direction cosines are not at right angles: {axes.round(4).tolist()}")
    rows, columns = (float(value) for value in measures.PixelSpacing)
    at = np.array([float(value) for value in position]).reshape(3)
    if not (np.isfinite(at).all() and 0 < rows < np.inf and 0 < columns < np.inf):
        raise ValueError(f"position {at.tolist()}, PixelSpacing {rows:g}, {columns:g}")
    size = (whole_number(header, "Columns", 0), whole_number(header, "Rows", 0))
    return SliceGeometry(at, axes, (columns, rows), abs(thickness) or 1.0, size, scale, frame, file, header)


def sort_slices(slices: list[SliceGeometry], path: Path) -> SliceStack:
    """Sort slices along their normal, and determine their regular grid.

    Raises:
        InputError: slices that differ in size, spacing or orientation, that are missing, of several volumes, or that
            are not in line.
    """
    first = slices[0]
    for other in slices:
        _check_consistent(first, other, path)
    normal = np.cross(*np.mean([one.axes for one in slices], axis=0))
    normal /= np.linalg.norm(normal)
    slices = sorted(slices, key=lambda one: float(one.position @ normal))
    if len(slices) == 1:
        return SliceStack(slices, normal * first.thickness, np.zeros(1), 1)
    depths = np.array([one.position @ normal for one in slices])
    gaps = np.diff(depths)
    common = float(np.median(gaps))
    if gaps.min() < max(1e-3, _UNEVEN * common):
        at = int(gaps.argmin())
        raise InputError(
            f"'{path}' has several slices at the same position: it is 4-D, with several volumes (times, "
            "weightings) in one "
            f"series.\n  '{slices[at].file.name}' and '{slices[at + 1].file.name}' at {depths[at]:.2f} mm\n"
            "Move the files of each volume into their own folder."
        )
    if gaps.max() <= (1 + _UNEVEN) * gaps.min():
        count, steps = len(slices), np.arange(len(slices), dtype=np.float64)
    else:
        _check_uneven(slices, gaps, depths, common, path)
        count = round(float((depths[-1] - depths[0]) / gaps.min())) + 1
        steps = (depths - depths[0]) / (depths[-1] - depths[0]) * (count - 1)
    step = (slices[-1].position - slices[0].position) / (count - 1)
    line = slices[0].position + steps[:, None] * step
    offset = float(np.linalg.norm(np.array([one.position for one in slices]) - line, axis=1).max())
    if offset > _UNEVEN * np.linalg.norm(step) + 1e-3:
        raise InputError(
            f"The slices of '{path}' are not aligned.\n  expected: all on one line\n"
            f"  got: one {offset:.3f} mm off\nConvert the series to NIfTI with a tool that can resample it."
        )
    return SliceStack(slices, step, steps, count)


def _check_consistent(first: SliceGeometry, other: SliceGeometry, path: Path) -> None:
    spacings = np.array([first.spacing, other.spacing])
    differ = (
        np.abs(spacings[1] / spacings[0] - 1).max() > TOLERANCE or np.abs(other.axes - first.axes).max() > TOLERANCE
    )
    if differ or other.size != first.size:
        raise InputError(
            f"The slices of '{path}' do not form one volume: their sizes, spacings or orientations differ.\n"
            f"  '{first.file.name}': {first.size}, {first.spacing} mm, {first.axes.round(4).tolist()}\n"
            f"  '{other.file.name}': {other.size}, {other.spacing} mm, {other.axes.round(4).tolist()}\n"
            "Move localizers and other planes into separate folders."
        )


def _check_uneven(
    slices: list[SliceGeometry], gaps: NDArray[Any], depths: NDArray[Any], common: float, path: Path
) -> None:
    """Refuse missing slices, and distances too unequal to interpolate.

    A few gaps of whole multiples of the common distance are missing slices; anything else is unequal spacing.
    """
    wide = gaps > (1 + _UNEVEN) * common
    multiples = gaps[wide] / common
    whole = np.abs(multiples - np.rint(multiples)) < _UNEVEN * np.rint(multiples)
    if wide.any() and whole.all() and wide.sum() <= len(gaps) / 3 and (gaps[~wide] > (1 - _UNEVEN) * common).all():
        at = int(gaps.argmax())
        raise InputError(
            f"Slices of '{path}' are missing: about {round(float(gaps[at]) / common) - 1} after "
            f"'{slices[at].file.name}'.\n  expected: {common:.3f} mm from slice to slice\n  got: {gaps[at]:.3f} mm, "
            f"from {depths[at]:.2f} to {depths[at + 1]:.2f} mm\n"
            "Copy the series again; missing slices are not interpolated."
        )
    if gaps.max() > _WIDEST * gaps.min():
        raise InputError(
            f"The slices of '{path}' are unevenly spaced.\n"
            f"  expected: distances that differ by at most a factor of {_WIDEST:g}\n"
            f"  got: {gaps.min():.3f} to {gaps.max():.3f} mm\n"
            "Move the evenly spaced part of the series into its own folder."
        )
