"""NIfTI files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.files import write_atomic
from refinefuse.image.medical.volume import NOT_A_DEVICE, Modality, Volume, load

ENDINGS = (".nii", ".nii.gz")
_WORDS: dict[Modality, set[str]] = {
    "CT": {"ct"},
    "MR": {"mr", "mri", "t1", "t1w", "t2", "t2w", "flair", "pd", "pdw", "swi", "mprage"},
    "PT": {"pet", "pt", "suv", "fdg"},
    "NM": {"spect", "nm"},
}


def is_nifti(path: Path) -> bool:
    """Whether the name says so."""
    return path.name.lower().endswith(ENDINGS)


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file, scaled by its slope and intercept.

    NIfTI does not say what made the image; a word of the name does (ct, mri, t1w, flair, pet, spect, ...).

    Raises:
        InputError: no such file, no NIfTI, damaged, several volumes, color or complex voxels, or no usable affine.
        MissingDependencyError: nibabel is not installed.
    """
    nibabel = load("nibabel", "nibabel")
    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Pair):
            raise InputError(f"Cannot use '{path}': it is no NIfTI volume.\n  found: {type(image).__name__}")
        _check_kind(path, image)
        values = np.asarray(image.dataobj, np.float32)
    except FileNotFoundError:
        raise InputError(f"Cannot read '{path}': there is no such file.\nCheck the path.") from None
    except InputError:
        raise
    except Exception as error:  # nibabel, gzip and numpy each have their own for a damaged file
        raise InputError(
            f"Cannot read '{path}': it is no NIfTI file, or it is damaged.\n  found: {error}\nCopy or export it again."
        ) from None
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    notes = []
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        notes.append(
            f"'{path}' does not say how it lies in the patient (sform and qform are 0): taken as display_orientation"
        )
    values, found = without_gaps(path, values)
    return Volume(
        values,
        np.array(image.affine, np.float64),
        path,
        modality_of(path),
        header=image.header,
        warnings=(*notes, *found),
    )


def _check_kind(path: Path, image: Any) -> None:
    dtype, shape = image.get_data_dtype(), image.shape
    if dtype.fields is not None or dtype.kind not in "iuf":
        raise InputError(
            f"Cannot use '{path}': its voxels must be one real number each.\n  found: {dtype}\n"
            "Colors: pass the volume that they were made from. Complex numbers: take the magnitude."
        )
    if any(side != 1 for side in shape[3:]):
        raise InputError(
            f"Cannot use '{path}': it holds several volumes.\n  expected: (i, j, k)\n  found: {shape}\n"
            "Write one of them, or their mean, to a file of its own."
        )


def modality_of(path: Path) -> Modality:
    """What the words of a file's name say about what made it; empty if none or several do."""
    words = set(re.split(r"[^a-z0-9]+", path.name.lower()))
    found = [modality for modality, known in _WORDS.items() if words & known]
    return found[0] if len(found) == 1 else ""


def without_gaps(path: Path, values: NDArray[Any]) -> tuple[NDArray[np.float32], list[str]]:
    """Voxels without a number become the lowest number, with a note.

    Raises:
        InputError: there is no number at all.
    """
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    if count == 0:
        return values, []
    if count == values.size:
        raise InputError(f"Cannot use '{path}': all voxels are NaN or infinite.\nExport the volume again.")
    filled = np.where(bad, values[~bad].min(), values).astype(np.float32)
    return filled, [f"{count} voxels of '{path}' are NaN or infinite: taken as the lowest value, {filled.min():g}"]


def write_nifti(path: Path, values: NDArray[Any], grid: Volume) -> None:
    """Write values on the grid of a volume, whole or not at all; a NIfTI grid keeps its header's geometry bit by bit.

    Args:
        path: ends with .nii or .nii.gz.
        values: (i, j, k) float32, or (i, j, k, 3) uint8, RGB.
        grid: of that shape; nothing but its geometry is taken over.

    Raises:
        InputError: the folder cannot be written to.
        MissingDependencyError: nibabel is not installed.
    """
    nibabel = load("nibabel", "nibabel")
    if values.ndim == 4:
        rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        values = np.ascontiguousarray(values).view(rgb)[..., 0]
    image = nibabel.Nifti1Image(values, grid.affine)
    header = image.header
    if grid.header is None:
        image.set_sform(grid.affine, "scanner")
        image.set_qform(grid.affine, "scanner", strip_shears=True)
    else:
        for name in ("pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c"):
            header[name] = grid.header[name]
        for name in ("quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
            header[name] = grid.header[name]
    header.set_xyzt_units("mm")
    header["descrip"] = NOT_A_DEVICE.encode("ascii")[:79]
    data = image.to_bytes()
    write_atomic(path, gzip.compress(data, 6, mtime=0) if path.suffix == ".gz" else data)
