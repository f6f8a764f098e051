"""Fuse medical volumes slice by slice, on one grid, with a fixed range per volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse.atomic import check_writable
from refinefuse.errors import InputError
from refinefuse.image.color import Color, merge_color_sources, restore_color, to_array
from refinefuse.image.files import check_target, write_image
from refinefuse.image.medical.formats import is_volume
from refinefuse.image.medical.nifti import NIFTI_EXTENSIONS, is_nifti, write_nifti
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.image.medical.registration import VolumeTransformType
from refinefuse.image.medical.secondary_capture import DerivationText, check_series_folder, write_secondary_capture
from refinefuse.image.medical.volume import NAMES, reorient_back
from refinefuse.inference.align_volumes import align_volumes
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inspection import WarningKind
from refinefuse.inference.montage import volume_montage
from refinefuse.inference.outputs import OutputPaths, check_apart, make_folder
from refinefuse.inference.pipeline import Pair, Progress, run
from refinefuse.inference.provenance import Provenance, describe_range
from refinefuse.inference.results import VolumeResult
from refinefuse.inference.slices import SliceReader
from refinefuse.inference.stages import Check, Fuse
from refinefuse.inference.threads import StageTimer
from refinefuse.weights.store import MEDICAL

_LONGEST = 900  # characters of a text in DICOM (ST holds 1024)
OnSlice = Callable[[list[NDArray[Any]]], None]


def fuse_volume(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    align: VolumeTransformType | None = None,
    fuser: Fuser | None = None,
    options: VolumeOptions = VolumeOptions(),  # noqa: B008  # frozen
    overwrite: bool = False,
    provenance: bool = True,
    progress: bool | Progress = False,
) -> VolumeResult:
    """Fuse two volumes slice by slice, and write NIfTI or a DICOM secondary capture.

    Not a medical device. Each slice is fused as an image. Ranges are fixed for the whole volume, so that brightness
    does not change from slice to slice. Where only one source has data, the result is that source.

    Args:
        a: NIfTI file, DICOM file or folder of DICOM files: CT, or MRI beside PET and SPECT.
        b: the volume whose color is kept.
        output: a NIfTI file, or a folder for DICOM.
        align: register `a` to `b` first, with a rigid or affine transform; None means that they are registered.
        fuser: the network; None: `Fuser("medical")`.
        options: options for volumes.
        overwrite: replace existing files.
        provenance: record in the result how it was made (see `refinefuse info`).
        progress: show a progress bar on standard error; or a function that is called with the number of steps done and
            the total.

    Raises:
        AlignmentError: the volumes could not be registered.
        InputError: anything that cannot be read, shown on one grid, or written.
        MissingDependencyError: if a library of the extra `medical` (for `align`, of `align`) is not installed.
    """
    return fuse_volumes(
        lambda: fuser or Fuser(MEDICAL),
        [Path(a), Path(b)],
        OutputPaths(Path(output)),
        options,
        align=align,
        overwrite=overwrite,
        provenance=provenance,
        progress=progress,
    )


def fuse_volumes(
    load: Callable[[], Fuser],
    paths: Sequence[Path],
    outputs: OutputPaths,
    options: VolumeOptions,
    *,
    align: VolumeTransformType | None = None,
    overwrite: bool = False,
    provenance: bool = True,
    progress: bool | Progress = False,
    on_slice: OnSlice | None = None,
) -> VolumeResult:
    """`fuse_volume` with more sources, weight maps and a montage.

    Args:
        load: creates the fuser; called once the volumes are known to be compatible.
        paths: two or more volumes; the last provides the color.
        outputs: NIfTI file or DICOM folder; NIfTI file for weight maps; image file for a montage.
        options: options for volumes.
        align: register all volumes to the last first.
        overwrite: replace existing files.
        provenance: record in the result how it was made (see `refinefuse info`).
        progress: show a progress bar on standard error, or a function called with the steps done and the total.
        on_slice: called for each slice with the sources and the result as displayed, 8 bits each.

    Raises:
        InputError: as in `fuse_volume`.
    """
    _check_outputs(outputs, paths, overwrite)
    volumes, transforms = options.read(paths), list[str]()
    if align is not None:
        volumes, messages, transforms = align_volumes(volumes, align, options)
    reader = SliceReader(volumes, options)
    if align is not None:
        reader.result.messages += messages
    fuser = load()
    record = _record(fuser, reader, options, transforms) if provenance else None
    writer = VolumeWriter(
        reader, outputs, fuser.color, options, overwrite=overwrite, provenance=record, on_slice=on_slice
    )
    checked: tuple[WarningKind, ...] = () if align else ("alignment",)
    run(reader, [Check(checked), Fuse(fuser, StageTimer("fuse"))], writer, progress=progress)
    return reader.result


def are_volumes(paths: Sequence[Path]) -> bool:
    """Whether all sources are volumes; False if none is.

    Raises:
        InputError: volumes and images are mixed.
    """
    found = [is_volume(path) for path in paths]
    if any(found) and not all(found):
        volume, image = paths[found.index(True)], paths[found.index(False)]
        raise InputError(
            "A volume and an image cannot be fused.\n"
            f"  volume: '{volume}'\n  image: '{image}'\n"
            "Pass two volumes (NIfTI files, DICOM files or folders), or two images."
        )
    return all(found)


class VolumeWriter:
    """Collects fused slices and writes the volume at the end.

    Args:
        reader: reader of the slices.
        outputs: output paths.
        color: `gray` removes the color.
        options: options for volumes.
        overwrite: replace existing files.
        provenance: provenance record; None writes none.
        on_slice: called with each slice as displayed.
    """

    def __init__(
        self,
        reader: SliceReader,
        outputs: OutputPaths,
        color: Color,
        options: VolumeOptions,
        *,
        overwrite: bool,
        provenance: Provenance | None = None,
        on_slice: OnSlice | None = None,
    ) -> None:
        self.reader, self.outputs, self.color, self.options = reader, outputs, color, options
        self.overwrite, self.provenance, self.on_slice = overwrite, provenance, on_slice
        colored_result = reader.colormap != "gray" and color != "gray"
        self._dtype = np.dtype(np.uint8 if colored_result else np.float32)
        self._fused = np.empty((*reader.shape, 3) if colored_result else reader.shape, self._dtype)
        wants_map = outputs.weight_map is not None
        self._weight_maps = np.empty(reader.shape, np.float32) if wants_map else None
        self._shown: list[list[NDArray[Any]]] = []

    def write(self, pairs: Iterator[Pair]) -> None:
        """Write the volume, or nothing if a slice could not be fused."""
        depth = self.reader.shape[2]
        shown = set(_spread(depth)) if self.outputs.montage is not None else set()
        for k, pair in enumerate(pairs):
            output = pair.require_output()
            *others, last = pair.planes
            image = restore_color(output.fused, merge_color_sources(others), last, self.color)
            self._fused[:, :, k] = pixels = to_array(image, self._dtype)
            if self._weight_maps is not None:
                self._weight_maps[:, :, k] = output.weight_map[0, 0].cpu().numpy()
            if k in shown:
                self._shown.append([*(to_array(source, np.float32) for source in pair.images), pixels])
            if self.on_slice is not None:
                self.on_slice([to_array(shown, np.uint8) for shown in (*pair.images, image)])
            self.reader.result.pair_warnings += pair.warnings
        self._write_files()
        self.reader.result.messages.append(
            f"{depth} slices of {self._fused.shape[0]} x {self._fused.shape[1]} fused on the grid of "
            f"'{self.reader.grid.path}'."
        )

    def _write_files(self) -> None:
        reader, outputs = self.reader, self.outputs
        comment = "" if self.provenance is None else self.provenance.to_text()
        for path in outputs.wanted():
            make_folder(path.parent)
        if is_nifti(outputs.output):
            turned = reorient_back(self._fused, reader.order, reader.signs)
            write_nifti(outputs.output, turned, reader.grid, comment)
        else:
            write_secondary_capture(
                outputs.output,
                self._fused,
                reader.affine,
                reader.volumes,
                anonymize=self.options.anonymize,
                provenance=_for_dicom(self.provenance),
            )
        if self._weight_maps is not None and outputs.weight_map is not None:
            turned = reorient_back(self._weight_maps, reader.order, reader.signs)
            write_nifti(outputs.weight_map, turned, reader.grid, comment)
        if outputs.montage is not None:
            lengths = np.linalg.norm(reader.affine[:3, :2], axis=0)
            montage = volume_montage(self._shown, float(lengths[0] / lengths[1]))
            write_image(outputs.montage, montage, overwrite=self.overwrite)


def _record(fuser: Fuser, reader: SliceReader, options: VolumeOptions, transforms: Sequence[str]) -> Provenance:
    """The provenance record, without source names if anonymized, because they may identify the patient."""
    names = [] if options.anonymize else [str(volume.path) for volume in reader.volumes]
    ranges = [describe_range(one, volume.units) for one, volume in zip(reader.ranges, reader.volumes, strict=True)]
    settings = {
        "modality": ", ".join(NAMES[volume.modality] for volume in reader.volumes),
        "range": ", ".join(ranges),
        "colormap": reader.colormap,
        "grid": f"source {next(k for k, one in enumerate(reader.volumes) if one is reader.grid) + 1}",
        "transform": ", ".join(transforms),
    }
    return Provenance.of(fuser).with_sources(names, settings)


def _for_dicom(record: Provenance | None) -> DerivationText:
    """The record as texts that fit DICOM; with many sources, without their long settings."""
    if record is None:
        return DerivationText()
    settings = dict(record.settings)
    for name in sorted(settings, key=lambda name: len(settings[name]), reverse=True):
        if len(record.to_text()) > _LONGEST:
            del settings[name]
            record = replace(record, settings=dict(settings))
    if len(record.to_text()) > _LONGEST:
        record = replace(record, sources=())
    return DerivationText(
        f"refinefuse {record.refinefuse}, weights {record.weights}, {record.file}".rstrip(", ") + ".", record.to_text()
    )


def _check_outputs(outputs: OutputPaths, paths: Sequence[Path], overwrite: bool) -> None:
    check_apart(outputs.wanted(), paths)
    if is_nifti(outputs.output):
        check_writable(outputs.output, overwrite=overwrite)
    elif outputs.output.suffix and not outputs.output.is_dir():
        raise InputError(
            f"Cannot write '{outputs.output}': volumes are written as NIfTI or as a folder of DICOM files.\n"
            f"  expected: {', '.join(NIFTI_EXTENSIONS)}, or the name of a folder\n  got: {outputs.output.suffix}\n"
            "Use one of these."
        )
    else:
        check_series_folder(outputs.output, overwrite=overwrite)
    if outputs.weight_map is not None:
        if not is_nifti(outputs.weight_map):
            raise InputError(
                f"Cannot write '{outputs.weight_map}': the weight map of a volume is a volume.\n"
                f"  expected: {', '.join(NIFTI_EXTENSIONS)}\nUse one of these extensions."
            )
        check_writable(outputs.weight_map, overwrite=overwrite)
    if outputs.montage is not None:
        check_target(outputs.montage, overwrite=overwrite)


def _spread(count: int, wanted: int = 6) -> list[int]:
    """Evenly spaced slice numbers for the montage, without the outer tenth at either end."""
    return sorted({round(k) for k in np.linspace(0.1 * (count - 1), 0.9 * (count - 1), wanted)})
