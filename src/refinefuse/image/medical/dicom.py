"""DICOM: the series of a folder, or one file, as a volume."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError, MissingDependencyError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS
from refinefuse.image.medical.slice_geometry import SliceGeometry, slice_geometries, sort_slices
from refinefuse.image.medical.suv import suv_factor
from refinefuse.image.medical.volume import Modality, Volume, load

_MODALITIES: dict[str, Modality] = {"CT": "CT", "MR": "MR", "PT": "PT", "NM": "NM"}
_LISTED = 20  # series: the user has to choose among them


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a folder holds DICOM files (at any depth) and no images of its own."""
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
            or of different sizes, color, pixels that are missing or cannot be decoded.
        MissingDependencyError: pydicom is not installed.
    """
    with _quiet():
        headers = _choose(path, _headers(path), series)
        planes, step = sort_slices(
            [plane for file, header in headers for plane in slice_geometries(file, header)], path
        )
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
            f"Cannot read '{path}': there is no DICOM image in it.\n  found:\n{format_names(others)}\n"
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


def _assemble(path: Path, planes: list[SliceGeometry], step: NDArray[Any]) -> Volume:
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
        units=unit,
        patient=f"{header.get('PatientName', '')} ({header.get('PatientID', '')})",
        frame=str(header.get("FrameOfReferenceUID", "")),
        headers=tuple(plane.header for plane in planes),
        window=_window(header),
        warnings=tuple(notes),
    )


def _frame(plane: SliceGeometry, frames: NDArray[Any]) -> NDArray[Any]:
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
            raise MissingDependencyError(
                "python-gdcm", "medical", f"'{file}' is compressed ({syntax}): decoding it"
            ) from error
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
