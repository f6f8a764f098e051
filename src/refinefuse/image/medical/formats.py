"""Formats of medical volumes: supported ones, and those that are only recognized."""

from __future__ import annotations

from pathlib import Path

from refinefuse.errors import InputError
from refinefuse.image.medical.dicom import is_dicom, read_dicom
from refinefuse.image.medical.nifti import is_nifti, read_nifti
from refinefuse.image.medical.volume import MAX_VOXELS, Volume

_FOREIGN = {
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".mgh": "FreeSurfer MGH",
    ".mgz": "FreeSurfer MGH",
    ".mnc": "MINC",
    ".img": "Analyze, or NIfTI in two files",
    ".par": "Philips PAR/REC",
}


def is_volume(path: Path) -> bool:
    """Whether a file or folder holds a medical volume, also in a format that is not read."""
    return is_nifti(path) or path.suffix.lower() in _FOREIGN or is_dicom(path)


def read_volume(path: Path, series: str | None = None, *, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read a NIfTI file, a DICOM file or a series in a folder.

    Args:
        path: the file or folder.
        series: number or UID of the series, if a folder holds several.
        max_voxels: maximum number of voxels that the source may declare; checked before allocation.

    Raises:
        InputError: the format is not supported; otherwise as in `read_nifti` and `read_dicom`.
        MissingDependencyError: the library that reads it is not installed.
    """
    if is_nifti(path):
        return read_nifti(path, max_voxels=max_voxels)
    name = _FOREIGN.get(path.suffix.lower())
    if name is not None and not path.is_dir():
        raise InputError(
            f"Cannot read '{path}': this format is not supported.\n  expected: NIfTI (.nii, .nii.gz) or DICOM\n"
            f"  got: {name}\nConvert it to NIfTI, for example in 3D Slicer."
        )
    return read_dicom(path, series, max_voxels=max_voxels)
