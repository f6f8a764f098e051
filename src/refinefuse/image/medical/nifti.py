"""Read and write NIfTI files."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from refinefuse.atomic import write_atomic
from refinefuse.errors import InputError
from refinefuse.image.medical.volume import MAX_VOXELS, NOT_A_DEVICE, Modality, Volume, check_voxel_count, load
from refinefuse.image.structure import file_format, foreign_format

NIFTI_EXTENSIONS: tuple[str, ...] = (".nii", ".nii.gz")
_WORDS: dict[Modality, set[str]] = {
    "CT": {"ct"},
    "MR": {"mr", "mri", "t1", "t1w", "t2", "t2w", "flair", "pd", "pdw", "swi", "mprage"},
    "PT": {"pet", "pt", "suv", "fdg"},
    "NM": {"spect", "nm"},
}
_MILLIMETERS = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
_CIFTI = range(3000, 3100)  # intent codes of surfaces and their connections
_GEOMETRY = (
    *("pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z"),
)
_CHUNK = 2**22  # bytes
_DISAGREEMENT = 0.1  # voxels between sform and qform that are reported


def is_nifti(path: Path) -> bool:
    """Whether the name has a suffix of NIfTI."""
    return path.name.lower().endswith(NIFTI_EXTENSIONS)


def read_nifti(path: Path, *, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read a NIfTI file, scaled by its slope and intercept, compressed or not, whatever its name.

    NIfTI does not record the modality; a word of the name gives it (ct, mri, t1w, flair, pet, spect, ...).

    Args:
        path: a .nii or .nii.gz file.
        max_voxels: maximum number of voxels that the file may declare; checked before allocation.

    Raises:
        InputError: no such file, no NIfTI, damaged, several volumes, color or complex voxels, or no usable affine.
        MissingDependencyError: nibabel is not installed.
    """
    image = _read_image(path, max_voxels, colors=False)
    values, affine = _decoded(path, image, np.float32)
    values, valid, notes = without_gaps(path, values)
    return Volume(
        values, affine, path, modality_of(path), header=image.header, valid=valid,
        warnings=(*_orientation_warnings(path, image), *notes),
    )  # fmt: skip


def read_levels(path: Path, *, max_voxels: int = MAX_VOXELS) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The voxels of a NIfTI file as they are stored, (i, j, k) or (i, j, k, 3) if they are RGB, and its affine.

    Raises:
        InputError: as `read_nifti`, but for RGB.
        MissingDependencyError: nibabel is not installed.
    """
    image = _read_image(path, max_voxels, colors=True)
    slope, intercept = image.header.get_slope_inter()
    as_stored = slope in (None, 1) and intercept in (None, 0) and image.get_data_dtype().kind != "f"
    values, affine = _decoded(path, image, None if as_stored else np.float32)
    if values.dtype.fields is None:
        return values, affine
    return np.stack([values[name] for name in "RGB"], -1), affine


def _decoded(path: Path, image: Any, dtype: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels (i, j, k), and the affine in millimeters."""
    try:
        with np.errstate(all="ignore"):  # what overflows becomes infinite, and is reported
            values = np.asarray(image.dataobj, dtype)
        affine = np.array(image.affine, np.float64)
        units, _ = image.header.get_xyzt_units()
    except Exception as error:  # nibabel and numpy each have their own for a damaged header
        raise InputError(_damaged(path, str(error))) from None
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    affine[:3] *= _MILLIMETERS[units]
    return values, affine


def _read_image(path: Path, max_voxels: int, *, colors: bool) -> Any:
    """Read the image without decoding its voxels, and no more of the file than its header declares."""
    load("nibabel")
    try:
        with path.open("rb") as raw:
            is_compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_compressed else raw
            return _parse(path, stream, is_compressed, max_voxels, colors)
    except FileNotFoundError:
        raise InputError(f"Cannot read '{path}': there is no such file.\nCheck the path.") from None
    except InputError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(_damaged(path, str(error))) from None


def _parse(path: Path, stream: IO[bytes], is_compressed: bool, max_voxels: int, colors: bool) -> Any:
    nibabel = load("nibabel")
    start = stream.read(540)
    size = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    kind = nibabel.Nifti1Image if 348 in size else nibabel.Nifti2Image if 540 in size else None
    if kind is None:
        name = foreign_format(start) or file_format(start)
        raise InputError(_damaged(path, name or f"{len(start)} bytes without a NIfTI header"))
    try:
        with nibabel.imageglobals.LoggingOutputSuppressor():
            header = kind.header_class(start[: kind.header_class.sizeof_hdr], check=True)  # without its extensions
        shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), int(header.get_data_offset())
    except Exception as error:  # nibabel has many for a damaged header
        raise InputError(_damaged(path, str(error))) from None
    _check_kind(path, header, shape, dtype, colors)
    check_voxel_count(shape, path, max_voxels)
    total = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not is_compressed and path.stat().st_size < total:
        raise InputError(_damaged(path, f"{path.stat().st_size:,} bytes, and the header declares {total:,}"))
    content = bytearray(start)
    while chunk := stream.read(min(_CHUNK, max(total - len(content), 0)) or 1):  # the last one checks the checksum
        content += chunk
        if len(content) > total + 1:
            break
    if len(content) < total:
        raise InputError(_damaged(path, f"{len(content):,} bytes, and the header declares {total:,}"))
    try:
        with nibabel.imageglobals.LoggingOutputSuppressor():
            return kind.from_stream(io.BytesIO(content))
    except Exception as error:  # extensions may be damaged too
        raise InputError(_damaged(path, str(error))) from None


