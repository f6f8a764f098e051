"""DICOM: the series of a folder, or one file, as a volume."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from refinefuse.errors import InputError, MissingExtra, listing
from refinefuse.image.files import IMAGE_EXTENSIONS
from refinefuse.image.medical.suv import suv_factor
from refinefuse.image.medical.volume import Modality, Volume, load

_MODALITIES: dict[str, Modality] = {"CT": "CT", "MR": "MR", "PT": "PT", "NM": "NM"}
_LISTED = 20  # series: the user has to choose among them
_ASIDE = 0.05  # of a step between slices: how far from its place a slice may lie


@dataclass(frozen=True)
class _Plane:
    """One slice: where it lies (LPS, millimetres), and which frame of which file it is."""

    position: Float[np.ndarray, " 3"]
    axes: Float[np.ndarray, "2 3"]  # directions of rising column and row numbers
    spacing: tuple[float, float]  # between columns, between rows
    thickness: float
    size: tuple[int, int]
    scale: tuple[float, float] | None  # slope and intercept of this frame alone
    frame: int
    file: Path
    header: Any


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a folder holds DICOM files (at any depth) and no pictures of its own."""
    if path.is_dir():
        if any(entry.suffix.lower() in IMAGE_EXTENSIONS for entry in path.iterdir()):
            return False
        return any(is_dicom(file) for file in sorted(path.rglob("*")) if file.is_file())
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(path: Path, series: str | None = None) -> Volume:
    """Read a series as a volume: slices sorted by position, in HU, SUV or the file's own unit.

    Args:
        path: a file, or a folder with the files of one or more series at any depth.
        series: number or UID of the series, where the folder holds several.

    Raises:
        InputError: no image, several series and no choice, slices that are missing, doubled, tilted against each other
            or of different sizes, colour, pixels that are missing or cannot be decoded.
        MissingExtra: pydicom is not installed.
    """
    with _quiet():
        headers = _choose(path, _headers(path), series)
        planes, step = _sorted([plane for file, header in headers for plane in _planes(file, header)], path)
        return _assemble(path, planes, step)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pydicom's remarks on how tags are written: they concern neither values nor geometry."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _headers(path: Path) -> list[tuple[Path, Any]]:
    """The headers of all files that are images."""
    pydicom = load("pydicom", "pydicom")
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    found, others = [], []
    for file in files:
        header = _header(pydicom, file)
        if header is None or "Rows" not in header:
            others.append(f"{file.name}: {_kind(header)}")
        else:
            found.append((file, header))
    if not found:
        raise InputError(
            f"Cannot read '{path}': there is no DICOM image in it.\n  found:\n{listing(others)}\n"
            "Pass the folder or file of the images themselves."
        )
    return found


def _header(pydicom: Any, file: Path) -> Any:
    try:
        return pydicom.dcmread(file, stop_before_pixels=True)
    except FileNotFoundError:
        raise InputError(f"Cannot read '{file}': there is no such file.\nCheck the path.") from None
    except Exception:  # no DICOM; pydicom raises whatever a damaged file brings up
        return None


def _kind(header: Any) -> str:
    if header is None:
        return "no DICOM file"
    return f"{header.get('Modality') or getattr(header.get('SOPClassUID'), 'name', 'DICOM')} without pixel data"


def _choose(path: Path, found: list[tuple[Path, Any]], series: str | None) -> list[tuple[Path, Any]]:
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for file, header in found:
        groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((file, header))
    wanted = {
        uid: files
        for uid, files in groups.items()
        if series is None or series in (uid, str(files[0][1].get("SeriesNumber", "")))
    }
    if len(wanted) == 1:
        return next(iter(wanted.values()))
    rows = [
        f"  {files[0][1].get('SeriesNumber')}: {files[0][1].get('Modality', '?')}, {len(files)} files, "
        f"'{files[0][1].get('SeriesDescription', '')}', {uid}"
        for uid, files in (wanted or groups).items()
    ]
    more = f"\n  ... and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    which = "several series" if series is None else f"several series {series!r}" if wanted else f"no series {series!r}"
    raise InputError(
        f"'{path}' holds {which}:\n" + "\n".join(rows[:_LISTED]) + more + "\n"
        "Choose by number or UID: --series A,B (nothing where there is no choice: --series ,B)."
    )


