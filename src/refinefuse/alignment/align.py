"""Align a pair: search, refine, and decide whether the result can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool

from refinefuse.alignment.edges import Mask, luma
from refinefuse.alignment.mutual_information import MODELS, check_mutual, refine_mutual
from refinefuse.alignment.refine import (
    COARSE,
    FINE,
    HALF,
    SMALL,
    Refined,
    RegistrationInputs,
    add_displacement,
    measure,
    refine,
)
from refinefuse.alignment.search import Candidate, search
from refinefuse.alignment.transform import Transform, TransformType, centering, corners, project
from refinefuse.errors import InputError
from refinefuse.image.pixels import Pixels

#: Similarity metrics: edge directions, or after a search with them the mutual information of gray values.
SimilarityMetric = Literal["edges", "mutual-information"]
#: Transform types; `auto` is a similarity, or an affine transform if the edges agree clearly better with it.
TransformChoice: TypeAlias = TransformType | Literal["auto"]

_FROM_STIFF_TO_FREE: tuple[TransformType, ...] = ("translation", "rigid", "similarity", "affine", "homography")
_STARTS = 3  # candidates of the search to refine
_NEAR = 0.04  # of the longer side: transforms whose corners are closer on average count as the same
_ELSEWHERE = 0.12  # of the longer side: beyond this, transforms count as different
# Thresholds for reliable results, tuned on synthetically moved pairs; see docs/alignment.md for error rates.
_KEPT = 0.95  # an aligned pair may lose this little by chance
_FREER: dict[str, tuple[TransformType, float]] = {
    "translation": ("similarity", 1.3),
    "rigid": ("similarity", 1.3),
    "similarity": ("affine", 1.1),
}
"""If a more flexible transform agrees better by this factor, the more rigid one is wrong."""
_AGREEMENT, _LEAD, _ERROR, _OVERLAP = 40, 1.2, 0.0075, 0.3
_LEAST_ERROR = 3.0  # pixels: allowed disagreement for small images
_CELLS = 8  # squares along the longer side of the checkerboard that defines the two halves
_SMALLEST = 32  # pixels per side
_CONTRAST = 1e-3  # white minus black, of [0, 1]: less is a flat image


@dataclass(frozen=True, eq=False)
class Alignment:
    """The result of aligning a pair.

    Attributes:
        transform: maps pixels of `b` to positions in `a`.
        score_before: agreement of the edges without moving `a`, in standard deviations above chance.
        score_after: the same with the transform.
        peak_ratio: agreement of the result relative to the best clearly different transform of the search.
        corner_error: half the distance, in pixels of `b`, between the corners according to two halves of the image.
        overlap: fraction of `b` where `a` has data.
        rejection_reasons: why the result is not reliable; empty if it is.
    """

    transform: Transform
    score_before: float
    score_after: float
    peak_ratio: float
    corner_error: float
    overlap: float
    rejection_reasons: tuple[str, ...]

    @property
    def is_reliable(self) -> bool:
        """Whether the result can be trusted."""
        return not self.rejection_reasons


def align(
    a: Pixels,
    b: Pixels,
    *,
    transform_type: TransformChoice = "auto",
    metric: SimilarityMetric = "edges",
    mask_a: Bool[np.ndarray, "h w"] | None = None,
    mask_b: Bool[np.ndarray, "h2 w2"] | None = None,
) -> Alignment:
    """Estimate the transform that maps each pixel of `b` to its position in `a`.

    Args:
        a: the moving image: (h, w) or (h, w, c), uint8, uint16 or float32 in [0, 1].
        b: the fixed image, of any size.
        transform_type: type of transform; `auto` is a similarity, or an affine transform if the edges agree clearly
            better with it. Use the most rigid one that suffices. `translation` and `rigid` keep the scale: they assume
            that the pixels of `a` and `b` have the same size.
        metric: similarity measure.
        mask_a: where to use `a`; None means everywhere.
        mask_b: where to use `b`; None means everywhere.

    Returns:
        The transform, and whether it can be trusted.

    Raises:
        InputError: an array is no image, is smaller than 32 pixels per side, or a mask does not fit.
        MissingDependencyError: the metric is `mutual-information` and SimpleITK is not installed.
    """
    first = "similarity" if transform_type == "auto" else transform_type
    if metric == "mutual-information":
        check_mutual(first)
    inputs = _inputs(a, b, mask_a, mask_b)
    found = _align(inputs, first, metric)
    stiff = () if metric != "edges" or _flat(inputs) else _too_stiff(inputs, found)
    if stiff and transform_type == "auto":
        return _align(inputs, "affine", metric)
    return replace(found, rejection_reasons=(*found.rejection_reasons, *stiff))


def find_working_type(
    look: Callable[..., Alignment], tried: TransformChoice, metric: SimilarityMetric = "edges"
) -> TransformType | None:
    """Find a more flexible transform type for a pair that could not be aligned with the given one.

    More rigid types are not tried: they can look reliable but be wrong where a more flexible one is ambiguous.

    Args:
        look: a function that aligns the pair.
        tried: the type that failed.
        metric: similarity metric of `look`.

    Returns:
        The most rigid type with a reliable result; None if there is none.
    """
    if tried == "bspline":
        return None
    freer = _FROM_STIFF_TO_FREE[_FROM_STIFF_TO_FREE.index("affine" if tried == "auto" else tried) + 1 :]
    known = (one for one in freer if metric == "edges" or one in MODELS)
    return next((one for one in known if look(transform_type=one).is_reliable), None)


def _align(inputs: RegistrationInputs, transform_type: TransformType, metric: SimilarityMetric) -> Alignment:
    sizes = inputs.a.shape, inputs.b.shape
    found = search(inputs.a, inputs.b, transform_type, inputs.mask_a, inputs.mask_b)
    starts = [*_apart(found, sizes[1]), _as_it_is(inputs, transform_type).matrix]
    tried = (_try(inputs, start, transform_type, metric) for start in starts)
    best = _polish(inputs, max(tried, key=lambda one: one.score).matrix, transform_type, metric)
    transform = (
        add_displacement(inputs, best) if transform_type == "bspline" else Transform(transform_type, *sizes, best)
    )
    before, after = measure(inputs, _as_it_is(inputs, transform_type)), measure(inputs, transform)
    lead = _lead(found, measure(inputs, transform, SMALL), best, sizes[1])
    error = _error(inputs, best, transform_type, metric)
    _, inside = transform.resample(inputs.a, inputs.mask_a)
    overlap = float(inside.mean())
    allowed = max(_ERROR * max(sizes[1]), _LEAST_ERROR)
    rejection_reasons = _flat(inputs) or _rejection_reasons(before, after, lead, error, allowed, overlap)
    return Alignment(transform, before, after, lead, error, overlap, rejection_reasons)


def _inputs(a: Pixels, b: Pixels, mask_a: Mask | None, mask_b: Mask | None) -> RegistrationInputs:
    lumas, masks = [], []
    for name, pixels, mask in (("a", a, mask_a), ("b", b, mask_b)):
        try:
            gray = luma(pixels)
        except InputError as error:
            raise InputError(f"`{name}` cannot be aligned: {error}") from None
        if min(gray.shape) < _SMALLEST:
            raise InputError(
                f"`{name}` is too small to be aligned.\n  expected: at least {_SMALLEST} x {_SMALLEST}\n"
                f"  got: {gray.shape[0]} x {gray.shape[1]}\nUse larger images."
            )
        known = np.ones(gray.shape, bool) if mask is None else mask
        if known.shape != gray.shape:
            raise InputError(
                f"The mask of `{name}` must have its height and width.\n"
                f"  expected: {gray.shape[0]} x {gray.shape[1]}\n  got: {known.shape[0]} x {known.shape[1]}\n"
                "Draw each mask on its own image."
            )
        lumas.append(gray)
        masks.append(known)
    return RegistrationInputs(lumas[0], lumas[1], masks[0], masks[1])


def _apart(found: list[Candidate], size: tuple[int, int]) -> list[np.ndarray]:
    """Return the best clearly different candidates of a search."""
    starts: list[np.ndarray] = []
    for one in found:
        if all(_distance(one.matrix, other, size) > _NEAR * max(size) for other in starts):
            starts.append(one.matrix)
        if len(starts) == _STARTS:
            break
    return starts


def _distance(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    """Mean distance between the corners of `b` under two transforms, in pixels of `b`."""
    ends = corners(size)
    scale = np.sqrt(abs(np.linalg.det(one[:2, :2])))
    return float(np.linalg.norm(project(one, ends) - project(other, ends), axis=1).mean() / max(scale, 1e-9))


def _try(
    inputs: RegistrationInputs, start: np.ndarray, transform_type: TransformType, metric: SimilarityMetric
) -> Refined:
    if metric == "mutual-information":
        return refine_mutual(inputs, start, transform_type)
    return refine(inputs, start, transform_type, COARSE)


def _polish(
    inputs: RegistrationInputs, matrix: np.ndarray, transform_type: TransformType, metric: SimilarityMetric
) -> np.ndarray:
    return matrix if metric == "mutual-information" else refine(inputs, matrix, transform_type, FINE).matrix


def _lead(found: list[Candidate], score: float, best: np.ndarray, size: tuple[int, int]) -> float:
    """Ratio of the result's score to the best clearly different candidate, at the size of the search."""
    elsewhere = [one.score for one in found if _distance(best, one.matrix, size) > _ELSEWHERE * max(size)]
    return score / max(*elsewhere, 1e-9) if elsewhere else float("inf")


