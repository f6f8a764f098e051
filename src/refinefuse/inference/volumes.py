"""Fuse medical volumes slice by slice, on one grid, with ranges that are fixed over each volume."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from refinefuse.atomic import check_writable
from refinefuse.errors import InputError
from refinefuse.image.color import to_array, to_tensor, to_ycbcr
from refinefuse.image.files import check_target, write_image
from refinefuse.image.medical.dicom import is_dicom, read_dicom
from refinefuse.image.medical.intensity import (
    Colormap,
    colored,
    intensity_ranges,
    intensity_warnings,
    parse_window,
    scaled,
    with_kind,
)
from refinefuse.image.medical.nifti import ENDINGS, is_nifti, read_nifti, write_nifti
from refinefuse.image.medical.resampling import Slice, resample_to
from refinefuse.image.medical.secondary_capture import check_series_folder, write_secondary_capture
from refinefuse.image.medical.volume import (
    MAX_VOXELS,
    Modality,
    Volume,
    different_patients,
    display_orientation,
    finest,
    reorient_back,
)
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.folders import OutputPaths, check_apart
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.montage import volume_montage

_LITTLE = 0.5  # share of the grid in which a source has data, below which that is said
Scale = Callable[[NDArray[Any]], NDArray[np.float32]]  # from units to [0, 1]
_FINER = 1.5  # how much finer the grid of another source must be to be mentioned


@dataclass(frozen=True)
class VolumeOptions:
    """What can be chosen about volumes.

    Attributes:
        window: of CT: a name or CENTER,WIDTH in HU; None: the file's own, else soft tissue.
        range: of all sources but the last, whatever their modality; None: by the modality.
        suv: of PET, in SUV; None: from 0 to the 99.9th percentile.
        colormap: of the last source; None: inferno for PET and SPECT, gray otherwise.
        grid: the source whose grid the result gets; None: the one with the smallest voxels.
        series: numbers or UIDs, one per source, if folders hold several series.
        anonymize: keep nothing of patient and study in DICOM results, and name no patient in messages.
        kinds: the modality of each source; empty: by the file or its name.
        max_voxels: that a source may declare.
    """

    window: IntensityRange | None = None
    range: IntensityRange | None = None
    suv: IntensityRange | None = None
    colormap: Colormap | None = None
    grid: Literal["a", "b"] | None = None
    series: tuple[str | None, ...] = ()
    anonymize: bool = False
    kinds: tuple[Modality, ...] = ()
    max_voxels: int = MAX_VOXELS

    @classmethod
    def parse(
        cls, window: str | None, rule: str | None, suv: str | None, series: str | None, **rest: Any
    ) -> VolumeOptions:
        """From the texts of the command line.

        Raises:
            InputError: if one of them is not understood.
        """
        limits = None if suv is None else IntensityRange.parse(suv)
        if limits is not None and limits.rule != "counts":
            raise InputError(f"--suv-range needs two numbers, MIN,MAX.\n  got: {suv!r}")
        shown = None if rule is None else IntensityRange.parse(rule)
        if shown is not None and shown.rule not in ("counts", "percentile"):
            raise InputError(f"--range of a volume must be MIN,MAX or percentile:LOW,HIGH.\n  got: {rule!r}")
        chosen = tuple(word.strip() or None for word in series.split(",")) if series else ()
        return cls(
            None if window is None else parse_window(window),
            shown,
            limits,
            series=chosen,
            **rest,
        )


@dataclass
class VolumeResult:
    """What a user is told.

    Attributes:
        messages: what was read, and what became of it.
        warnings: what looks wrong.
    """

    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def are_volumes(paths: Sequence[Path]) -> bool:
    """Whether all sources are volumes; False if none is.

    Raises:
        InputError: volumes and images are mixed.
    """
    found = [is_nifti(path) or is_dicom(path) for path in paths]
    if any(found) and not all(found):
        volume, image = paths[found.index(True)], paths[found.index(False)]
        raise InputError(
            "A volume and a image cannot be fused.\n"
            f"  volume: '{volume}'\n  image: '{image}'\n"
            "Pass two volumes (NIfTI files, DICOM files or folders), or two images."
        )
    return all(found)


def fuse_volumes(
    load: Callable[[], Fuser], paths: Sequence[Path], targets: OutputPaths, options: VolumeOptions, *, overwrite: bool
) -> VolumeResult:
    """Fuse volumes slice by slice, and write NIfTI or a series of DICOM secondary captures.

    Each slice of the grid is fused as a image; ranges are fixed over the volumes, so that slices do not differ by
    more than the patient does. Where only one source has data, the others are taken to agree with it.

    Args:
        load: makes the fuser; called when the volumes are known to go together.
        paths: two or more; the last gives the color, the first (`a`) or last (`b`) the grid.
        targets: a NIfTI file or a folder for DICOM; weight_maps in a NIfTI file; a image for the montage.
        options: of volumes.
        overwrite: replace what is there.

    Returns:
        What was read, and what looks wrong.

    Raises:
        InputError: anything that cannot be read, shown on one grid, or written.
    """
    _check_targets(targets, paths, overwrite)
    volumes = _read(paths, options)
    told = VolumeResult(warnings=[note for volume in volumes for note in volume.warnings])
    told.warnings += different_patients(volumes, show_names=not options.anonymize)
    grid = {"a": volumes[0], "b": volumes[-1], None: volumes[finest(volumes)]}[options.grid]
    order, signs, affine = display_orientation(grid.affine, grid.values.shape)
    shape = tuple(grid.values.shape[axis] for axis in order)
    ranges = intensity_ranges(volumes, options.window, options.range, options.suv)
    cuts = [resample_to(volume, affine, shape) for volume in volumes]
    colormap = options.colormap or ("inferno" if volumes[-1].modality in ("PT", "NM") else "gray")
    told.messages += [f"{_line(volume, fixed)}" for volume, fixed in zip(volumes, ranges, strict=True)]
    told.warnings += _hints(volumes, grid, options)
    for volume, fixed in zip(volumes, ranges, strict=True):
        told.warnings += intensity_warnings(volume, fixed)
    scales = [
        partial(scaled, fixed=fixed, inverted=volume.is_inverted) for volume, fixed in zip(volumes, ranges, strict=True)
    ]
    fused, weight_maps, shown = _fuse_slices(load(), cuts, scales, colormap, shape, told, targets)
    _write(targets, fused, weight_maps, (order, signs, affine, grid), volumes, options.anonymize)
    if targets.montage is not None:
        lengths = np.linalg.norm(affine[:3, :2], axis=0)
        write_image(targets.montage, volume_montage(shown, float(lengths[0] / lengths[1])), overwrite=overwrite)
    told.messages.append(f"{shape[2]} slices of {shape[0]} x {shape[1]} fused on the grid of '{grid.path}'.")
    return told


def _check_targets(targets: OutputPaths, paths: Sequence[Path], overwrite: bool) -> None:
    check_apart(targets, paths)
    if is_nifti(targets.output):
        check_writable(targets.output, overwrite=overwrite)
    elif targets.output.suffix and not targets.output.is_dir():
        raise InputError(
            f"Cannot write '{targets.output}': a volume becomes NIfTI or a folder of DICOM files.\n"
            f"  expected: {', '.join(ENDINGS)}, or the name of a folder\n  found: {targets.output.suffix}\n"
            "Name the output accordingly."
        )
    else:
        check_series_folder(targets.output, overwrite=overwrite)
    if targets.weight_map is not None:
        if not is_nifti(targets.weight_map):
            raise InputError(
                f"Cannot write '{targets.weight_map}': the weight maps of a volume are a volume.\n"
                f"  expected: {', '.join(ENDINGS)}\nName the file accordingly."
            )
        check_writable(targets.weight_map, overwrite=overwrite)
    if targets.montage is not None:
        check_target(targets.montage, overwrite=overwrite)


def _read(paths: Sequence[Path], options: VolumeOptions) -> list[Volume]:
    if len(options.series) > len(paths):
        raise InputError(
            f"--series names more series than there are sources.\n  expected: at most {len(paths)}\n"
            f"  found: {len(options.series)}"
        )
    series = [*options.series, *[None] * (len(paths) - len(options.series))]
    no_kind: Modality = ""
    kinds = options.kinds or (no_kind,) * len(paths)
    if len(kinds) != len(paths):
        raise InputError(f"One kind per source is needed.\n  expected: {len(paths)}\n  got: {len(kinds)}")
    volumes = [
        with_kind(
            read_nifti(path, max_voxels=options.max_voxels)
            if is_nifti(path)
            else read_dicom(path, chosen, max_voxels=options.max_voxels),
            kind,
        )
        for path, chosen, kind in zip(paths, series, kinds, strict=True)
    ]
    if options.window is not None and not volumes[0].modality and all(one.modality != "CT" for one in volumes):
        volumes[0] = with_kind(volumes[0], "CT")  # NIfTI does not record it; the window implies it
    return volumes


def _hints(volumes: Sequence[Volume], grid: Volume, options: VolumeOptions) -> list[str]:
    found = [
        f"nothing says what made '{volume.path}': taken for gray values (NIfTI: put ct, mri, pet or spect into the "
        "name; --colormap colors the last source)"
        for volume in volumes
        if not volume.modality and not (volume is volumes[-1] and options.colormap)
    ]
    for volume in volumes:
        if volume is not grid and np.prod(grid.spacing) > _FINER**3 * np.prod(volume.spacing):
            other = "a" if volume is volumes[0] else "b"
            found.append(
                f"'{volume.path}' is finer than the grid of the result, and its detail is lost: consider --grid {other}"
            )
    return found


def _line(volume: Volume, fixed: IntensityRange) -> str:
    unit = f" {volume.units}" if volume.units else ""
    return f"{volume.description}, black to white: {fixed.low:g} to {fixed.high:g}{unit}"


def _fuse_slices(
    fuser: Fuser,
    cuts: Sequence[Callable[[int], Slice]],
    ranges: Sequence[Scale],
    colormap: Colormap,
    shape: tuple[int, ...],
    told: VolumeResult,
    targets: OutputPaths,
) -> tuple[NDArray[Any], NDArray[Any] | None, list[list[NDArray[Any]]]]:
    """The fused volume, the weight_maps if they are wanted, and the slices of the montage."""
    color = colormap != "gray" and fuser.color != "gray"
    fused = np.empty((*shape, 3), np.uint8) if color else np.empty(shape, np.float32)
    weight_maps = np.empty(shape, np.float32) if targets.weight_map is not None else None
    covered, shown = np.zeros(len(cuts)), []
    wanted = set(_spread(shape[2])) if targets.montage is not None else set()
    for k in tqdm(range(shape[2]), "fusing", unit="slice", file=sys.stderr):
        slices = [cut(k) for cut in cuts]
        covered += [inside.mean() for _, inside in slices]
        images = _images(slices, ranges, colormap)
        result = fuser.fuse_with_weight_map(*(to_tensor(image) for image in images))
        pixels = to_array(torch.as_tensor(result.fused), np.uint8 if color else np.float32)
        fused[:, :, k] = pixels
        if weight_maps is not None:
            weight_maps[:, :, k] = result.weight_map[0, 0].cpu().numpy()
        if k in wanted:
            shown.append([*images, pixels])
    for index, share in enumerate(covered / shape[2]):
        if share < _LITTLE:
            told.warnings.append(f"source {index + 1} has data in {share:.0%} of the result's field of view only")
    return fused, weight_maps, shown


def _images(slices: Sequence[Slice], scales: Sequence[Scale], colormap: Colormap) -> list[NDArray[Any]]:
    """The slices as images; where a source has no data, it agrees with those that have."""
    gray = [scale(values) for (values, _), scale in zip(slices, scales, strict=True)]
    there = [inside for _, inside in slices]
    known = np.max([np.where(inside, values, 0) for values, inside in zip(gray[:-1], there[:-1], strict=True)], 0)
    last: NDArray[Any] = gray[-1] if colormap == "gray" else colored(gray[-1], colormap)
    luma = to_ycbcr(to_tensor(last)).luma[0, 0].numpy()
    filling = np.where(there[-1], luma, known)
    others = [np.where(inside, values, filling) for values, inside in zip(gray[:-1], there[:-1], strict=True)]
    shape = there[-1].shape + (1,) * (last.ndim - 2)
    return [*others, np.where(there[-1].reshape(shape), last, known.reshape(shape))]


def _spread(count: int, wanted: int = 6) -> list[int]:
    """Numbers of slices for the montage, evenly spread, without the outermost tenth at either end."""
    return sorted({round(place) for place in np.linspace(0.1 * (count - 1), 0.9 * (count - 1), wanted)})


def _write(
    targets: OutputPaths,
    fused: NDArray[Any],
    weight_maps: NDArray[Any] | None,
    place: tuple[list[int], list[int], NDArray[Any], Volume],
    volumes: Sequence[Volume],
    anonymize: bool,
) -> None:
    order, signs, affine, grid = place
    if is_nifti(targets.output):
        write_nifti(targets.output, reorient_back(fused, order, signs), grid)
    else:
        write_secondary_capture(targets.output, fused, affine, volumes, anonymize=anonymize)
    if weight_maps is not None and targets.weight_map is not None:
        write_nifti(targets.weight_map, reorient_back(weight_maps, order, signs), grid)
