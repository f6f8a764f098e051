"""Read fused volumes back for scoring: levels from black to white, gray or RGB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.dicom import stack_affine
from refinefuse.image.medical.dicom_files import read_series
from refinefuse.image.medical.elements import quiet_pydicom, text
from refinefuse.image.medical.nifti import is_nifti, read_levels
from refinefuse.image.medical.pixels import PixelReader, check_declared_size
from refinefuse.image.medical.slice_geometry import slice_geometries, sort_slices
from refinefuse.image.medical.volume import MAX_VOXELS, check_affine, load

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class FusedVolume:
    """Levels on a grid in the patient.

    Attributes:
        pixels: (i, j, k) or (i, j, k, 3): uint8, uint16, or float32 in [0, 1].
        affine: (4, 4), voxel to RAS+ millimeters.
    """

    pixels: NDArray[Any]
    affine: NDArray[np.float64]


def read_fused(path: Path, *, max_voxels: int = MAX_VOXELS) -> FusedVolume:
    """Read a fused volume: NIfTI with levels, or a DICOM secondary capture.

    Args:
        path: a NIfTI file, or a DICOM file or folder.
        max_voxels: maximum number of voxels that the file may declare.

    Raises:
        InputError: it cannot be read, or contains something other than levels from black to white.
        MissingDependencyError: the library that reads it is not installed.
    """
    if not is_nifti(path):
        return _read_secondary_capture(path, max_voxels)
    pixels, affine = read_levels(path, max_voxels=max_voxels)
    check_affine(affine, path)
    is_level = pixels.dtype in (np.uint8, np.uint16) or (pixels.min() >= 0 and pixels.max() <= 1)
    if not is_level:  # NaN too
        raise InputError(
            f"Cannot score '{path}': a fused volume must contain levels from black to white.\n"
            f"  expected: RGB, unsigned 8 or 16 bits, or numbers from 0 to 1\n"
            f"  got: {pixels.min():g} to {pixels.max():g}\n"
            "Scale it so that black is the lowest and white the highest of these values."
        )
    return FusedVolume(pixels, affine)


def _read_secondary_capture(path: Path, max_voxels: int) -> FusedVolume:
    load("pydicom")
    with quiet_pydicom(), PixelReader() as reader:
        series = read_series(path, None)
        file, header = series.files[0]
        if len(series.files) > 1 or not text(header, "SOPClassUID").startswith(_SECONDARY_CAPTURE):
            raise InputError(
                f"Cannot score '{path}': it is not a fused volume.\n"
                "  expected: NIfTI, or one secondary capture (DICOM)\n"
                f"  got: {len(series.files)} DICOM files of {text(header, 'Modality') or 'no modality'}\n"
                "Pass the result of `refinefuse volume`."
            )
        check_declared_size(file, header, max_voxels)
        stack = sort_slices(list(slice_geometries(file, header, colors=True)), path)
        values, _ = reader.read(file)
    columns, rows = stack.slices[0].size
    frames = values.reshape(len(stack.slices), rows, columns, -1)[[one.frame for one in stack.slices]]
    dtype = np.uint8 if header.BitsAllocated == 8 else np.uint16
    pixels = frames.transpose(2, 1, 0, 3).astype(dtype)
    return FusedVolume(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, stack_affine(stack))
