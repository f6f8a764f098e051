"""Refinement by Mattes mutual information, which compares gray values rather than edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from refinefuse.alignment.edges import downsample
from refinefuse.alignment.refine import Refined, RegistrationInputs
from refinefuse.alignment.transform import Transform, TransformType, corners, zoom
from refinefuse.errors import InputError, optional

MODELS = ("translation", "rigid", "similarity", "affine")
_BINS, _SAMPLED, _ROUNDS = 32, 0.3, 100
_SHRINK = (4, 2, 1)
_FINEST = 640  # the longer side at the last level


def refine_mutual(
    inputs: RegistrationInputs, matrix: Float[np.ndarray, "3 3"], transform_type: TransformType
) -> Refined:
    """Refine a transform by mutual information, from coarse to fine.

    Returns:
        The matrix, and the mutual information in nats.

    Raises:
        MissingDependencyError: SimpleITK is not installed.
        InputError: SimpleITK has no transform of this type.

    Source: D. Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE TMI 22(1),
    2003, as implemented in SimpleITK: regular step gradient descent over 30 % of the pixels, 32 bins.
    """
    check_mutual(transform_type)
    import SimpleITK as sitk  # noqa: N813

    factor = max(1.0, max(inputs.b.shape) / _FINEST)
    fixed = downsample(inputs.b, factor)
    to_b = zoom(inputs.b.shape, fixed.shape)
    start = Transform("homography", inputs.a.shape, fixed.shape, matrix @ to_b)
    moving, known = start.resample(inputs.a, inputs.mask_a)
    allowed = downsample(inputs.mask_b.astype(np.float32), factor) > 0.99
    if not (known & allowed).any():
        return Refined(matrix, 0.0)
    method = _method(sitk, known, allowed)
    motion = _motion(sitk, transform_type, fixed.shape)
    method.SetInitialTransform(motion, True)
    try:
        method.Execute(sitk.GetImageFromArray(fixed), sitk.GetImageFromArray(moving))
    except RuntimeError:  # all samples are outside: no overlap
        return Refined(matrix, 0.0)
    ends = corners(fixed.shape)
    moved = np.array([motion.TransformPoint(tuple(map(float, end))) for end in ends])
    found = matrix @ to_b @ _through(ends, moved) @ np.linalg.inv(to_b)
    return Refined(found / found[2, 2], -float(method.GetMetricValue()))


def check_mutual(transform_type: TransformType) -> None:
    """Check that mutual information supports the transform type and that SimpleITK is installed.

    Raises:
        MissingDependencyError: SimpleITK is not installed.
        InputError: the transform_type is a homography or a B-spline.
    """
    if transform_type not in MODELS:
        raise InputError(
            f"Mutual information supports the transform types {', '.join(MODELS)}.\n  got: {transform_type}\n"
            "Choose one of them, or `metric=edges`."
        )
    with optional("align", "Alignment by mutual information"):
        import SimpleITK  # noqa: F401


def _method(sitk: Any, known: np.ndarray, allowed: np.ndarray) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED, 1)
    method.SetMetricFixedMask(sitk.GetImageFromArray(allowed.astype(np.uint8)))
    method.SetMetricMovingMask(sitk.GetImageFromArray(known.astype(np.uint8)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(_SHRINK))
    method.SetSmoothingSigmasPerLevel([factor / 2 for factor in _SHRINK])
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, _ROUNDS, 0.6, gradientMagnitudeTolerance=1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetNumberOfThreads(1)  # a fixed summation order makes the result reproducible
    return method


def _motion(sitk: Any, transform_type: TransformType, size: tuple[int, int]) -> Any:
    middle = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    if transform_type == "translation":
        return sitk.TranslationTransform(2)
    if transform_type == "rigid":
        return sitk.Euler2DTransform(middle, 0.0, (0.0, 0.0))
    if transform_type == "similarity":
        return sitk.Similarity2DTransform(1.0, 0.0, (0.0, 0.0), middle)
    affine = sitk.AffineTransform(2)
    affine.SetCenter(middle)
    return affine


def _through(ends: np.ndarray, moved: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The affine matrix that maps the corners to their moved positions."""
    known = np.c_[ends, np.ones(len(ends))]
    rows, *_ = np.linalg.lstsq(known, moved, rcond=None)
    return np.vstack([rows.T, [0, 0, 1]])
