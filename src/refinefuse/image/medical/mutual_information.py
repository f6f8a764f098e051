"""Mutual information of two volumes, and how it falls at wrong positions: all over, and inside the body alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from refinefuse.image.medical.intensity import scaled
from refinefuse.image.medical.resampling import resample_to
from refinefuse.image.medical.volume import Volume
from refinefuse.image.thermal import IntensityRange

_SIDE = 72  # voxels: the longer sides of the grids that are compared
_FINEST = 1.5  # millimeters: no finer than that
_BINS = 32
_SHIFT, _ANGLE = 8.0, 8.0  # millimeters and degrees to the positions that the result is compared with
_BODY, _RIM = 0.06, 4  # value above which there is a body, and the voxels of it that count as its outline


@dataclass(frozen=True)
class ImagePair:
    """Fixed and moving volume as SimpleITK's images, and where they have data: nothing else is compared."""

    fixed: Any
    moving: Any
    fixed_mask: Any
    moving_mask: Any


def to_image(sitk: Any, volume: Volume, fixed: IntensityRange) -> tuple[Any, Any]:
    """A volume in [0, 1] on an upright, isotropic grid of moderate size, in millimeters (RAS+), and its mask."""
    low, high = volume.corners()
    spacing = max(_FINEST, float((high - low).max()) / _SIDE)
    shape = tuple(int(side) for side in np.maximum(np.ceil((high - low) / spacing), 1))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    at = resample_to(volume, affine, shape)
    values, mask = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for k in range(shape[2]):
        cut, inside = at(k)
        values[:, :, k] = np.where(inside, scaled(cut, fixed, inverted=volume.is_inverted), 0)
        mask[:, :, k] = inside
    images = [sitk.GetImageFromArray(np.ascontiguousarray(one.T)) for one in (values, mask)]
    for image in images:
        image.SetSpacing([spacing] * 3)
        image.SetOrigin([float(value) for value in affine[:3, 3]])
    return images[0], images[1]


def center_of(image: Any) -> Any:
    """The center of an image in millimeters."""
    return image.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2 for side in image.GetSize()])


def metric_of(sitk: Any, images: ImagePair) -> Any:
    """A registration by Mattes mutual information, so far without a search."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in one order: the same result on every run
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(images.fixed_mask)
    method.SetMetricMovingMask(images.moving_mask)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def negative_information(sitk: Any, images: ImagePair, transform: Any) -> float:
    """The metric over all voxels; 0 without overlap."""
    method = metric_of(sitk, images)
    method.SetInitialTransform(transform)
    try:
        return float(method.MetricEvaluate(images.fixed, images.moving))
    except RuntimeError:
        return 0.0


def falls_nearby(sitk: Any, images: ImagePair, found: Any) -> NDArray[np.float64]:
    """By which fraction the mutual information falls at each of twelve positions near the one that was found."""
    score = -negative_information(sitk, images, found)
    if score <= 0:
        return np.zeros(12)
    others = []
    for parameter in range(6):
        for sign in (1, -1):
            move = sitk.Euler3DTransform()
            move.SetCenter(center_of(images.fixed))
            values = [0.0] * 6
            values[parameter] = sign * (np.radians(_ANGLE) if parameter < 3 else _SHIFT)
            move.SetParameters(values)
            others.append(-negative_information(sitk, images, sitk.CompositeTransform([found, move])))
    return 1 - np.array(others) / score


def inside_bodies(sitk: Any, images: ImagePair, found: Any) -> ImagePair:
    """The pair, to be compared only where both show the inside of a body."""
    moved, valid = (sitk.Resample(image, images.fixed, found) for image in (images.moving, images.moving_mask))
    inside = _inside(sitk, images.fixed, images.fixed_mask) * _inside(sitk, moved, valid)
    return replace(images, fixed_mask=inside * images.fixed_mask)


def _inside(sitk: Any, image: Any, valid: Any) -> Any:
    """1 where a body, or what lies beyond the field of view, is nowhere nearer than its rim to what is neither."""
    body = np.zeros(image.GetSize()[::-1], np.uint8)
    for cut, filled in zip(sitk.GetArrayFromImage(image), body, strict=True):
        around = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
        closed = cv2.morphologyEx((cut > _BODY).astype(np.uint8), cv2.MORPH_CLOSE, around)
        outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(filled, outlines, -1, 1, -1)
    mask = sitk.GetImageFromArray(body)
    mask.CopyInformation(image)
    return sitk.BinaryErode(mask | (valid == 0), [_RIM] * 3, sitk.sitkBall, 0, 1, True)
