"""`refinefuse align`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from refinefuse.alignment.align import Alignment


def run(
    a: Path,
    b: Path,
    *,
    output: Path,
    transform_type: Literal["translation", "rigid", "similarity", "affine", "homography", "bspline"] = "similarity",
    metric: Literal["edges", "mutual-information"] = "edges",
    transform: Path | None = None,
    save_transform: Path | None = None,
    valid_mask: Path | None = None,
    mask_a: Path | None = None,
    mask_b: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Bring a image onto the grid of another one that a different sensor took, or the images of two folders.

    Where `a` has no data the result shows what `b` shows, so that fusing gives `b` there. If no motion is found that
    can be trusted, it says so, writes nothing and exits with 1.

    Args:
        a: the image (infrared, CT, MRI) or folder that moves.
        b: the image (visible, PET, SPECT) or folder that stays, of any size.
        output: the moved image, or the folder for moved images.
        transform_type: what may move; similarity is shift, rotation and scale, bspline bends. Choose the stiffest that will do.
        metric: edges compares their directions, as a rule the better one; mutual refines by mutual information (extra
            `align`).
        transform: use this saved transform instead of looking for one: for all pairs of a fixed rig.
        save_transform: write the transform to this JSON file.
        valid_mask: also write a image that is white where `a` has data.
        mask_a: a image that is black where `a` is not to be looked at.
        mask_b: a image that is black where `b` is not to be looked at.
        overwrite: replace files that are there.
    """
    from refinefuse.alignment.transform import load_transform
    from refinefuse.errors import InputError, format_names
    from refinefuse.inference.align_files import AlignOptions, align_files, align_folders

    how = AlignOptions(transform_type, metric, None if transform is None else load_transform(transform), mask_a, mask_b)
    if not (a.is_dir() or b.is_dir()):
        found = align_files(a, b, output, how, save=save_transform, valid_mask=valid_mask, overwrite=overwrite)
        print(f"{_told(found)}See '{output}'.")
        return 0
    if save_transform is not None or valid_mask is not None:
        raise InputError(
            "--save-transform and --valid-mask are for one pair.\n  got: two folders\n"
            "Align one pair, save its transform, and use it for the folders (--transform)."
        )
    outcome = align_folders(a, b, output, how, overwrite=overwrite)
    for name, alignment in outcome.done.items():
        print(f"{name}: {_told(alignment) or 'moved.'}")
    print(f"{len(outcome.done)} aligned, {len(outcome.failed)} failed. See '{output}'.")
    for name, message in outcome.failed.items():
        print(f"\n{name}: {message}", file=sys.stderr)
    if outcome.unpaired:
        print(f"\nWithout a partner of the same name:\n{format_names(outcome.unpaired)}", file=sys.stderr)
    return 1 if outcome.failed or outcome.unpaired else 0


def _told(found: Alignment | None) -> str:
    """The quality of an alignment, in one line."""
    if found is None:
        return ""
    return (
        f"Edges agree {found.score_before:.0f} standard deviations over chance before, {found.score_after:.0f} after; corners are "
        f"known to about {found.corner_error:.1f} pixels; `a` covers {found.overlap:.0%} of `b`. "
    )
