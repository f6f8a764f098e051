"""Files in, aligned files out: one pair, or all pairs of two folders; and the check of pairs before they are fused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from refinefuse.alignment.align import Alignment, Metric, align
from refinefuse.alignment.check import doubts_of
from refinefuse.alignment.lay import lay
from refinefuse.alignment.transform import Model, Transform, load_transform
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import AlignmentError, InputError, RefineFuseError, listing
from refinefuse.image.files import IMAGE_EXTENSIONS, check_place, check_target, read_image, write_images
from refinefuse.image.pixels import Pixels

_LOOKED_AT = 50  # pairs of a folder that are checked, unless all are asked for


@dataclass(frozen=True)
class How:
    """How pairs are aligned.

    Attributes:
        model: what may move.
        metric: what is compared.
        transform: a saved transform that is used instead; None: each pair is aligned by itself.
        mask_a: a picture that is black where `a` is not to be looked at.
        mask_b: a picture that is black where `b` is not to be looked at.
    """

    model: Model = "similarity"
    metric: Metric = "edges"
    transform: Transform | None = None
    mask_a: Path | None = None
    mask_b: Path | None = None

    def find(self, a: Pixels, b: Pixels) -> tuple[Transform, Alignment | None]:
        """The transform of a pair, and how it was found if it was not given.

        Raises:
            AlignmentError: no motion was found that can be trusted.
            InputError: a picture or a mask cannot be used.
        """
        if self.transform is not None:
            return self.transform, None
        masks = (None if path is None else _mask(path) for path in (self.mask_a, self.mask_b))
        alignment = align(a, b, self.model, self.metric, **dict(zip(("mask_a", "mask_b"), masks, strict=True)))
        if not alignment.converged:
            raise AlignmentError(refusal(alignment))
        return alignment.transform, alignment


@dataclass
class AlignOutcome:
    """What became of a folder of pairs.

    Attributes:
        done: what was found, by the name of the pair; None under a given transform.
        failed: what went wrong, by the name of the pair.
        alone: the files without a partner.
    """

    done: dict[str, Alignment | None] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)


def refusal(alignment: Alignment) -> str:
    """Why an alignment is not to be trusted, and what to do."""
    doubts = "\n".join(f"  {doubt}" for doubt in alignment.doubts)
    return (
        f"The pair could not be aligned, so nothing was written.\n{doubts}\n"
        "Try a stiffer --model, mask what differs (--mask-a, --mask-b), or use a transform that another pair of the "
        "same two cameras gave (--transform)."
    )


def align_files(
    a: Path,
    b: Path,
    output: Path,
    how: How,
    *,
    save: Path | None = None,
    coverage: Path | None = None,
    overwrite: bool = False,
) -> Alignment | None:
    """Align one pair of files and write `a` on the grid of `b`; nothing is written if that fails.

    Args:
        a: the picture that moves.
        b: the picture that stays.
        output: where to write the moved picture.
        how: what may move, or by which transform.
        save: where to write the transform as JSON.
        coverage: where to write a picture that is white where `a` has data.
        overwrite: replace files that are there.

    Returns:
        How good the alignment is; None under a given transform.

    Raises:
        AlignmentError: no motion was found that can be trusted.
        InputError: a file cannot be read or written.
    """  # fmt: skip
    wanted = [path for path in (output, coverage) if path is not None]
    _check_apart([*wanted, *([save] if save else [])], [a, b])
    for path in wanted:
        check_target(path, overwrite=overwrite)
    if save is not None:
        check_place(save, overwrite=overwrite)
    first, second = read_image(a), read_image(b)
    transform, alignment = how.find(first, second)
    moved, covered = lay(first, second, transform)
    write_images({output: moved} | ({coverage: covered} if coverage else {}), overwrite=overwrite)
    if save is not None:
        transform.save(save, overwrite=overwrite)
    return alignment


def align_folders(a: Path, b: Path, output: Path, how: How, *, overwrite: bool = False) -> AlignOutcome:
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
    outcome = AlignOutcome(alone=alone)
    for pair in tqdm(pairing.pairs, "aligning", unit="pair", file=sys.stderr, disable=None):
        try:
            outcome.done[pair.name] = _align_pair(pair, output, how, overwrite)
        except RefineFuseError as error:  # noqa: PERF203  # the other pairs are still wanted
            outcome.failed[pair.name] = str(error)
    return outcome


def _align_pair(pair: Pair, output: Path, how: How, overwrite: bool) -> Alignment | None:
    first, second = read_image(pair.a), read_image(pair.b)
    target = output / f"{pair.name}{'.tif' if first.dtype == np.float32 else '.png'}"
    check_target(target, overwrite=overwrite)
    transform, alignment = how.find(first, second)
    write_images({target: lay(first, second, transform)[0]}, overwrite=overwrite)
    return alignment


@contextmanager
def aligned(a: Path, b: Path, output: Path, transform: Path | None) -> Iterator[tuple[Path, AlignOutcome]]:
    """`a` on the grid of `b`, as files that live as long as the block, for whatever fuses files.

    Args:
        a: a picture or a folder.
        b: a picture or a folder.
        output: what is going to be written, which must not be `a`.
        transform: a saved transform; None: each pair is aligned by itself, as a similarity.

    Raises:
        AlignmentError: the pair, or each pair of the folders, could not be aligned.
        InputError: a file cannot be read.
    """
    _check_apart([output], [a])
    how = How(transform=None if transform is None else load_transform(transform))
    with TemporaryDirectory(prefix="refinefuse-") as folder:
        if a.is_dir() or b.is_dir():
            outcome = align_folders(a, b, Path(folder), how, overwrite=True)
            if not outcome.done:
                reason = next(iter(outcome.failed.values()))
                raise AlignmentError(f"None of the {len(outcome.failed)} pairs could be aligned. The first:\n{reason}")
            yield Path(folder), outcome
        else:
            target = Path(folder) / f"{a.stem}.tif"  # holds whatever a picture can be
            yield target, AlignOutcome({a.stem: align_files(a, b, target, how)})


def look(a: Path, b: Path, *, strict: bool) -> None:
    """Check pairs before they are fused, and warn on standard error of those that look wrong.

    Of two folders, some 50 pairs are looked at, spread evenly; all of them if `strict`. What is no readable picture is
    passed over: whoever fuses it says why.

    Raises:
        AlignmentError: `strict`, and a pair looks wrong.
    """
    found: dict[str, list[str]] = {}
    for first, second in _some(a, b, every=strict):
        try:
            doubts = doubts_of(read_image(first), read_image(second))
        except RefineFuseError:
            continue
        for doubt in doubts:
            found.setdefault(doubt, []).append(str(first))
    if not found:
        return
    text = "\n".join(f"{doubt}.\n{listing(names)}" for doubt, names in list(found.items())[:5])
    if len(found) > 5:
        text += f"\n... and {len(found) - 5} more"
    if strict:
        raise AlignmentError(f"{text}\nAlign first (--align), or leave --strict out.")
    print(f"warning: {text}\nIf so, align first (--align).", file=sys.stderr)  # noqa: T201


def _some(a: Path, b: Path, *, every: bool) -> list[tuple[Path, Path]]:
    if not (a.is_dir() or b.is_dir()):
        return [(a, b)] if all(path.suffix.lower() in IMAGE_EXTENSIONS for path in (a, b)) else []
    try:
        pairs = pair_folders(a, b).pairs
    except RefineFuseError:
        return []
    step = 1 if every else -(-len(pairs) // _LOOKED_AT)
    return [(pair.a, pair.b) for pair in pairs[::step]]


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
