"""Align files: one pair, or all pairs of two folders."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from refinefuse.alignment.align import Alignment, SimilarityMetric, TransformChoice, align, find_working_type
from refinefuse.alignment.transform import Transform, TransformType
from refinefuse.alignment.warp import warp_and_fill
from refinefuse.atomic import check_writable
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import AlignmentError, RefineFuseError
from refinefuse.image.files import check_target, read_image, write_images
from refinefuse.image.pixels import Pixels
from refinefuse.inference.outputs import check_apart, make_folder
from refinefuse.progress import progress_bar

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlignOptions:
    """Options for aligning pairs.

    Attributes:
        transform_type: type of transform to estimate.
        metric: similarity metric.
        transform: a saved transform to apply instead; None aligns each pair separately.
        mask_a: an image that is black where `a` must be ignored.
        mask_b: an image that is black where `b` must be ignored.
    """

    transform_type: TransformChoice = "auto"
    metric: SimilarityMetric = "edges"
    transform: Transform | None = None
    mask_a: Path | None = None
    mask_b: Path | None = None

    def find(self, a: Pixels, b: Pixels) -> tuple[Transform, Alignment | None]:
        """Return the transform of a pair, and the alignment unless the transform was given.

        Raises:
            AlignmentError: the alignment is not reliable.
            InputError: an image or a mask cannot be used.
        """
        if self.transform is not None:
            return self.transform, None
        mask_a, mask_b = (None if path is None else _mask(path) for path in (self.mask_a, self.mask_b))
        look = partial(align, a, b, metric=self.metric, mask_a=mask_a, mask_b=mask_b)
        alignment = look(transform_type=self.transform_type)
        if not alignment.is_reliable:
            raise AlignmentError(_refusal(alignment, find_working_type(look, self.transform_type, self.metric)))
        return alignment.transform, alignment


@dataclass
class AlignFolderResult:
    """The result of aligning the pairs of two folders.

    Attributes:
        done: alignment by name of the pair; None for a given transform.
        failed: error message by name of the pair.
        unpaired: files without a counterpart.
    """

    done: dict[str, Alignment | None] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)


def _refusal(alignment: Alignment, working: TransformType | None) -> str:
    """Explain why an alignment is not reliable and what to do; `working` is a transform type that succeeds."""
    reasons = "\n".join(f"  {reason}" for reason in alignment.rejection_reasons)
    remedy = (
        "No other `transform_type` works better. Mask what differs (`mask_a`, `mask_b`), or use the transform of "
        "another pair of the same two cameras (`transform`)."
        if working is None
        else f"Another type of transform gives a reliable result: use `transform_type={working}`."
    )
    return f"The pair could not be aligned, so nothing was written.\n{reasons}\n{remedy}"


def align_files(
    a: Path,
    b: Path,
    output: Path,
    options: AlignOptions,
    *,
    save: Path | None = None,
    valid_mask: Path | None = None,
    overwrite: bool = False,
) -> Alignment | None:
    """Align one pair of files and write `a` on the grid of `b`; nothing is written on failure.

    Args:
        a: the moving image.
        b: the fixed image.
        output: file for the warped image.
        options: options for the alignment.
        save: JSON file for the transform.
        valid_mask: file for a mask image, white where `a` has data.
        overwrite: replace existing files.

    Returns:
        The alignment; None for a given transform.

    Raises:
        AlignmentError: the alignment is not reliable.
        InputError: a file cannot be read or written.
    """  # fmt: skip
    wanted = [path for path in (output, valid_mask) if path is not None]
    check_apart([*wanted, *([save] if save else [])], [a, b])
    for path in wanted:
        check_target(path, overwrite=overwrite)
    if save is not None:
        check_writable(save, overwrite=overwrite)
    first, second = read_image(a), read_image(b)
    transform, alignment = options.find(first, second)
    moved, covered = warp_and_fill(first, second, transform)
    write_images({output: moved} | ({valid_mask: covered} if valid_mask else {}), overwrite=overwrite)
    if save is not None:
        transform.save(save, overwrite=overwrite)
    return alignment


def align_folders(
    a: Path, b: Path, output: Path, options: AlignOptions, *, overwrite: bool = False, progress: bool = False
) -> AlignFolderResult:
    """Align all pairs of two folders, continuing if one fails.

    Results are PNG, or TIFF if `a` is float. Existing files are kept unless `overwrite` is set.

    Args:
        a: the folder of moving images.
        b: the folder of fixed images.
        output: folder for the warped images; created if missing.
        options: options for the alignment.
        overwrite: replace existing files.
        progress: show a progress bar on standard error.

    Raises:
        PairingError: the folders contain no pair.
        InputError: the output folder is an input folder, or cannot be created.
    """
    pairing = pair_folders(a, b)
    check_apart([output], [a, b])
    make_folder(output)
    unpaired = [*(str(a / name) for name in pairing.only_a), *(str(b / name) for name in pairing.only_b)]
    outcome = AlignFolderResult(unpaired=unpaired)
    for pair in progress_bar("aligning", pairing.pairs, show=progress):
        try:
            outcome.done[pair.name] = _align_pair(pair, output, options, overwrite)
        except RefineFuseError as error:  # the other pairs are still wanted
            logger.debug("'%s' failed", pair.name, exc_info=error)
            outcome.failed[pair.name] = str(error)
    return outcome


def _align_pair(pair: Pair, output: Path, options: AlignOptions, overwrite: bool) -> Alignment | None:
    first, second = read_image(pair.a), read_image(pair.b)
    target = output / f"{pair.name}{'.tif' if first.dtype == np.float32 else '.png'}"
    check_target(target, overwrite=overwrite)
    transform, alignment = options.find(first, second)
    write_images({target: warp_and_fill(first, second, transform)[0]}, overwrite=overwrite)
    return alignment


def _mask(path: Path) -> np.ndarray:
    pixels = read_image(path)
    return np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels[..., :3] > 0).any(-1))
