"""A quick check before fusion: are the two images of a pair aligned?

Edge directions of small images are correlated over shifts, and over some rotations and scales. It warns only if another
pose matches clearly better than the current one. The evidence can be summed over the pairs of one rig, which is far
more reliable than a single pair. Error rates are in docs/alignment.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from refinefuse.alignment.edges import Field, Gray, downsample, orientation
from refinefuse.alignment.search import LOOK, Correlator, directions_after
from refinefuse.alignment.transform import centering

_WIDTH, _WIDTH_OF_POSES = 320, 160  # the longer side of the small images
_REACH = 0.25  # the largest shift, in sides
_STILL = 1  # small pixels: smaller shifts are ignored
_SURE = 12.0  # standard deviations over chance
_REPEATED, _VALLEY = 0.35, 0.3  # repeating texture: minimum autocorrelation, maximum in between
_SMALLEST = 32  # pixels per side


class Pose(NamedTuple):
    """Clockwise rotation in degrees and scale of `a` relative to `b`."""

    angle: float = 0.0
    scale: float = 1.0


_POSES = (
    Pose(),
    *(Pose(angle=angle) for angle in (-10, -6, -3, 3, 6, 10)),
    *(Pose(scale=float(np.exp(step))) for step in (-0.24, -0.12, -0.05, 0.05, 0.12, 0.24)),
)


@dataclass(frozen=True)
class Misalignment:
    """The apparent misalignment of a pair.

    Attributes:
        pose: rotation and scale of `a` relative to `b`.
        shift: apparent position of the origin of `b` in `a`, (x, y) in pixels; (0, 0) if the pose differs.
        peak_ratio: edge agreement in that pose divided by that in the current one.
    """

    pose: Pose
    shift: tuple[float, float]
    peak_ratio: float

    @property
    def value(self) -> float:
        """The rotation in degrees, the scale, or the length of the shift in pixels, whichever was detected."""
        return self.pose.angle or (self.pose.scale if self.pose.scale != 1 else float(np.hypot(*self.shift)))

    @property
    def message(self) -> str:
        """The warning message, with advice."""
        return f"{self._finding}: align the pair first (`align`)"

    @property
    def _finding(self) -> str:
        angle, scale = self.pose
        if angle:
            return f"`a` looks rotated by about {abs(angle):g} degrees ({'counter' * (angle < 0)}clockwise)"
        if scale != 1:
            return f"objects look {scale:.2f} times as large in `a` as in `b`"
        x, y = self.shift
        across, down = "right" if x > 0 else "left", "down" if y > 0 else "up"
        return (
            f"`a` looks shifted by about {np.hypot(x, y):.0f} pixels ({abs(x):.0f} to the {across}, "
            f"{abs(y):.0f} {down})"
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """Edge agreement of one pair, or of several pairs of the same size, for each pose and shift.

    Attributes:
        size: height and width of the images.
        surfaces: agreement of downsampled images for each pose and shift, (poses, h, w), in standard deviations over
            chance, summed over the pairs.
        agreement: agreement of larger images in the current pose, (h, w).
        repetition: autocorrelation of the larger `b`; 0 for pairs that agree best as they are.
        shifts: shifts of `agreement` and `repetition`, down and to the right, in FFT order (negative ones last).
        pairs: number of pairs.
    """

    size: tuple[int, int]
    surfaces: NDArray[Any]
    agreement: NDArray[Any]
    repetition: NDArray[Any]
    shifts: tuple[NDArray[Any], NDArray[Any]]
    pairs: int = 1

    def is_like(self, other: Evidence) -> bool:
        """Whether both can be added: same size and same poses."""
        return self.size == other.size and self.surfaces.shape == other.surfaces.shape

    def __add__(self, other: Evidence) -> Evidence:
        """Sum the evidence of both, which must satisfy `is_like`."""
        return replace(
            self,
            surfaces=self.surfaces + other.surfaces,
            agreement=self.agreement + other.agreement,
            repetition=self.repetition + other.repetition,
            pairs=self.pairs + other.pairs,
        )

    def misalignment(self, step: int = 1) -> Misalignment | None:
        """Return the misalignment of these pairs, if any; `step` is the subsampling of the images."""
        present, *others = self.surfaces.max((1, 2))
        best = max(range(len(others)), key=others.__getitem__, default=-1)
        if others and self._is_clear(others[best], present):
            return Misalignment(_POSES[1 + best], (0.0, 0.0), float(others[best] / max(present, 1e-9)))
        return self._shift(step)

    def _is_clear(self, best: float, present: float) -> bool:
        """Whether a pose or shift agrees clearly better than the current one; with many pairs, less is required."""
        better = 1.03 + 0.07 / self.pairs
        return best >= _SURE * np.sqrt(self.pairs) and best >= better * present

    def _shift(self, step: int) -> Misalignment | None:
        down, right = self.shifts
        still = self.agreement[np.ix_(abs(down) <= _STILL, abs(right) <= _STILL)].max()
        row, column = np.unravel_index(int(self.agreement.argmax()), self.agreement.shape)
        best, y, x = self.agreement[row, column], int(down[row]), int(right[column])
        if max(abs(x), abs(y)) <= _STILL or not self._is_clear(best, still):
            return None
        if _repeats(self.repetition, self.shifts, x, y):
            return None
        factor = step * max(1.0, max(self.size) / _WIDTH)
        return Misalignment(Pose(), (x * factor, y * factor), float(best / max(still, 1e-9)))


def find_evidence(a: Gray, b: Gray, *, poses: bool = True) -> Evidence | None:
    """Measure how well the edges of a pair agree in each pose and at each shift.

    Args:
        a: luma of the source whose color is not used.
        b: luma of the source whose color is kept.
        poses: also test other poses, which takes most of the time.

    Returns:
        None if the sizes differ, which is refused elsewhere, or the images are too small.
    """
    if a.shape != b.shape or min(a.shape) < _SMALLEST:
        return None
    directions_a, directions_b = (orientation(downsample(image, max(b.shape) / _WIDTH), LOOK) for image in (a, b))
    correlator = Correlator(directions_b, _REACH)
    agreement = correlator.surface(directions_a)
    down, right = correlator.shifts
    row, column = np.unravel_index(int(agreement.argmax()), agreement.shape)
    still = max(abs(down[row]), abs(right[column])) <= _STILL
    repetition = np.zeros_like(agreement) if still else correlator.surface(directions_b)
    surfaces = _surfaces(a, b) if poses else np.zeros((1, 1, 1))
    return Evidence((a.shape[0], a.shape[1]), surfaces, agreement, repetition, (down, right))


def _surfaces(a: Gray, b: Gray) -> Float[np.ndarray, "poses h w"]:
    """Agreement of downsampled images for each pose and shift."""
    small_a, small_b = (downsample(image, max(b.shape) / _WIDTH_OF_POSES) for image in (a, b))
    correlator = Correlator(orientation(small_b, LOOK), _REACH)
    return np.stack([correlator.surface(_posed(small_a, pose)) for pose in _POSES])


def check_registration(a: Gray, b: Gray, step: int = 1) -> Misalignment | None:
    """Check whether the images of a pair look misaligned: rotated, scaled or shifted.

    Args:
        a: luma of the source whose color is not used.
        b: luma of the source whose color is kept.
        step: subsampling of the images, in original pixels.

    Returns:
        None if the pair looks aligned, or nothing can be determined.
    """
    evidence = find_evidence(a, b)
    return None if evidence is None else evidence.misalignment(step)


def _posed(image: Gray, pose: Pose) -> Field:
    """Edge directions of an image with its pose undone about the center; zero where it has no data."""
    if pose == Pose():
        return orientation(image, LOOK)
    angle, about = np.deg2rad(pose.angle), centering(image.shape)
    c, s = pose.scale * np.cos(angle), pose.scale * np.sin(angle)
    matrix = about @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.linalg.inv(about)
    return directions_after(image, np.ones_like(image), matrix, image.shape)


def _repeats(agreement: NDArray[Any], shifts: Sequence[NDArray[Any]], x: int, y: int) -> bool:
    """Whether a texture repeats at a shift, so that the shift reveals nothing about the position.

    The autocorrelation must drop in between: that of a long straight edge stays high throughout.

    Args:
        agreement: autocorrelation of the image at each of `shifts`, vertical and horizontal.
        shifts: shifts in FFT order (negative ones last).
        x: horizontal shift.
        y: vertical shift.
    """
    near = agreement[np.ix_(abs(shifts[0] - y) <= _STILL, abs(shifts[1] - x) <= _STILL)].max()
    way = np.linspace((0, 0), (y, x), max(abs(x), abs(y)) + 1).round().astype(int)
    return bool(near > _REPEATED * agreement[0, 0] and agreement[*way.T].min() < _VALLEY * near)
