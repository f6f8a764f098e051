"""`refinefuse align`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refinefuse.cli.session import print_failures

if TYPE_CHECKING:
    from refinefuse.alignment.align import Alignment
    from refinefuse.inference.align_files import AlignFolderResult

EXAMPLES = """\
  refinefuse align ir.png vi.png -o ir_aligned.png
  refinefuse align ir.png vi.png -o ir_aligned.png --transform-type homography --save-transform rig.json
  refinefuse align ct.nii.gz mri.nii.gz -o ct_aligned.nii.gz
  refinefuse align ir/ vi/ -o ir_aligned/ --transform rig.json
"""


@dataclass
class ResultArguments:
    """Results.

    Attributes:
        output: Aligned image, folder for aligned images, or registered volume (.nii, .nii.gz).
        save_transform: Also save the transform: as JSON, or for volumes in ITK's format (.tfm).
        valid_mask: Also save a mask, an image or volume, that is white where A has data.
        overwrite: Replace existing files.
    """

    output: Path
    save_transform: Path | None = None
    valid_mask: Path | None = None
    overwrite: bool = False


@dataclass
class SearchArguments:
    """Transform.

    Attributes:
        transform_type: Type of transform. similarity is translation, rotation and scale; auto is similarity, or affine
            if that fits clearly better; bspline also deforms. Use the most rigid one that suffices. For volumes, rigid
            (auto) or affine.
        metric: Similarity measure: edge directions, or mutual-information to refine by gray values (extra `align`).
            Volumes always use mutual information.
        transform: Apply a saved transform to all pairs of a fixed rig instead of estimating one.
        mask_a: Image that is black wherever A should be ignored.
        mask_b: Image that is black wherever B should be ignored.
    """

    transform_type: Literal["auto", "translation", "rigid", "similarity", "affine", "homography", "bspline"] = "auto"
    metric: Literal["edges", "mutual-information"] = "edges"
    transform: Path | None = None
    mask_a: Path | None = None
    mask_b: Path | None = None


def run(a: Path, b: Path, *, results: ResultArguments, search: SearchArguments) -> int:
    """Align an image, a folder of images or a medical volume to that of another sensor.

    Where A has no data, the result shows B, so that fusing it gives B there. If no reliable transform is found, nothing
    is written and the exit code is 1.

    Args:
        a: Infrared (CT, MRI) image, folder or volume: the one that moves.
        b: Visible (PET, SPECT) image, folder or volume: the one that stays. The sizes may differ.
        results: Where results go.
        search: How A is aligned.
    """
    from refinefuse.cli.arguments import load_given
    from refinefuse.cli.session import session
    from refinefuse.errors import InputError
    from refinefuse.inference.align_files import AlignOptions, align_files, align_folders
    from refinefuse.inference.volumes import are_volumes

    if are_volumes((a, b)):
        return _align_volumes(a, b, results, search)
    options = AlignOptions(
        search.transform_type, search.metric, load_given(search.transform), search.mask_a, search.mask_b
    )
    output, save, mask, overwrite = results.output, results.save_transform, results.valid_mask, results.overwrite
    if not (a.is_dir() or b.is_dir()):
        found = align_files(a, b, output, options, save=save, valid_mask=mask, overwrite=overwrite)
        print(f"{_describe(found)}See '{output}'.")
        return 0
    if save is not None or mask is not None:
        raise InputError(
            "--save-transform and --valid-mask work on a single pair.\n  got: two folders\n"
            "Align one pair, save its transform, and apply it to the folders (--transform)."
        )
    outcome = align_folders(a, b, output, options, overwrite=overwrite, progress=not session.quiet)
    return _report(outcome, output)


def _align_volumes(a: Path, b: Path, results: ResultArguments, search: SearchArguments) -> int:
    from refinefuse.errors import InputError
    from refinefuse.inference.align_volumes import align_volume, describe

    given = (("--transform", search.transform), ("--mask-a", search.mask_a), ("--mask-b", search.mask_b))
    for option, path in given:
        if path is not None:
            raise InputError(f"{option} is for images.\n  got: volumes\nRemove it.")
    if search.transform_type not in ("auto", "rigid", "affine"):
        raise InputError(
            f"Volumes can only be registered by rigid or affine transforms.\n  got: {search.transform_type}"
        )
    found = align_volume(
        a,
        b,
        results.output,
        transform_type="affine" if search.transform_type == "affine" else "rigid",
        save_transform=results.save_transform,
        valid_mask=results.valid_mask,
        overwrite=results.overwrite,
    )
    print(f"{describe(found).capitalize()}. See '{results.output}'.")
    return 0


def _report(outcome: AlignFolderResult, output: Path) -> int:
    for name, alignment in outcome.done.items():
        print(f"{name}: {_describe(alignment) or 'moved.'}")
    print(f"{len(outcome.done)} aligned, {len(outcome.failed)} failed. See '{output}'.")
    return print_failures(outcome.failed, outcome.unpaired)


def _describe(found: Alignment | None) -> str:
    """Describe the quality of an alignment in one line."""
    if found is None:
        return ""
    return (
        f"Edges agree {found.score_before:.0f} standard deviations above chance before, {found.score_after:.0f} after; "
        f"corners are known to about {found.corner_error:.1f} pixels; `a` covers {found.overlap:.0%} of `b`. "
    )
