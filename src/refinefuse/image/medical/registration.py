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
"""Minimum confidence of a reliable registration; below it, a wrong position fits nearly as well."""
MIN_DETAIL, MIN_DETAIL_BLURRED = 0.21, 0.08
"""Minimum detail of a reliable registration, and that for PET or SPECT, which have less detail; below it, the volumes
may be of different patients, whose outlines fit as well."""
_SAMPLED, _ITERATIONS = 0.2, 300
_SEED = 1  # seed of the sampled points: ITK's default is the clock, so results would vary
_PROBES = 20  # sample points along each axis of a field of view to measure overlap
_COARSE, _FINE = ((3, 4.0), (2, 2.0)), ((1, 1.0),)  # shrink factors, and smoothing in millimeters
_SHARED = 0.1  # nats of mutual information: above independent noise, a quarter of two scans of one head
_OVERLAP = 0.3  # minimum overlap as a fraction of the smaller field of view
_THICKNESS = 20.0  # millimeters: rotation cannot be determined from a thinner slab
_STRETCH = 1.25  # maximum stretch or compression of an affine transform; adult heads differ less


@dataclass(frozen=True)
class VolumeRegistration:
    """Registration of a moving to a fixed volume.

    Attributes:
        transform: (4, 4), from moving to fixed coordinates in millimeters (RAS+).
        displacement: maximum displacement in millimeters of a corner of the fixed field of view.
        confidence: in [0, 1]: smallest relative drop of mutual information over twelve positions shifted by 8 mm or
            rotated by 8 degrees; 0 if one of them fits as well.
        detail: likewise inside the body, without its outline, where only scans of the same patient agree: the average
            of the smallest and the mean drop. Negative if a wrong position fits better there.
        score_before: mutual information in nats at the recorded positions; 0 without overlap.
        score_after: mutual information in nats after registration.
        overlap: overlap after registration, as a fraction of the smaller field of view.
        thickness: smallest side of both fields of view in millimeters.
        blurred: whether one of the volumes is PET or SPECT.
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
        """Reasons not to trust the result; empty if it is reliable."""
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
        """Whether the result can be used without visual inspection."""
        return not self.rejection_reasons

    def apply(self, moving: Volume, fixed: Volume) -> Volume:
        """Move the moving volume to its registered position in the space of the fixed one, without resampling."""
        return replace(moving, affine=self.transform @ moving.affine, frame=fixed.frame, header=None)


def register_volumes(
    moving: Volume,
    fixed: Volume,
    transform_type: VolumeTransformType = "rigid",
    ranges: Sequence[IntensityRange] | None = None,
) -> VolumeRegistration:
    """Register a volume to another volume of the same body, of any modality.

    The search starts from the recorded positions and from the centers of mass; the best fit is used, which can also be
    the recorded positions. An affine transform starts from the rigid result.

    Source: D. Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE TMI 22(1),
    2003, as implemented by SimpleITK: 32 bins, 20 % of the voxels, regular step gradient descent from coarse to fine.

    Args:
        moving: the volume to move.
        fixed: the volume that stays.
        transform_type: rigid for the same body in two scanners, affine if their scales differ.
        ranges: black and white points of both; None chooses them by modality.

    Raises:
        InputError: the transform type is unknown, or a volume is constant.
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
    """Write a transform of `VolumeRegistration` for ITK, 3D Slicer and SimpleITK (maps fixed to moving points, LPS).

    Args:
        path: file with the extension .tfm.
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
    """Return the overlap as a fraction of the smaller field of view, measured on a coarse grid in the fixed volume."""
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
    """Optimize a transform from fixed to moving points; return it with its metric (lower is better).

    Without overlap, the initial transform is returned.
    """
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
    except RuntimeError:  # all samples are outside the image: no overlap
        return initial, 0.0
    return found, negative_information(sitk, images, found)


def _thickness(volume: Volume) -> float:
    return float((np.linalg.norm(volume.affine[:3, :3], axis=0) * volume.values.shape).min())


def _matrix(transform: Any) -> NDArray[np.float64]:
    """Return the (4, 4) matrix of a linear transform."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        unit = [float(axis == other) for other in range(3)]
        matrix[:3, axis] = np.array(transform.TransformPoint(unit)) - matrix[:3, 3]
    return matrix
