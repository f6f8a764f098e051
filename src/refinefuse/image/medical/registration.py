"""Register one volume to another: rigid or affine, by mutual information."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.image.medical.intensity import range_of, scaled
from refinefuse.image.medical.resampling import resample_to
from refinefuse.image.medical.volume import Volume

VolumeTransformType = Literal["rigid", "affine"]
MIN_CONFIDENCE = 0.01
"""Confidence from which a registration is reliable; below, a wrong position fits nearly as well."""
_SIDE = 72  # voxels: the longer sides of the grids that are compared
_FINEST = 1.5  # millimeters: no finer than that
_BINS, _SAMPLED, _ITERATIONS = 32, 0.2, 300
_COARSE, _FINE = ((3, 4.0), (2, 2.0)), ((1, 1.0),)  # shrink factors, and smoothing in millimeters
_SHIFT, _ANGLE = 8.0, 8.0  # millimeters and degrees to the positions that the result is compared with


@dataclass(frozen=True)
class VolumeRegistration:
    """How the moving volume lies on the fixed one.

    Attributes:
        transform: (4, 4), from millimeters (RAS+) of the moving volume to those of the fixed one.
        confidence: in [0, 1]: by which fraction the mutual information falls at the best of twelve positions that are
            shifted by 8 mm or rotated by 8 degrees; 0 if one of them fits as well.
        score_before: mutual information in nats at the recorded positions; 0 without overlap.
        score_after: mutual information in nats after registration.
    """

    transform: Float[np.ndarray, "4 4"]
    confidence: float
    score_before: float
    score_after: float

    @property
    def is_reliable(self) -> bool:
        """Whether the confidence is high enough to use the result unseen."""
        return self.confidence >= MIN_CONFIDENCE

    def apply(self, moving: Volume) -> Volume:
        """The moving volume at its registered position; its values stay as they are."""
        return replace(moving, affine=self.transform @ moving.affine)


def register_volumes(
    moving: Volume, fixed: Volume, transform_type: VolumeTransformType = "rigid"
) -> VolumeRegistration:
    """Register a volume to another of the same body, of any modalities.

    The search starts from the recorded positions and from the centers of mass; the better end counts. An affine
    transform starts from the rigid result.

    Source: D. Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE TMI 22(1),
    2003, as implemented by SimpleITK: 32 bins, 20 % of the voxels, regular step gradient descent from coarse to fine.

    Args:
        moving: the volume to move.
        fixed: the volume that stays.
        transform_type: rigid for one head in two scanners, affine if the scales of the scanners differ.

    Raises:
        InputError: an unknown transform type, or a volume with one value only.
        MissingDependencyError: SimpleITK is not installed.
    """
    if transform_type not in get_args(VolumeTransformType):
        raise InputError(
            f"Volumes are registered by one of {', '.join(get_args(VolumeTransformType))}.\n  got: {transform_type!r}"
        )
    sitk = _sitk()
    images = (_image(sitk, fixed), _image(sitk, moving))
    start = sitk.Euler3DTransform()
    start.SetCenter(_center(images[0]))
    ends = [_optimized(sitk, images, initial, _COARSE) for initial in (start, _centered(sitk, images))]
    found, _ = min(ends, key=lambda end: end[1])
    if transform_type == "affine":
        found, _ = _optimized(sitk, images, _as_affine(sitk, found), _COARSE)
    found, score = _optimized(sitk, images, found, _FINE)
    return VolumeRegistration(
        np.linalg.inv(_matrix(found)), _confidence(sitk, images, found, -score), -_score(sitk, images, start), -score
    )


def _sitk() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingDependencyError("SimpleITK", "align", "Registering volumes") from error
    return SimpleITK


def _image(sitk: Any, volume: Volume) -> Any:
    """A volume in [0, 1] on an upright, isotropic grid of moderate size, in millimeters (RAS+)."""
    low, high = volume.corners()
    spacing = max(_FINEST, float((high - low).max()) / _SIDE)
    shape = tuple(int(side) for side in np.maximum(np.ceil((high - low) / spacing), 1))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    at, fixed = resample_to(volume, affine, shape), range_of(volume, None, None, None)
    values = np.zeros(shape, np.float32)
    for k in range(shape[2]):
        cut, inside = at(k)
        values[:, :, k] = np.where(inside, scaled(cut, fixed, inverted=volume.is_inverted), 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing([spacing] * 3)
    image.SetOrigin([float(value) for value in affine[:3, 3]])
    return image


def _center(image: Any) -> Any:
    return image.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2 for side in image.GetSize()])


def _centered(sitk: Any, images: tuple[Any, Any]) -> Any:
    return sitk.CenteredTransformInitializer(
        *images, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )


def _as_affine(sitk: Any, rigid: Any) -> Any:
    affine = sitk.AffineTransform(3)
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def _method(sitk: Any) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in one order: the same result on every run
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _optimized(
    sitk: Any, images: tuple[Any, Any], initial: Any, levels: tuple[tuple[int, float], ...]
) -> tuple[Any, float]:
    """A transform from fixed to moving points, and its metric (the lower the better); the start if nothing overlaps."""
    method = _method(sitk)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED)
    method.SetOptimizerAsRegularStepGradientDescent(
        2.0, 0.001, _ITERATIONS, relaxationFactor=0.9, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in levels])
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma in levels])
    found = type(initial)(initial)
    method.SetInitialTransform(found, True)
    try:
        method.Execute(*images)
    except RuntimeError:  # all samples left the image: no overlap
        return initial, 0.0
    return found, _score(sitk, images, found)


def _score(sitk: Any, images: tuple[Any, Any], transform: Any) -> float:
    """The metric over all voxels; 0 without overlap."""
    method = _method(sitk)
    method.SetInitialTransform(transform)
    try:
        return float(method.MetricEvaluate(*images))
    except RuntimeError:
        return 0.0


def _confidence(sitk: Any, images: tuple[Any, Any], found: Any, score: float) -> float:
    if score <= 0:
        return 0.0
    others = []
    for parameter in range(6):
        for sign in (1, -1):
            move = sitk.Euler3DTransform()
            move.SetCenter(_center(images[0]))
            values = [0.0] * 6
            values[parameter] = sign * (np.radians(_ANGLE) if parameter < 3 else _SHIFT)
            move.SetParameters(values)
            others.append(-_score(sitk, images, sitk.CompositeTransform([found, move])))
    return float(np.clip(1 - max(others) / score, 0, 1))


def _matrix(transform: Any) -> NDArray[np.float64]:
    """The (4, 4) matrix of a linear transform."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        unit = [float(axis == other) for other in range(3)]
        matrix[:3, axis] = np.array(transform.TransformPoint(unit)) - matrix[:3, 3]
    return matrix
