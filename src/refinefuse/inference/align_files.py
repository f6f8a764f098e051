"""Files in, aligned files out: one pair, or all pairs of two folders."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from refinefuse.alignment.align import Alignment, SimilarityMetric, align
from refinefuse.alignment.transform import Transform, TransformType
from refinefuse.alignment.warp import warp_and_fill
from refinefuse.atomic import check_writable
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import AlignmentError, InputError, RefineFuseError
from refinefuse.image.files import check_target, read_image, write_images
from refinefuse.image.pixels import Pixels


@dataclass(frozen=True)
class AlignOptions:
    """How pairs are aligned.

    Attributes:
        transform_type: what may move.
        metric: what is compared.
        transform: a saved transform that is used instead; None: each pair is aligned by itself.
        mask_a: a image that is black where `a` is not to be looked at.
        mask_b: a image that is black where `b` is not to be looked at.
    """

    transform_type: TransformType = "similarity"
    metric: SimilarityMetric = "edges"
    transform: Transform | None = None
    mask_a: Path | None = None
    mask_b: Path | None = None

    def find(self, a: Pixels, b: Pixels) -> tuple[Transform, Alignment | None]:
        """The transform of a pair, and how it was found if it was not given.

        Raises:
            AlignmentError: no motion was found that can be trusted.
            InputError: a image or a mask cannot be used.
        """
        if self.transform is not None:
            return self.transform, None
        masks = (None if path is None else _mask(path) for path in (self.mask_a, self.mask_b))
        alignment = align(a, b, self.transform_type, self.metric, **dict(zip(("mask_a", "mask_b"), masks, strict=True)))
        if not alignment.is_reliable:
            raise AlignmentError(refusal(alignment))
        return alignment.transform, alignment


@dataclass
class AlignFolderResult:
    """What became of a folder of pairs.

    Attributes:
        done: what was found, by the name of the pair; None under a given transform.
        failed: what went wrong, by the name of the pair.
        unpaired: the files without a partner.
    """

    done: dict[str, Alignment | None] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)


def refusal(alignment: Alignment) -> str:
    """Why an alignment is not to be trusted, and what to do."""
    reasons = "\n".join(f"  {reason}" for reason in alignment.rejection_reasons)
    return (
        f"The pair could not be aligned, so nothing was written.\n{reasons}\n"
        "Try another --transform-type, mask what differs (--mask-a, --mask-b), or use a transform that another pair of the "
        "same two cameras gave (--transform)."
    )


def align_files(
    a: Path,
    b: Path,
    output: Path,
    how: AlignOptions,
    *,
    save: Path | None = None,
    valid_mask: Path | None = None,
    overwrite: bool = False,
) -> Alignment | None:
    """Align one pair of files and write `a` on the grid of `b`; nothing is written if that fails.

    Args:
        a: the image that moves.
        b: the image that stays.
        output: where to write the moved image.
        how: what may move, or by which transform.
        save: where to write the transform as JSON.
        valid_mask: where to write a image that is white where `a` has data.
        overwrite: replace files that are there.

    Returns:
        How good the alignment is; None under a given transform.

    Raises:
        AlignmentError: no motion was found that can be trusted.
        InputError: a file cannot be read or written.
    """  # fmt: skip
    wanted = [path for path in (output, valid_mask) if path is not None]
    _check_apart([*wanted, *([save] if save else [])], [a, b])
    for path in wanted:
        check_target(path, overwrite=overwrite)
    if save is not None:
        check_writable(save, overwrite=overwrite)
    first, second = read_image(a), read_image(b)
    transform, alignment = how.find(first, second)
    moved, covered = warp_and_fill(first, second, transform)
    write_images({output: moved} | ({valid_mask: covered} if valid_mask else {}), overwrite=overwrite)
    if save is not None:
        transform.save(save, overwrite=overwrite)
    return alignment


def align_folders(a: Path, b: Path, output: Path, how: AlignOptions, *, overwrite: bool = False) -> AlignFolderResult:
    """Align all pairs of two folders, go on where one fails, and show progress on standard error.

    Results are PNG, but TIFF where `a` is float. A file that is there is left as it is unless `overwrite` is set.

    Raises:
        PairingError: the folders hold no pair.
        InputError: the output folder is one of them, or cannot be made.
    """
    pairing = pair_folders(a, b)
    _check_apart([output], [a, b])
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{output}' cannot be made: {error.strerror}.\nGive another folder.") from None
    alone = [*(str(a / name) for name in pairing.only_a), *(str(b / name) for name in pairing.only_b)]
    outcome = AlignFolderResult(unpaired=alone)
    for pair in tqdm(pairing.pairs, "aligning", unit="pair", file=sys.stderr, disable=None):
        try:
            outcome.done[pair.name] = _align_pair(pair, output, how, overwrite)
        except RefineFuseError as error:  # noqa: PERF203  # the other pairs are still wanted
            outcome.failed[pair.name] = str(error)
    return outcome


def _align_pair(pair: Pair, output: Path, how: AlignOptions, overwrite: bool) -> Alignment | None:
    first, second = read_image(pair.a), read_image(pair.b)
    target = output / f"{pair.name}{'.tif' if first.dtype == np.float32 else '.png'}"
    check_target(target, overwrite=overwrite)
    transform, alignment = how.find(first, second)
    write_images({target: warp_and_fill(first, second, transform)[0]}, overwrite=overwrite)
    return alignment


def _mask(path: Path) -> np.ndarray:
    pixels = read_image(path)
    return np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels[..., :3] > 0).any(-1))


def _check_apart(targets: list[Path], sources: list[Path]) -> None:
    seen = {source.resolve() for source in sources}
    for path in targets:
        if path.resolve() in seen:
            raise InputError(
                f"'{path}' is named twice, as a source or as another result.\nGive each result a place of its own."
            )
        seen.add(path.resolve())
