"""Fuse medical volumes slice by slice, on one grid, with ranges that are fixed over each volume."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from refinefuse.errors import InputError
from refinefuse.image.color import to_array, to_tensor, to_ycbcr
from refinefuse.image.files import check_target, check_writable, write_image
from refinefuse.image.medical.dicom import is_dicom, read_dicom
from refinefuse.image.medical.intensity import Colormap, colored, parse_window, range_of, scaled
from refinefuse.image.medical.nifti import ENDINGS, is_nifti, read_nifti, write_nifti
from refinefuse.image.medical.secondary_capture import check_folder, write_secondary_capture
from refinefuse.image.medical.volume import Slice, Volume, display_orientation, reorient_back, resample_to
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.folders import OutputPaths, check_apart
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.montage import volume_montage

_LITTLE = 0.5  # share of the grid in which a source has data, below which that is said
_FINER = 1.5  # how much finer the grid of another source must be to be mentioned


@dataclass(frozen=True)
class VolumeOptions:
    """What can be chosen about volumes.

    Attributes:
        window: of CT: a name or CENTER,WIDTH in HU; None: the file's own, else soft tissue.
        range: of MRI and of volumes of unknown kind; None: 0.5th to 99.5th percentile.
        suv: of PET, in SUV; None: from 0 to the 99.9th percentile.
        colormap: of the last source; None: inferno for PET and SPECT, gray otherwise.
        grid: on whose grid the result lies.
        series: numbers or UIDs, one for each source, where folders hold several series.
        anonymize: keep nothing of patient and study in DICOM results.
    """

    window: IntensityRange | None = None
    range: IntensityRange | None = None
    suv: IntensityRange | None = None
    colormap: Colormap | None = None
    grid: Literal["a", "b"] = "b"
    series: tuple[str | None, ...] = ()
    anonymize: bool = False

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
    told.warnings += _strangers(volumes)
    grid = volumes[0] if options.grid == "a" else volumes[-1]
    order, signs, affine = display_orientation(grid.affine, grid.values.shape)
    shape = tuple(grid.values.shape[axis] for axis in order)
    ranges = _ranges(volumes, options)
    cuts = [resample_to(volume, affine, shape) for volume in volumes]
    colormap = options.colormap or ("inferno" if volumes[-1].modality in ("PT", "NM") else "gray")
    told.messages += [f"{_line(volume, fixed)}" for volume, fixed in zip(volumes, ranges, strict=True)]
    told.warnings += _hints(volumes, grid, options)
    fused, weight_maps, shown = _fuse_slices(load(), cuts, ranges, colormap, shape, told, targets)
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
        check_folder(targets.output, overwrite=overwrite)
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
    volumes = [
        read_nifti(path) if is_nifti(path) else read_dicom(path, chosen)
        for path, chosen in zip(paths, series, strict=True)
    ]
    if options.window is not None and not any(volume.modality == "CT" for volume in volumes):
        if volumes[0].modality:
            raise InputError(
                "--window is for CT, and none of the sources is one.\n"
                + "\n".join(f"  {volume.description}" for volume in volumes)
                + "\nLeave it out, or give --range."
            )
        volumes[0] = replace(volumes[0], modality="CT", units="HU")  # NIfTI does not say it; the window does
    return volumes


def _ranges(volumes: Sequence[Volume], options: VolumeOptions) -> list[IntensityRange]:
    if options.window is not None and options.range is not None:
        raise InputError("--window and --range both say what becomes black and white.\nGive one of them.")
    if options.suv is not None and not any(volume.modality == "PT" for volume in volumes):
        raise InputError("--suv-range is for PET, and none of the sources is one.\nLeave it out.")
    return [
        range_of(volume, options.window, options.range if index < len(volumes) - 1 else None, options.suv)
        for index, volume in enumerate(volumes)
    ]


def _strangers(volumes: Sequence[Volume]) -> list[str]:
    """Sources of different patients, or of different frames of reference."""
    last, found = volumes[-1], []
    for other in volumes[:-1]:
        if other.patient and last.patient and other.patient != last.patient:
            found.append(f"the sources are of different patients: {other.patient} and {last.patient}")
        elif other.frame and last.frame and other.frame != last.frame:
            found.append(
                f"'{other.path}' and '{last.path}' have different frames of reference: unless they were registered, "
                "they do not lie on each other"
            )
    return found


def _hints(volumes: Sequence[Volume], grid: Volume, options: VolumeOptions) -> list[str]:
    found = [
        f"nothing says what made '{volume.path}': taken for gray values (NIfTI: put ct, mri, pet or spect into the "
        "name; --colormap colors the last source)"
        for volume in volumes
        if not volume.modality and not (volume is volumes[-1] and options.colormap)
    ]
    for volume in volumes:
        if volume is not grid and np.prod(grid.spacing) > _FINER**3 * np.prod(volume.spacing):
            other = "a" if options.grid == "b" else "b"
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
    ranges: Sequence[IntensityRange],
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


def _images(slices: Sequence[Slice], ranges: Sequence[IntensityRange], colormap: Colormap) -> list[NDArray[Any]]:
    """The slices as images; where a source has no data, it agrees with those that have."""
    gray = [scaled(values, fixed) for (values, _), fixed in zip(slices, ranges, strict=True)]
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
