"""Register medical volumes, before fusion or as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refinefuse.atomic import check_writable
from refinefuse.errors import AlignmentError, InputError
from refinefuse.image.medical.nifti import NIFTI_EXTENSIONS, write_nifti
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.image.medical.registration import (
    VolumeRegistration,
    VolumeTransformType,
    register_volumes,
    write_transform,
)
from refinefuse.image.medical.resampling import resample_to
from refinefuse.image.medical.volume import Volume
from refinefuse.inference.outputs import check_apart


def align_volume(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    transform_type: VolumeTransformType = "rigid",
    options: VolumeOptions = VolumeOptions(),  # noqa: B008  # frozen
    save_transform: str | os.PathLike[str] | None = None,
    valid_mask: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> VolumeRegistration:
    """Register a medical volume to another one by mutual information, and resample it to the grid of the other.

    Nothing is written if the result is not reliable.

    Args:
        a: the moving volume: NIfTI file, DICOM file or folder of DICOM files.
        b: the fixed volume, likewise.
        output: NIfTI file for `a` on the grid of `b`, with the values of `a`, and its lowest value where it has no
            data. None writes only the files requested below.
        transform_type: rigid for the same body in two scanners, affine if the scales of the scanners differ.
        options: series, kinds, and the window and ranges for comparing the volumes.
        save_transform: file (.tfm) for the transform, as read by ITK, 3D Slicer and SimpleITK.
        valid_mask: NIfTI file for a mask that is 1 where `a` has data.
        overwrite: replace existing files.

    Returns:
        The transform, and how reliable it is.

    Raises:
        AlignmentError: the result is not reliable, and there was something to write.
        InputError: a volume cannot be read, or a file not written.
        MissingDependencyError: SimpleITK or a library of the extra `medical` is not installed.
    """
    target, mask, save = (None if path is None else Path(path) for path in (output, valid_mask, save_transform))
    _check_outputs((target, mask), save, [Path(a), Path(b)], overwrite)
    moving, fixed = options.read([Path(a), Path(b)])
    found = register_volumes(moving, fixed, transform_type, options.ranges_of([moving, fixed]))
    if (target or mask or save) and not found.is_reliable:
        raise AlignmentError(refusal(moving, fixed, found))
    if target or mask:
        values, inside = _on_grid(found.apply(moving, fixed), fixed)
        for path, content in ((target, values), (mask, inside.astype(np.float32))):
            if path is not None:
                write_nifti(path, content, fixed)
    if save is not None:
        write_transform(save, found.transform)
    return found


def align_volumes(
    volumes: Sequence[Volume], transform_type: VolumeTransformType, options: VolumeOptions
) -> tuple[list[Volume], list[str], list[str]]:
    """Register all volumes to the last one; also returns the quality and the transform of each, as text.

    Raises:
        AlignmentError: a result is not reliable.
        MissingDependencyError: SimpleITK is not installed.
    """
    *others, fixed = volumes
    *ranges, last = options.ranges_of(volumes)
    moved, messages, transforms = [], [], []
    for volume, own in zip(others, ranges, strict=True):
        found = register_volumes(volume, fixed, transform_type, (own, last))
        if not found.is_reliable:
            raise AlignmentError(refusal(volume, fixed, found))
        moved.append(found.apply(volume, fixed))
        messages.append(f"'{volume.path}' registered to '{fixed.path}' ({transform_type}): {describe(found)}")
        rows = "; ".join(" ".join(f"{number:.6g}" for number in row) for row in found.transform[:3])
        transforms.append(f"{transform_type} [{rows}]")
    return [*moved, fixed], messages, transforms


def describe(found: VolumeRegistration) -> str:
    """Describe the quality of a registration in one line."""
    return (
        f"moved by up to {found.displacement:.1f} mm, mutual information {found.score_before:.3f} before and "
        f"{found.score_after:.3f} after, confidence {found.confidence:.1%}, {found.detail:.0%} inside"
    )


def refusal(moving: Volume, fixed: Volume, found: VolumeRegistration) -> str:
    """Explain why a registration is not reliable and what to do."""
    reasons = "\n".join(f"  {reason}" for reason in found.rejection_reasons)
    return (
        f"'{moving.path}' could not be registered to '{fixed.path}', so nothing was written.\n{reasons}\n"
        "Check that both show the same region of the same patient. Rigid is more robust than affine. If the "
        "volumes are "
        "far apart or rotated against each other, bring them close by hand first, for example in 3D Slicer."
    )


def _on_grid(moved: Volume, fixed: Volume) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample a volume to the grid of another, filled with its lowest value; also returns where it has data."""
    shape = fixed.values.shape
    at, lowest = resample_to(moved, fixed.affine, shape), moved.values.min()
    values, valid = np.empty(shape, np.float32), np.empty(shape, np.bool_)
    for k in range(shape[2]):
        cut, inside = at(k)
        values[:, :, k], valid[:, :, k] = np.where(inside, cut, lowest), inside
    return values, valid


def _check_outputs(
    volumes: Sequence[Path | None], transform: Path | None, sources: Sequence[Path], overwrite: bool
) -> None:
    kinds = [(path, NIFTI_EXTENSIONS, "volumes are written as NIfTI") for path in volumes if path is not None]
    if transform is not None:
        kinds.append((transform, (".tfm",), "transforms of volumes are written for ITK"))
    check_apart([path for path, _, _ in kinds], sources)
    for path, extensions, what in kinds:
        if not path.name.lower().endswith(extensions):
            raise InputError(
                f"Cannot write '{path}': {what}.\n  expected: {', '.join(extensions)}\n"
                f"  got: {path.suffix or 'no suffix'}\nUse one of these extensions."
            )
        check_writable(path, overwrite=overwrite)
