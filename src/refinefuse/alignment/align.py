"""Align a pair: search, refine, and judge whether the result can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from refinefuse.alignment.edges import Mask, luma
from refinefuse.alignment.mutual import check_mutual, refine_mutual
from refinefuse.alignment.refine import COARSE, FINE, HALF, SMALL, Pictures, Refined, bend, measure, refine
from refinefuse.alignment.search import Found, search
from refinefuse.alignment.transform import Model, Transform, centring, corners, project
from refinefuse.errors import InputError
from refinefuse.image.pixels import Pixels

#: What is compared: the directions of edges, or after a search by them the mutual information of grey values.
Metric = Literal["edges", "mutual"]

_STARTS = 3  # motions of the search that are refined
_NEAR = 0.04  # of the longer side: corners nearer to each other on average are those of one motion
_ELSEWHERE = 0.12  # of the longer side: farther away, it is another motion
# What a result must reach to be trusted, chosen on moved pairs: docs/alignment.md tells how often it errs.
_KEPT = 0.95  # what is aligned already may lose this little by chance
_FREER = 1.3  # if a scale (and rotation) agrees better by this factor, a model without it is wrong
_AGREEMENT, _LEAD, _ERROR, _OVERLAP = 40, 1.2, 0.0075, 0.3
_LEAST_ERROR = 3.0  # pixels: halves of small pictures may disagree by this
_CELLS = 8  # squares along the longer side of the chessboard that makes the two halves
_SMALLEST = 32  # pixels a side
_CONTRAST = 1e-3  # white less black, of [0, 1]: less shows nothing


@dataclass(frozen=True, eq=False)
class Alignment:
    """An aligned pair.

    Attributes:
        transform: pixels of `b` to places in `a`.
        before: how well the edges agree when `a` is laid over `b` as it is, in standard deviations over chance.
        after: the same under the transform.
        lead: agreement of the result over that of the best motion that is quite another, both in the search.
        error: how far apart two halves of the picture put the corners, in pixels of `b`, halved.
        overlap: share of `b` where `a` has data.
        doubts: why the result is not to be trusted; empty if it is.
    """

    transform: Transform
    before: float
    after: float
    lead: float
    error: float
    overlap: float
    doubts: tuple[str, ...]

    @property
    def converged(self) -> bool:
        """Whether the result can be trusted."""
        return not self.doubts


def align(
    a: Pixels,
    b: Pixels,
    model: Model = "affine",
    metric: Metric = "edges",
    *,
    mask_a: Bool[np.ndarray, "h w"] | None = None,
    mask_b: Bool[np.ndarray, "h2 w2"] | None = None,
) -> Alignment:
    """Find where in `a` each pixel of `b` lies.

    Args:
        a: the picture that moves: (h, w) or (h, w, c), uint8, uint16 or float32 in [0, 1].
        b: the picture that stays, of any size.
        model: what may move. `translation` and `rigid` keep the scale: a pixel of `a` is as large as one of `b`.
        metric: what is compared.
        mask_a: where `a` is looked at; None: everywhere.
        mask_b: where `b` is looked at; None: everywhere.

    Returns:
        The transform, and whether it can be trusted.

    Raises:
        InputError: an array is no picture, is smaller than 32 pixels a side, or a mask does not fit.
        MissingExtra: the metric is `mutual` and SimpleITK is not installed.
    """
    if metric == "mutual":
        check_mutual(model)
    pictures = _pictures(a, b, mask_a, mask_b)
    sizes = pictures.a.shape, pictures.b.shape
    found = search(pictures.a, pictures.b, model, mask_a, mask_b)
    starts = [*_apart(found, sizes[1]), _as_it_is(pictures, model).matrix]
    tried = (_try(pictures, start, model, metric) for start in starts)
    best = _polish(pictures, max(tried, key=lambda one: one.score).matrix, model, metric)
    transform = bend(pictures, best) if model == "bspline" else Transform(model, *sizes, best)
    before, after = measure(pictures, _as_it_is(pictures, model)), measure(pictures, transform)
    lead = _lead(found, measure(pictures, transform, SMALL), best, sizes[1])
    error = _error(pictures, best, model, metric)
    _, inside = transform.sample(pictures.a, pictures.mask_a)
    overlap = float(inside.mean())
    allowed = max(_ERROR * max(sizes[1]), _LEAST_ERROR)
    doubts = _doubts(before, after, lead, error, allowed, overlap)
    if metric == "edges" and model in ("translation", "rigid"):
        doubts += _too_stiff(pictures, best, after, model)
    doubts = _flat(pictures) or doubts
    return Alignment(transform, before, after, lead, error, overlap, doubts)


def _pictures(a: Pixels, b: Pixels, mask_a: Mask | None, mask_b: Mask | None) -> Pictures:
    lumas, masks = [], []
    for name, pixels, mask in (("a", a, mask_a), ("b", b, mask_b)):
        try:
            grey = luma(pixels)
        except InputError as error:
            raise InputError(f"`{name}` cannot be aligned: {error}") from None
        if min(grey.shape) < _SMALLEST:
            raise InputError(
                f"`{name}` is too small to be aligned.\n  expected: at least {_SMALLEST} x {_SMALLEST}\n"
                f"  found: {grey.shape[0]} x {grey.shape[1]}\nUse larger pictures."
            )
        known = np.ones(grey.shape, bool) if mask is None else mask
        if known.shape != grey.shape:
            raise InputError(
                f"The mask of `{name}` must have its height and width.\n"
                f"  expected: {grey.shape[0]} x {grey.shape[1]}\n  found: {known.shape[0]} x {known.shape[1]}\n"
                "Draw the mask on the picture that it belongs to."
            )
        lumas.append(grey)
        masks.append(known)
    return Pictures(lumas[0], lumas[1], masks[0], masks[1])


def _apart(found: list[Found], size: tuple[int, int]) -> list[np.ndarray]:
    """The best motions of a search that are not nearly the same."""
    kept: list[np.ndarray] = []
    for one in found:
        if all(_distance(one.matrix, other, size) > _NEAR * max(size) for other in kept):
            kept.append(one.matrix)
        if len(kept) == _STARTS:
            break
    return kept


def _distance(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    """How far apart two motions put the corners of `b` on average, in pixels of `b`."""
    ends = corners(size)
    scale = np.sqrt(abs(np.linalg.det(one[:2, :2])))
    return float(np.linalg.norm(project(one, ends) - project(other, ends), axis=1).mean() / max(scale, 1e-9))


def _try(pictures: Pictures, start: np.ndarray, model: Model, metric: Metric) -> Refined:
    if metric == "mutual":
        return refine_mutual(pictures, start, model)
    return refine(pictures, start, model, COARSE)


def _polish(pictures: Pictures, matrix: np.ndarray, model: Model, metric: Metric) -> np.ndarray:
    return matrix if metric == "mutual" else refine(pictures, matrix, model, FINE).matrix


def _lead(found: list[Found], score: float, best: np.ndarray, size: tuple[int, int]) -> float:
    """The result's score at the size of the search, over the best one that the search met elsewhere."""
    elsewhere = [one.score for one in found if _distance(best, one.matrix, size) > _ELSEWHERE * max(size)]
    return score / max(*elsewhere, 1e-9) if elsewhere else float("inf")