def _flat(inputs: RegistrationInputs) -> tuple[str, ...]:
    named = (("a", inputs.a), ("b", inputs.b))
    return tuple(f"all pixels of `{name}` have the same value" for name, gray in named if np.ptp(gray) < _CONTRAST)


def _rejection_reasons(
    before: float, after: float, lead: float, error: float, allowed: float, overlap: float
) -> tuple[str, ...]:
    """Reasons why a result is not reliable; `error` and `allowed` are in pixels."""
    rules = (
        (
            after >= _KEPT * before,
            f"the edges agree less after alignment than before: {after:.0f} standard deviations, {before:.0f} before",
        ),
        (
            after >= _AGREEMENT,
            f"the edges agree too little: {after:.0f} standard deviations, at least {_AGREEMENT} are needed",
        ),
        (lead >= _LEAD, f"the match is ambiguous: another transform scores {1 / max(lead, 1e-3):.0%} of the best"),
        (
            error <= allowed,
            f"two halves of the image disagree by {2 * error:.1f} pixels, at most {2 * allowed:.1f} are allowed",
        ),
        (overlap >= _OVERLAP, f"`a` covers only {overlap:.0%} of `b`, at least {_OVERLAP:.0%} is needed"),
    )
    return tuple(text for holds, text in rules if not holds)


