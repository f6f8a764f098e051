"""`refinefuse volume`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from refinefuse.cli.arguments import NetworkArguments, VolumeArguments

EXAMPLES = """\
  refinefuse volume mri.nii.gz pet.nii.gz -o fused.nii.gz
  refinefuse volume ct/ mri/ -o fused/ --window brain
  refinefuse volume ct.nii.gz mri.nii.gz -o fused.nii.gz --align
  refinefuse volume study/ study/ -o fused.nii --series 2,5 --montage overview.png
"""


@dataclass
class ResultArguments:
    """Results.

    Attributes:
        output: Fused volume: .nii, .nii.gz, or a folder for DICOM.
        weight_map: Also save the weight map of A as a volume (.nii, .nii.gz).
        montage: Also save an image with some slices: A, B and the fused slice side by side.
        grid: Source whose grid the result gets; without it, the one with the smallest voxels.
        anonymize: Remove all patient and study data from DICOM results.
        overwrite: Replace existing files.
        no_provenance: Do not record how a result was made (see `refinefuse info`).
    """

    output: Path
    weight_map: Path | None = None
    montage: Path | None = None
    grid: Literal["a", "b"] | None = None
    anonymize: bool = False
    overwrite: bool = False
    no_provenance: bool = False


@dataclass
class RegistrationArguments:
    """Registration.

    Attributes:
        align: First register the other volumes to the last one, by mutual information (extra `align`).
        transform_type: Type of transform: rigid for the same body in two scanners, affine if their scales differ.
    """

    align: bool = False
    transform_type: Literal["rigid", "affine"] = "rigid"


def run(
    a: Path,
    b: Path,
    *more: Path,
    results: ResultArguments,
    volumes: VolumeArguments,
    registration: RegistrationArguments,
    network: NetworkArguments,
) -> int:
    """Fuse medical volumes slice by slice: CT, MRI, PET, SPECT as NIfTI or DICOM.

    Not a medical device: not for diagnosis or treatment. The volumes must be registered; --align does that. Needs the
    extra `medical`.

    Args:
        a: CT or MRI: NIfTI file, DICOM file or folder of DICOM files.
        b: MRI, PET or SPECT: the volume whose color is kept.
        more: Further volumes. The last volume is always the one whose color is kept.
        results: Where results go.
        volumes: How volumes are read.
        registration: Whether sources are registered.
        network: What fuses.
    """
    from refinefuse.cli.session import prepare, session

    prepare()
    from refinefuse.cli.reporting import Loader, check_kind, report_volume
    from refinefuse.inference.outputs import OutputPaths
    from refinefuse.inference.volumes import fuse_volumes
    from refinefuse.weights.store import MEDICAL

    paths = (a, b, *more)
    check_kind("volume", tuple(map(str, paths)), str(results.output))
    options = replace(volumes.options(len(paths)), grid=results.grid, anonymize=results.anonymize)
    outputs = OutputPaths(results.output, results.weight_map, results.montage)
    loader = Loader(lambda: network.load(MEDICAL))
    outcome = fuse_volumes(
        loader,
        paths,
        outputs,
        options,
        align=registration.transform_type if registration.align else None,
        overwrite=results.overwrite,
        provenance=not results.no_provenance,
        progress=not session.quiet,
    )
    return report_volume(outcome, loader)
