"""Register one volume to another: rigid or affine, by mutual information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from refinefuse.atomic import write_text_atomic
from refinefuse.errors import InputError, optional
from refinefuse.image.medical.intensity import range_of
from refinefuse.image.medical.mutual_information import (
    ImagePair,
    center_of,
    falls_nearby,
    inside_bodies,
    metric_of,
    negative_information,
    to_image,
)
from refinefuse.image.medical.volume import COLORED, Volume
from refinefuse.image.thermal import IntensityRange

VolumeTransformType = Literal["rigid", "affine"]
MIN_CONFIDENCE = 0.005
"""Confidence from which a registration is reliable; below, a wrong position fits nearly as well."""
MIN_DETAIL, MIN_DETAIL_BLURRED = 0.21, 0.08
"""Detail from which a registration is reliable, and that with PET or SPECT, which have less; below, it may be another
patient, whose outline fits as well."""
_SAMPLED, _ITERATIONS = 0.2, 300
_SEED = 1  # of the sampled points: by default ITK takes the clock, and every run ends elsewhere
_PROBES = 20  # points along each axis of a field of view at which overlap is measured
_COARSE, _FINE = ((3, 4.0), (2, 2.0)), ((1, 1.0),)  # shrink factors, and smoothing in millimeters
_SHARED = 0.1  # nats of mutual information; independent noise has less, two scans of one head four times as much
_OVERLAP = 0.3  # of the smaller field of view, below which too little is compared
_THICKNESS = 20.0  # millimeters: of a thinner slab, rotations cannot be found
_STRETCH = 1.25  # factor by which an affine transform may stretch or squeeze; heads of adults differ less


@dataclass(frozen=True)
class VolumeRegistration:
    """How the moving volume lies on the fixed one.

    Attributes:
        transform: (4, 4), from millimeters (RAS+) of the moving volume to those of the fixed one.
        displacement: by how many millimeters it moves a corner of the fixed field of view at most.
        confidence: in [0, 1]: by which fraction the mutual information falls at the best of twelve positions that are
            shifted by 8 mm or rotated by 8 degrees; 0 if one of them fits as well.
        detail: likewise inside the body, without its outline, where only scans of one patient agree; the mean of the
            least fall and of the mean fall. Below 0 if a wrong position fits better there.
        score_before: mutual information in nats at the recorded positions; 0 without overlap.
        score_after: mutual information in nats after registration.
        overlap: fraction of the smaller field of view that both cover after registration.
        thickness: the smallest side in millimeters of both fields of view.
        blurred: whether one of the two is PET or SPECT.
    """

    transform: Float[np.ndarray, "4 4"]
    displacement: float
    confidence: float
    detail: float
    score_before: float
    score_after: float
    overlap: float
    thickness: float
    blurred: bool = False

    @property
    def rejection_reasons(self) -> tuple[str, ...]:
        """Why the result is not to be trusted; empty if it is."""
        least = MIN_DETAIL_BLURRED if self.blurred else MIN_DETAIL
        stretches = np.linalg.svd(self.transform[:3, :3], compute_uv=False)
        rules = (
            (
                self.thickness >= _THICKNESS,
                f"the thinner volume is only {self.thickness:.0f} mm thick, at least {_THICKNESS:.0f} mm are needed to "
                "find rotations",
            ),
            (
                self.score_after >= _SHARED,
                f"the volumes have little in common: mutual information {self.score_after:.3f}, at least "
                f"{_SHARED:g} is needed",
            ),
            (
                self.confidence >= MIN_CONFIDENCE,
                f"a position shifted by 8 mm or rotated by 8 degrees fits nearly as well: confidence "
                f"{self.confidence:.1%}, at least {MIN_CONFIDENCE:.1%} is needed",
            ),
            (
                self.detail >= least,
                f"inside the body, the volumes agree hardly better than when shifted or rotated, as those of two "
                f"patients do: {self.detail:.0%}, at least {least:.0%} is needed",
            ),
            (
                1 / _STRETCH <= stretches.min() <= stretches.max() <= _STRETCH,
                f"the transform stretches or squeezes by a factor of {max(stretches.max(), 1 / stretches.min()):.2f}, "
                f"at most {_STRETCH:g} is plausible",
            ),
            (
                self.overlap >= _OVERLAP,
                f"the volumes overlap in {self.overlap:.0%} of the smaller field of view, at least "
                f"{_OVERLAP:.0%} is needed",
            ),
        )
        return tuple(text for holds, text in rules if not holds)

    @property
    def is_reliable(self) -> bool:
        """Whether the result can be used unseen."""
        return not self.rejection_reasons

    def apply(self, moving: Volume, fixed: Volume) -> Volume:
        """The moving volume at its registered position, in the space of the fixed one; its values stay as they are."""
        return replace(moving, affine=self.transform @ moving.affine, frame=fixed.frame, header=None)


def register_volumes(
    moving: Volume,
    fixed: Volume,
    transform_type: VolumeTransformType = "rigid",
    ranges: Sequence[IntensityRange] | None = None,
) -> VolumeRegistration:
    """Register a volume to another of the same body, of any modalities.

    The search starts from the recorded positions and from the centers of mass; what fits best counts, the recorded
    positions included. An affine transform starts from the rigid result.

    Source: D. Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE TMI 22(1),
    2003, as implemented by SimpleITK: 32 bins, 20 % of the voxels, regular step gradient descent from coarse to fine.

    Args:
        moving: the volume to move.
        fixed: the volume that stays.
        transform_type: rigid for one head in two scanners, affine if the scales of the scanners differ.
        ranges: the values of both that become 0 and 1; None: by their modality.

    Raises:
        InputError: an unknown transform type, or a volume with one value only.
        MissingDependencyError: SimpleITK is not installed.
    """
    if transform_type not in get_args(VolumeTransformType):
        raise InputError(
            f"`transform_type` of volumes must be one of {', '.join(get_args(VolumeTransformType))}.\n"
            f"  got: {transform_type!r}"
        )
    sitk = _sitk()
    own = ranges or [range_of(volume, None, None, None) for volume in (moving, fixed)]
    (fixed_image, fixed_mask), (moving_image, moving_mask) = (
        to_image(sitk, fixed, own[1]),
        to_image(sitk, moving, own[0]),
    )
    images = ImagePair(fixed_image, moving_image, fixed_mask, moving_mask)
    start = sitk.Euler3DTransform()
    start.SetCenter(center_of(images.fixed))
    before = negative_information(sitk, images, start)
    starts = (start, _centered(sitk, images))
    ends = [(start, before), *(_optimized(sitk, images, one, _COARSE) for one in starts)]
    best = min(ends, key=_score_of)
    if transform_type == "affine":
        affine = _as_affine(sitk, best[0])
        best = min((affine, best[1]), _optimized(sitk, images, affine, _COARSE), key=_score_of)
    found, score = min(best, _optimized(sitk, images, best[0], _FINE), key=_score_of)
    matrix = np.linalg.inv(_matrix(found))
    falls, inside = falls_nearby(sitk, images, found), falls_nearby(sitk, inside_bodies(sitk, images, found), found)
    return VolumeRegistration(
        transform=matrix,
        displacement=_displacement(matrix, fixed),
        confidence=float(falls.min().clip(0, 1)),
        detail=float(inside.min() + inside.mean()) / 2,
        score_before=-before,
        score_after=-score,
        overlap=_overlap(matrix, moving, fixed),
        thickness=min(_thickness(volume) for volume in (moving, fixed)),
        blurred=any(volume.modality in COLORED for volume in (moving, fixed)),
    )


def write_transform(path: Path, transform: NDArray[Any]) -> None:
    """Write a transform of `VolumeRegistration` for ITK, 3D Slicer and SimpleITK: from fixed to moving points, LPS.

    Args:
        path: ends with .tfm.
        transform: (4, 4), from moving to fixed millimeters (RAS+).

    Raises:
        InputError: the folder cannot be written to.
    """
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix = flip @ np.linalg.inv(transform) @ flip
    numbers = " ".join(f"{float(value) + 0.0!r}" for value in (*matrix[:3, :3].ravel(), *matrix[:3, 3]))
    write_text_atomic(
        path,
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n",
    )


def _sitk() -> Any:
    with optional("align", "Registering volumes"):
        import SimpleITK
    return SimpleITK


def _score_of(end: tuple[Any, float]) -> float:
    return end[1]


def _displacement(matrix: NDArray[Any], fixed: Volume) -> float:
    corners = fixed.corner_points
    return float(np.linalg.norm(matrix[:3, :3] @ corners + matrix[:3, 3:] - corners, axis=0).max())


def _overlap(matrix: NDArray[Any], moving: Volume, fixed: Volume) -> float:
    """Fraction of the smaller field of view that both cover, by the voxels of a coarse grid in the fixed one."""
    steps = [(np.arange(_PROBES) + 0.5) / _PROBES * side - 0.5 for side in fixed.values.shape]
    probes = np.array(np.meshgrid(*steps)).reshape(3, -1)
    back = np.linalg.inv(matrix @ moving.affine) @ fixed.affine
    voxels = back[:3, :3] @ probes + back[:3, 3:]
    limits = np.array(moving.values.shape)[:, None] - 0.5
    inside = float(((voxels >= -0.5) & (voxels <= limits)).all(0).mean())
    of_fixed = abs(float(np.linalg.det(fixed.affine[:3, :3]))) * fixed.values.size
    of_moving = abs(float(np.linalg.det((matrix @ moving.affine)[:3, :3]))) * moving.values.size
    return min(inside * of_fixed / min(of_fixed, of_moving), 1.0)


def _centered(sitk: Any, images: ImagePair) -> Any:
    return sitk.CenteredTransformInitializer(
        images.fixed, images.moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )


def _as_affine(sitk: Any, rigid: Any) -> Any:
    affine = sitk.AffineTransform(3)
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def _optimized(sitk: Any, images: ImagePair, initial: Any, levels: tuple[tuple[int, float], ...]) -> tuple[Any, float]:
    """A transform from fixed to moving points, and its metric (the lower the better); the start if nothing overlaps."""
    method = metric_of(sitk, images)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
    method.SetOptimizerAsRegularStepGradientDescent(
        2.0, 0.001, _ITERATIONS, relaxationFactor=0.9, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in levels])
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma in levels])
    found = type(initial)(initial)
    method.SetInitialTransform(found, True)
    try:
        method.Execute(images.fixed, images.moving)
    except RuntimeError:  # all samples left the image: no overlap
        return initial, 0.0
    return found, negative_information(sitk, images, found)


def _thickness(volume: Volume) -> float:
    return float((np.linalg.norm(volume.affine[:3, :3], axis=0) * volume.values.shape).min())


def _matrix(transform: Any) -> NDArray[np.float64]:
    """The (4, 4) matrix of a linear transform."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        unit = [float(axis == other) for other in range(3)]
        matrix[:3, axis] = np.array(transform.TransformPoint(unit)) - matrix[:3, 3]
    return matrix