def _damaged(path: Path, reason: str) -> str:
    return f"Cannot read '{path}': it is not a NIfTI file, or it is damaged.\n  got: {reason}\nCopy or export it again."


def _check_kind(path: Path, header: Any, shape: tuple[int, ...], dtype: np.dtype[Any], colors: bool) -> None:
    if int(header["intent_code"]) in _CIFTI:
        raise InputError(f"Cannot use '{path}': it is not a NIfTI volume.\n  got: CIFTI\nPass a volume.")
    is_rgb = colors and dtype.names == ("R", "G", "B")
    if dtype.kind not in "iuf" and not is_rgb:
        raise InputError(
            f"Cannot use '{path}': its voxels must be one real number each.\n  got: {dtype}\n"
            "Colors: pass the volume that they were made from. Complex numbers: take the magnitude."
        )
    if any(side != 1 for side in shape[3:]):
        raise InputError(
            f"Cannot use '{path}': it is {len(shape)}-D, with several volumes (times, directions, ...) in "
            "one file.\n"
            f"  expected: (i, j, k)\n  got: {shape}\nWrite one of them, or their mean, to a separate file."
        )


def _orientation_warnings(path: Path, image: Any) -> list[str]:
    """Warnings if the file has no orientation, or two that disagree."""
    header, size = image.header, np.array(image.shape[:3])
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        return [f"'{path}' does not record its orientation (sform and qform codes are 0): assumed to be RAS+"]
    if int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0:
        try:
            sform, qform = header.get_sform(), header.get_qform()
        except Exception as error:  # a quaternion that is none: the sform is what is used
            return [f"the qform of '{path}' is damaged ({error}): the sform is used"]
        corners = np.array(np.meshgrid(*[(0, side - 1) for side in size])).reshape(3, -1)
        apart = np.linalg.norm((sform - qform)[:3, :3] @ corners + (sform - qform)[:3, 3:], axis=0).max()
        if not apart <= _DISAGREEMENT * np.linalg.norm(sform[:3, :3], axis=0).min():
            units, _ = header.get_xyzt_units()
            return [
                f"sform and qform of '{path}' differ by up to {apart * _MILLIMETERS[units]:.3g} mm: the sform is used"
            ]
    return []


def modality_of(path: Path) -> Modality:
    """The modality by the whole words of a file's name; empty if they name none or several."""
    words = set(re.split(r"[^a-z0-9]+", path.name.lower()))
    found = [modality for modality, known in _WORDS.items() if words & known]
    return found[0] if len(found) == 1 else ""


def without_gaps(path: Path, values: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, list[str]]:
    """Replace NaN and infinity; also returns the mask of valid voxels, and a warning if some were invalid.

    Raises:
        InputError: there is no finite value.
    """
    valid = np.isfinite(values)
    count = int(values.size - valid.sum())
    if count == 0:
        return values, None, []
    if count == values.size:
        raise InputError(f"Cannot use '{path}': all voxels are NaN or infinite.\nExport the volume again.")
    filled = np.where(valid, values, values[valid].min()).astype(np.float32)
    return filled, valid, [f"{count} voxels of '{path}' are NaN or infinite: treated as outside the field of view"]


def write_nifti(path: Path, values: NDArray[Any], grid: Volume, comment: str = "") -> None:
    """Write values on the grid of a volume, atomically; a NIfTI grid keeps the exact geometry of its header.

    Args:
        path: ends with .nii or .nii.gz, in upper or lower case.
        values: (i, j, k) float32, or (i, j, k, 3) uint8, RGB.
        grid: of that shape; nothing but its geometry is copied.
        comment: text for a header extension; empty: none.

    Raises:
        InputError: the folder cannot be written to.
        MissingDependencyError: nibabel is not installed.
    """
    nibabel = load("nibabel")
    if values.ndim == 4:
        rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        values = np.ascontiguousarray(values).view(rgb)[..., 0]
    affine = grid.affine if grid.header is None else grid.header.get_best_affine()  # in the file's own units
    image = nibabel.Nifti1Image(values, affine)
    header, units = image.header, "mm"
    if grid.header is None:
        image.set_sform(grid.affine, "scanner")
        image.set_qform(grid.affine, "scanner", strip_shears=True)
    else:
        for name in _GEOMETRY:
            header[name] = grid.header[name]
        spatial, _ = grid.header.get_xyzt_units()
        units = "mm" if spatial == "unknown" else spatial
    header.set_xyzt_units(units)
    if comment:
        header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", comment.encode()))
    header["descrip"] = NOT_A_DEVICE.encode("ascii")[:79]
    data = image.to_bytes()
    write_atomic(path, gzip.compress(data, 6, mtime=0) if path.suffix.lower() == ".gz" else data)