def _too_stiff(inputs: RegistrationInputs, found: Alignment) -> tuple[str, ...]:
    """Return a rejection reason if the images agree much better with a more flexible transform."""
    transform_type = found.transform.transform_type
    if transform_type not in _FREER:
        return ()
    freer, factor = _FREER[transform_type]
    matrix = found.transform.matrix
    for levels in (COARSE, FINE):
        matrix = refine(inputs, matrix, freer, levels).matrix
    free = measure(inputs, Transform(freer, inputs.a.shape, inputs.b.shape, matrix))
    if free < factor * found.score_after:
        return ()
    return (
        f"the edges agree much better with a transform of the type {freer} than {transform_type}: {free:.0f} "
        f"standard deviations instead of {found.score_after:.0f}",
    )


def _error(
    inputs: RegistrationInputs, matrix: np.ndarray, transform_type: TransformType, metric: SimilarityMetric
) -> float:
    """Half the corner distance, in pixels of `b`, between transforms fitted to the two halves of a checkerboard."""
    h, w = inputs.b.shape
    side = max(h, w) / _CELLS
    y, x = np.mgrid[:h, :w]
    light = ((x // side).astype(int) + (y // side).astype(int)) % 2 == 0
    results = []
    for half in (light, ~light):
        part = inputs._replace(mask_b=inputs.mask_b & half)
        found = (
            refine_mutual(part, matrix, transform_type)
            if metric == "mutual-information"
            else refine(part, matrix, transform_type, HALF)
        )
        results.append(found.matrix)
    return _distance(results[0], results[1], (h, w)) / 2


def _as_it_is(inputs: RegistrationInputs, transform_type: TransformType) -> Transform:
    """Center `a` on `b`, scaled to fit if the transform type allows it."""
    size_moving, size_fixed = inputs.a.shape, inputs.b.shape
    scale = (
        1.0
        if transform_type in ("translation", "rigid")
        else max(x / y for x, y in zip(size_moving, size_fixed, strict=True))
    )
    matrix = centering(size_moving) @ np.diag([scale, scale, 1]) @ np.linalg.inv(centering(size_fixed))
    return Transform(transform_type, size_moving, size_fixed, matrix)
