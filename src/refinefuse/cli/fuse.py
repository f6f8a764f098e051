"""`refinefuse fuse`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refinefuse.cli.arguments import FolderThermalArguments, NetworkArguments, RegistrationArguments

if TYPE_CHECKING:
    from refinefuse.inference.outputs import OutputPaths

EXAMPLES = """\
  refinefuse fuse ir.png vi.png -o fused.png
  refinefuse fuse ir/ vi/ -o fused/ --weight-map maps/
  refinefuse fuse lepton.tif vi.jpg -o fused.png --range percentile:1,99 --align
"""


@dataclass
class FolderArguments:
    """Folders.

    Attributes:
        pair_by: What the differing names of a pair have in common: a regular expression (its first group, or the whole
            match), or time:SECONDS for the nearest timestamps. Not needed for sensor names (01_ir, 01_vis).
        recursive: Include subfolders.
    """

    pair_by: str | None = None
    recursive: bool = False


@dataclass
class ResultArguments:
    """Results.

    Attributes:
        output: Fused image, or folder for fused images.
        weight_map: Also save the weight map of A (white: entirely A); with folders, a folder.
        montage: Also save A, B and the fused image side by side; with folders, a folder.
        color: Color source; both mixes by saturation.
        format: Format of a folder's results.
        png_level: PNG compression: 0 (none), 1 (fast), 2 (smaller) to 9.
        overwrite: Replace existing files.
        no_provenance: Do not record how a result was made (see `refinefuse info`).
    """

    output: str
    weight_map: str | None = None
    montage: str | None = None
    color: Literal["b", "a", "both", "gray"] = "b"
    format: Literal["auto", "png", "tiff", "webp", "jpeg"] = "auto"
    png_level: int = 1
    overwrite: bool = False
    no_provenance: bool = False

    def check(self) -> None:
        """Reject an invalid PNG level, and `-` (standard output) as an output.

        Raises:
            InputError: an option is invalid.
        """
        from refinefuse.errors import InputError

        if self.png_level not in range(10):
            raise InputError(f"--png-level must be from 0 to 9.\n  got: {self.png_level}")
        if "-" in (self.output, self.weight_map, self.montage):
            raise InputError("Cannot write to standard output ('-').\nPass a file name with an extension, or a folder.")

    def paths(self, name: str | None, suffix: str) -> OutputPaths:
        """Return the output paths; for a single pair of the given name, a folder means a file in it."""
        from refinefuse.inference.outputs import OutputPaths, suffix_of

        def path(text: str | None, suffix: str) -> Path | None:
            if text is None:
                return None
            inside = name is not None and (text.endswith(("/", os.sep)) or Path(text).is_dir())
            return Path(text) / f"{name}{suffix}" if inside else Path(text)

        wanted = suffix_of(self.format)
        output = path(self.output, wanted or suffix) or Path(self.output)
        return OutputPaths(output, path(self.weight_map, ".png"), path(self.montage, ".png"), wanted, self.png_level)


def run(
    a: str,
    b: str,
    *more: str,
    results: ResultArguments,
    folders: FolderArguments,
    thermal: FolderThermalArguments,
    registration: RegistrationArguments,
    network: NetworkArguments,
) -> int:
    """Fuse a pair of images, or all pairs of two folders.

    Images of two folders are paired by name without extension. Results that exist are skipped if they were made with
    the same options and weights. Videos: `refinefuse video`. CT, MRI, PET as NIfTI or DICOM: `refinefuse volume`.

    Args:
        a: Infrared (CT, MRI) image or folder: the source whose color is not used.
        b: Visible (PET, SPECT) image or folder: the source whose color is kept.
        more: Further sources. The last source is always the one whose color is kept.
        results: Where results go.
        folders: How folders are read.
        thermal: How A is read.
        registration: How sources are aligned.
        network: What fuses.
    """
    from refinefuse.cli.session import prepare, session

    prepare()
    from refinefuse.cli.reporting import Loader, check_kind, report_folder, report_pair
    from refinefuse.inference.folders import fuse_files, fuse_folders
    from refinefuse.weights.store import DEFAULT

    results.check()
    names = (a, b, *more)
    check_kind("fuse", names, results.output)
    sources = [Path(name) for name in names]
    loader = Loader(lambda: network.load(DEFAULT, results.color))
    options = thermal.options(per_image=thermal.range_per_image, palette=thermal.palette), registration.options()
    overwrite, provenance, progress = results.overwrite, not results.no_provenance, not session.quiet
    if any(source.is_dir() for source in sources):
        outputs = results.paths(None, "")
        folder = fuse_folders(
            loader,
            sources,
            outputs,
            *options,
            pair_by=folders.pair_by,
            recursive=folders.recursive,
            overwrite=overwrite,
            provenance=provenance,
            progress=progress,
        )
        return report_folder(folder, outputs.output, loader)
    suffix = ".tif" if any(source.suffix.lower() in (".tif", ".tiff") for source in sources) else ".png"
    outputs = results.paths(sources[-1].stem, suffix)
    pair = fuse_files(loader, sources, outputs, *options, overwrite=overwrite, provenance=provenance, progress=progress)
    return report_pair(pair, outputs.output, loader)
