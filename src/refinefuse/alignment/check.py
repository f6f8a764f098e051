"""A quick check before fusing: are the two images of a pair aligned at all?

Edge directions of small images are correlated over shifts, and over some rotations and scales. It warns only if another
pose matches clearly better than the present one. What it finds can be added up over the pairs of one rig, whose sum is
far surer than any pair. Error rates are in docs/alignment.md.
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
_STILL = 1  # small pixels: a shift up to this is none
_SURE = 12.0  # standard deviations over chance
_REPEATED, _VALLEY = 0.35, 0.3  # of a texture that repeats: its agreement with itself, and at most that in between
_SMALLEST = 32  # pixels per side


class Pose(NamedTuple):
    """How things in `a` are turned and enlarged against `b`: clockwise by degrees, and by a factor."""

    angle: float = 0.0
    scale: float = 1.0


_POSES = (
    Pose(),
    *(Pose(angle=angle) for angle in (-10, -6, -3, 3, 6, 10)),
    *(Pose(scale=float(np.exp(step))) for step in (-0.24, -0.12, -0.05, 0.05, 0.12, 0.24)),
)


@dataclass(frozen=True)
class Misalignment:
    """How a pair seems not to lie on each other.

    Attributes:
        pose: how things in `a` are turned and enlarged against `b`.
        shift: where in `a` the origin of `b` seems to lie, (x, y) in pixels; (0, 0) where the pose differs.
        peak_ratio: how many times better the edges agree there than where they are.
    """

    pose: Pose
    shift: tuple[float, float]
    peak_ratio: float

    @property
    def value(self) -> float:
        """The rotation in degrees, the factor, or the length of the shift in pixels, whichever was found."""
        return self.pose.angle or (self.pose.scale if self.pose.scale != 1 else float(np.hypot(*self.shift)))

    @property
    def message(self) -> str:
        """In words, with what to do."""
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
    """How well the edges of one pair, or of several of one size together, agree in each pose and at each shift.

    Attributes:
        size: height and width of the images.
        surfaces: the agreement of small images in each pose and at each shift, (poses, h, w), in standard deviations
            over chance, summed over the pairs.
        agreement: that of larger images in the present pose, (h, w).
        repetition: that of the larger `b` with itself; 0 of pairs that agree best as they are.
        shifts: of these two, down and to the right, from 0 on, the negative ones behind.
        pairs: how many.
    """

    size: tuple[int, int]
    surfaces: NDArray[Any]
    agreement: NDArray[Any]
    repetition: NDArray[Any]
    shifts: tuple[NDArray[Any], NDArray[Any]]
    pairs: int = 1

    def is_like(self, other: Evidence) -> bool:
        """Whether both can be added: of one size, and looked at in the same poses."""
        return self.size == other.size and self.surfaces.shape == other.surfaces.shape

    def __add__(self, other: Evidence) -> Evidence:
        """The evidence of both together; `is_like` must hold for them."""
        return replace(
            self,
            surfaces=self.surfaces + other.surfaces,
            agreement=self.agreement + other.agreement,
            repetition=self.repetition + other.repetition,
            pairs=self.pairs + other.pairs,
        )

    def misalignment(self, step: int = 1) -> Misalignment | None:
        """What these pairs say together; `step` pixels of the images lie between two of those that were looked at."""
        present, *others = self.surfaces.max((1, 2))
        best = max(range(len(others)), key=others.__getitem__, default=-1)
        if others and self._is_clear(others[best], present):
            return Misalignment(_POSES[1 + best], (0.0, 0.0), float(others[best] / max(present, 1e-9)))
        return self._shift(step)

    def _is_clear(self, best: float, present: float) -> bool:
        """Whether a pose or shift agrees clearly better than the present one; of many pairs, less is clear."""
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
    """How well the edges of a pair agree in each pose and at each shift.

    Args:
        a: luma of the source that gives no color.
        b: luma of the source whose color is kept.
        poses: look at other poses than the present one, which takes most of the time.

    Returns:
        None if the two differ in size, which is refused elsewhere, or are too small to say.
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
    """The agreement of small images in each pose at each shift."""
    small_a, small_b = (downsample(image, max(b.shape) / _WIDTH_OF_POSES) for image in (a, b))
    correlator = Correlator(orientation(small_b, LOOK), _REACH)
    return np.stack([correlator.surface(_posed(small_a, pose)) for pose in _POSES])


def check_registration(a: Gray, b: Gray, step: int = 1) -> Misalignment | None:
    """Look for signs that the images of a pair do not lie on each other: a rotation, a scale or a shift.

    Args:
        a: luma of the source that gives no color.
        b: luma of the source whose color is kept.
        step: how many pixels of the images lie between two of these.

    Returns:
        None if all looks well, or nothing can be said.
    """
    evidence = find_evidence(a, b)
    return None if evidence is None else evidence.misalignment(step)


def _posed(image: Gray, pose: Pose) -> Field:
    """Edge directions of an image whose pose was undone about its center; nothing where it has no data."""
    if pose == Pose():
        return orientation(image, LOOK)
    angle, about = np.deg2rad(pose.angle), centering(image.shape)
    c, s = pose.scale * np.cos(angle), pose.scale * np.sin(angle)
    matrix = about @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.linalg.inv(about)
    return directions_after(image, np.ones_like(image), matrix, image.shape)


def _repeats(agreement: NDArray[Any], shifts: Sequence[NDArray[Any]], x: int, y: int) -> bool:
    """Whether a texture meets itself again at a shift, which says nothing of the position then.

    It must have lost itself on the way: a long straight edge agrees with itself all along.

    Args:
        agreement: of the image with itself at each of `shifts`, vertical and horizontal.
        shifts: from 0 on, the negative ones behind.
        x: of the shift.
        y: of the shift.
    """
    near = agreement[np.ix_(abs(shifts[0] - y) <= _STILL, abs(shifts[1] - x) <= _STILL)].max()
    way = np.linspace((0, 0), (y, x), max(abs(x), abs(y)) + 1).round().astype(int)
    return bool(near > _REPEATED * agreement[0, 0] and agreement[*way.T].min() < _VALLEY * near)
