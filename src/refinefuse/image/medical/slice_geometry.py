"""Where the slices of a DICOM series lie, and whether they make one volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from refinefuse.errors import InputError

_ASIDE = 0.05  # of a step between slices: how far from its place a slice may lie


@dataclass(frozen=True)
class SliceGeometry:
    """One slice: where it lies (LPS, millimeters), and which frame of which file it is."""

    position: Float[np.ndarray, " 3"]
    axes: Float[np.ndarray, "2 3"]  # directions of rising column and row numbers
    spacing: tuple[float, float]  # between columns, between rows
    thickness: float
    size: tuple[int, int]
    scale: tuple[float, float] | None  # slope and intercept of this frame alone
    frame: int
    file: Path
    header: Any


def slice_geometries(file: Path, header: Any) -> Iterator[SliceGeometry]:
    """The slices of one file, by its header: classic, enhanced (functional groups), or SPECT.

    Raises:
        InputError: color, or no geometry.
    """
    if header.get("SamplesPerPixel", 1) != 1:
        raise InputError(
            f"Cannot use '{file}': it holds colors, not measured values.\n  expected: one value a pixel\n"
            f"  found: {header.get('PhotometricInterpretation')}\nPass the series that it was made from."
        )
    try:
        yield from _frames(file, header)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Cannot use '{file}': it does not say where its slices lie.\n"
            f"  expected: ImagePositionPatient, ImageOrientationPatient, PixelSpacing\n  found: {error}\n"
            "Export the series again, or convert it to NIfTI."
        ) from None


def _frames(file: Path, header: Any) -> Iterator[SliceGeometry]:
    count = int(header.get("NumberOfFrames", 1) or 1)
    size = (int(header.Columns), int(header.Rows))
    if "PerFrameFunctionalGroupsSequence" in header:  # enhanced CT, MR and PET
        shared = header.SharedFunctionalGroupsSequence[0]
        for index, own in enumerate(header.PerFrameFunctionalGroupsSequence):
            place = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
            rotated_or_flipped = _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
            measures = _group(own, shared, "PixelMeasuresSequence")
            scale = _group(own, shared, "PixelValueTransformationSequence", {})
            linear = (float(scale.RescaleSlope), float(scale.RescaleIntercept)) if scale else None
            yield _plane(
                place, rotated_or_flipped, measures, measures.get("SliceThickness"), size, linear, index, file, header
            )
        return
    detector = (header.get("DetectorInformationSequence") or [header])[0]  # SPECT keeps its geometry there
    place = detector.get("ImagePositionPatient", header.get("ImagePositionPatient"))
    rotated_or_flipped = detector.get("ImageOrientationPatient", header.get("ImageOrientationPatient"))
    if place is None or rotated_or_flipped is None:
        raise ValueError("no position or no orientation")
    thickness = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    first = _plane(place, rotated_or_flipped, header, thickness, size, None, 0, file, header)
    if count > 1 and header.get("Modality") != "NM":
        raise ValueError("several frames in a file without functional groups")
    normal = np.cross(*first.axes)
    step = float(header.get("SpacingBetweenSlices") or first.thickness) if count > 1 else 0.0
    for index in range(count):  # of SPECT: the step may be negative
        position = first.position + index * step * normal
        yield SliceGeometry(position, first.axes, first.spacing, first.thickness, size, None, index, file, header)


def _group(own: Any, shared: Any, name: str, otherwise: Any = None) -> Any:
    for groups in (own, shared):
        if groups.get(name):
            return groups[name][0]
    if otherwise is None:
        raise KeyError(name)
    return otherwise


def _plane(
    place: Any, rotated_or_flipped: Any, measures: Any, thickness: Any, size: tuple[int, int], scale: Any, frame: int,
    file: Path, header: Any,
) -> SliceGeometry:  # fmt: skip
    axes = np.array([float(value) for value in rotated_or_flipped]).reshape(2, 3)
    rows, columns = (float(value) for value in measures.PixelSpacing)
    position = np.array([float(value) for value in place]).reshape(3)
    thick = abs(float(thickness or 1.0))
    return SliceGeometry(position, axes, (columns, rows), thick, size, scale, frame, file, header)


def sort_slices(planes: list[SliceGeometry], path: Path) -> tuple[list[SliceGeometry], NDArray[Any]]:
    """Slices in the order of their normal, and the step from one to the next (LPS, millimeters).

    Raises:
        InputError: slices that differ in size, spacing or orientation, that are missing or doubled, or that do not lie
            in one row.
    """
    first = planes[0]
    for plane in planes:
        if plane.size != first.size or plane.spacing != first.spacing or np.abs(plane.axes - first.axes).max() > 1e-4:
            raise InputError(
                f"The slices of '{path}' do not make one volume: sizes, spacings or orientations differ.\n"
                f"  '{first.file.name}': {first.size}, {first.spacing} mm, {first.axes.round(4).tolist()}\n"
                f"  '{plane.file.name}': {plane.size}, {plane.spacing} mm, {plane.axes.round(4).tolist()}\n"
                "Move localizers and other planes into folders of their own."
            )
    normal = np.cross(*first.axes)
    planes = sorted(planes, key=lambda plane: float(plane.position @ normal))
    if len(planes) == 1:
        return planes, normal * first.thickness
    depths = np.array([plane.position @ normal for plane in planes])
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    if gaps.min() < max(1e-3, _ASIDE * usual):
        at = int(gaps.argmin())
        raise InputError(
            f"'{path}' holds several slices at one place: several volumes (times, weightings) in one series.\n"
            f"  '{planes[at].file.name}' and '{planes[at + 1].file.name}' at {depths[at]:.2f} mm\n"
            "Pass the files of one volume in a folder of their own."
        )
    if gaps.max() > (1 + _ASIDE) * usual:
        at = int(gaps.argmax())
        missing = round(float(gaps[at]) / usual) - 1
        what = f"are missing: about {missing}" if missing else "do not lie at equal distances: more space"
        raise InputError(
            f"Slices of '{path}' {what} after '{planes[at].file.name}'.\n"
            f"  expected: {usual:.3f} mm from slice to slice\n  found: {gaps[at]:.3f} mm, from {depths[at]:.2f} to "
            f"{depths[at + 1]:.2f} mm\nCopy the series again; nothing is made up for slices that are not there."
        )
    step = (planes[-1].position - planes[0].position) / (len(planes) - 1)
    aside = max(float(np.linalg.norm(plane.position - planes[0].position - k * step)) for k, plane in enumerate(planes))
    if aside > _ASIDE * np.linalg.norm(step) + 1e-3:
        raise InputError(
            f"The slices of '{path}' do not lie in one row at equal distances.\n  expected: all on one line\n"
            f"  found: one {aside:.3f} mm aside\nConvert the series to NIfTI with a tool that resamples it."
        )
    return planes, step