def _planes(file: Path, header: Any) -> Iterator[_Plane]:
    if header.get("SamplesPerPixel", 1) != 1:
        raise InputError(
            f"Cannot use '{file}': it holds colours, not measured values.\n  expected: one value a pixel\n"
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


def _frames(file: Path, header: Any) -> Iterator[_Plane]:
    count = int(header.get("NumberOfFrames", 1) or 1)
    size = (int(header.Columns), int(header.Rows))
    if "PerFrameFunctionalGroupsSequence" in header:  # enhanced CT, MR and PET
        shared = header.SharedFunctionalGroupsSequence[0]
        for index, own in enumerate(header.PerFrameFunctionalGroupsSequence):
            place = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
            turned = _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
            measures = _group(own, shared, "PixelMeasuresSequence")
            scale = _group(own, shared, "PixelValueTransformationSequence", {})
            linear = (float(scale.RescaleSlope), float(scale.RescaleIntercept)) if scale else None
            yield _plane(place, turned, measures, measures.get("SliceThickness"), size, linear, index, file, header)
        return
    detector = (header.get("DetectorInformationSequence") or [header])[0]  # SPECT keeps its geometry there
    place = detector.get("ImagePositionPatient", header.get("ImagePositionPatient"))
    turned = detector.get("ImageOrientationPatient", header.get("ImageOrientationPatient"))
    if place is None or turned is None:
        raise ValueError("no position or no orientation")
    thickness = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    first = _plane(place, turned, header, thickness, size, None, 0, file, header)
    if count > 1 and header.get("Modality") != "NM":
        raise ValueError("several frames in a file without functional groups")
    normal = np.cross(*first.axes)
    step = float(header.get("SpacingBetweenSlices") or first.thickness) if count > 1 else 0.0
    for index in range(count):  # of SPECT: the step may be negative
        position = first.position + index * step * normal
        yield _Plane(position, first.axes, first.spacing, first.thickness, size, None, index, file, header)


def _group(own: Any, shared: Any, name: str, otherwise: Any = None) -> Any:
    for groups in (own, shared):
        if groups.get(name):
            return groups[name][0]
    if otherwise is None:
        raise KeyError(name)
    return otherwise


def _plane(
    place: Any, turned: Any, measures: Any, thickness: Any, size: tuple[int, int], scale: Any, frame: int,
    file: Path, header: Any,
) -> _Plane:  # fmt: skip
    axes = np.array([float(value) for value in turned]).reshape(2, 3)
    rows, columns = (float(value) for value in measures.PixelSpacing)
    position = np.array([float(value) for value in place]).reshape(3)
    thick = abs(float(thickness or 1.0))
    return _Plane(position, axes, (columns, rows), thick, size, scale, frame, file, header)


def _sorted(planes: list[_Plane], path: Path) -> tuple[list[_Plane], NDArray[Any]]:
    """Slices along their normal, and the step from one to the next; refuses what is no regular stack."""
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
        raise InputError(
            f"Slices of '{path}' are missing: about {max(missing, 1)} after '{planes[at].file.name}'.\n"
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


def _assemble(path: Path, planes: list[_Plane], step: NDArray[Any]) -> Volume:
    first = planes[0]
    affine = np.eye(4)
    affine[:3, 0] = first.axes[0] * first.spacing[0]
    affine[:3, 1] = first.axes[1] * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = step, first.position
    affine[:2] *= -1  # DICOM counts to the left and the back, RAS+ to the right and the front
    values = np.empty((*first.size, len(planes)), np.float32)
    decoded: dict[Path, NDArray[Any]] = {}
    for k, plane in enumerate(planes):
        if plane.file not in decoded:
            decoded = {plane.file: _pixels(plane.file)}  # of one file at a time
        frame = _frame(plane, decoded[plane.file])
        values[:, :, k] = (frame if plane.scale is None else frame * plane.scale[0] + plane.scale[1]).T
    header = first.header
    modality = _MODALITIES.get(header.get("Modality", ""), "")
    unit, notes = "HU" if modality == "CT" else str(header.get("Units", "")), []
    if modality == "PT":
        factors = [suv_factor(plane.header) for plane in planes]
        if all(factor is not None for factor, _ in factors):
            values *= np.array([factor for factor, _ in factors], np.float32)
            unit = "SUV"
        else:
            lacking = next(why for factor, why in factors if factor is None)
            notes.append(f"'{path}': no SUV, for the tags lack {lacking}")
    return Volume(
        values=values,
        affine=affine,
        path=path,
        modality=modality,
        unit=unit,
        patient=f"{header.get('PatientName', '')} ({header.get('PatientID', '')})",
        frame=str(header.get("FrameOfReferenceUID", "")),
        headers=tuple(plane.header for plane in planes),
        window=_window(header),
        notes=tuple(notes),
    )


def _frame(plane: _Plane, frames: NDArray[Any]) -> NDArray[Any]:
    if plane.frame >= len(frames):
        raise InputError(
            f"Cannot use '{plane.file}': it is damaged, or no image of values (a segmentation?).\n"
            f"  expected: a frame {plane.frame + 1}\n  found: {len(frames)} frames\nExport the series again."
        )
    found: NDArray[Any] = frames[plane.frame]
    return found


def _pixels(file: Path) -> NDArray[Any]:
    """The frames of a file (frames, rows, columns), rescaled by the file's slope and intercept."""
    pydicom = load("pydicom", "pydicom")
    dataset = pydicom.dcmread(file)
    syntax = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "unknown")
    if "PixelData" not in dataset:
        raise InputError(f"Cannot use '{file}': it holds no pixel data.\nExport the series again with its pixels.")
    try:
        stored = dataset.pixel_array
    except Exception as error:  # each decoder has its own
        if "missing dependencies" in str(error):
            raise MissingExtra("python-gdcm", "medical", f"'{file}' is compressed ({syntax}): decoding it") from error
        raise InputError(
            f"Cannot decode '{file}' ({syntax}).\n  found: {error}\nCopy the file again, or export it uncompressed."
        ) from None
    values = pydicom.pixels.apply_modality_lut(stored, dataset)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and dataset.get("Modality") != "CT":
        values = values.max() + values.min() - values  # the lowest value is meant to be shown white
    return np.asarray(values).reshape(-1, *stored.shape[-2:])


def _window(header: Any) -> tuple[float, float] | None:
    center, width = header.get("WindowCenter"), header.get("WindowWidth")
    if center is None or width is None:
        return None
    pair = [
        value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value for value in (center, width)
    ]
    return (float(pair[0]), float(pair[1])) if float(pair[1]) > 0 else None