def _flat(pictures: Pictures) -> tuple[str, ...]:
    named = (("a", pictures.a), ("b", pictures.b))
    return tuple(f"all pixels of `{name}` are alike" for name, grey in named if np.ptp(grey) < _CONTRAST)


def _doubts(before: float, after: float, lead: float, error: float, allowed: float, overlap: float) -> tuple[str, ...]:
    """Why a result is not to be trusted; `error` and what is `allowed` in pixels."""
    rules = (
        (
            after >= _KEPT * before,
            f"the edges agree worse after it: {after:.0f} standard deviations, {before:.0f} before",
        ),
        (after >= _AGREEMENT, f"the edges agree too little: {after:.0f} standard deviations, {_AGREEMENT} are needed"),
        (lead >= _LEAD, f"another motion explains the pictures as well: it agrees {1 / max(lead, 1e-3):.0%} as much"),
        (
            error <= allowed,
            f"two halves of the picture disagree by {2 * error:.1f} pixels, {2 * allowed:.1f} are allowed",
        ),
        (overlap >= _OVERLAP, f"`a` covers {overlap:.0%} of `b` only, {_OVERLAP:.0%} are needed"),
    )
    return tuple(text for holds, text in rules if not holds)


def _too_stiff(pictures: Pictures, matrix: np.ndarray, after: float, model: Model) -> tuple[str, ...]:
    """A doubt if the pictures agree much better once they may be turned and scaled too."""
    for levels in (COARSE, FINE):
        matrix = refine(pictures, matrix, "similarity", levels).matrix
    free = measure(pictures, Transform("similarity", pictures.a.shape, pictures.b.shape, matrix))
    if free < _FREER * after:
        return ()
    return (
        f"the edges agree much better under a similarity than under a {model}: {free:.0f} standard deviations, "
        f"not {after:.0f}",
    )


def _error(pictures: Pictures, matrix: np.ndarray, model: Model, metric: Metric) -> float:
    """How far apart the two halves of a chessboard put the corners, in pixels of `b`, halved as for the whole."""
    h, w = pictures.b.shape
    side = max(h, w) / _CELLS
    y, x = np.mgrid[:h, :w]
    light = ((x // side).astype(int) + (y // side).astype(int)) % 2 == 0
    results = []
    for half in (light, ~light):
        part = pictures._replace(mask_b=pictures.mask_b & half)
        found = refine_mutual(part, matrix, model) if metric == "mutual" else refine(part, matrix, model, HALF)
        results.append(found.matrix)
    return _distance(results[0], results[1], (h, w)) / 2


def _as_it_is(pictures: Pictures, model: Model) -> Transform:
    """`a` laid over `b` about the centre: enlarged or reduced until it fits, if the model allows it."""
    size_a, size_b = pictures.a.shape, pictures.b.shape
    scale = 1.0 if model in ("translation", "rigid") else max(x / y for x, y in zip(size_a, size_b, strict=True))
    matrix = centring(size_a) @ np.diag([scale, scale, 1]) @ np.linalg.inv(centring(size_b))
    return Transform(model, size_a, size_b, matrix)
