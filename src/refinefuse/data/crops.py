"""Training crops: full images are kept in memory as 8-bit luma, cropped and augmented on the fly.

Item `i` of a dataset depends only on the seed and `i`: a resumed run, or one with several processes, sees the same
crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from refinefuse.data.degradations import DEGRADATIONS, NOT_OF_THE_SCENE, low_thermal_contrast, thermal_noise
from refinefuse.errors import InputError, check_field
from refinefuse.network.context import grid_statistics

UNLABELED = 255
"""Class of unlabeled pixels."""
_FARTHEST = 3  # maximum shift of one source by augmentation, in pixels


class CropBatch(NamedTuple):
    """Crops of one pair, or of a batch of pairs, luma in [0, 1].

    The losses compare with the references: the sources without the added noise. `contrast` is that of the level
    (`FusionHead`), one per crop. `labels` are pixel classes, `UNLABELED` where unknown.
    """

    a: Float[Tensor, "*n 1 s s"]
    b: Float[Tensor, "*n 1 s s"]
    reference_a: Float[Tensor, "*n 1 s s"]
    reference_b: Float[Tensor, "*n 1 s s"]
    contrast: Float[Tensor, "*n 1 1 1"]
    labels: UInt8[Tensor, "*n 1 s s"]
    stats_a: Float[Tensor, "*m 2 g g"]
    stats_b: Float[Tensor, "*m 2 g g"]


@dataclass(frozen=True)
class Augmentation:
    """How training crops are varied.

    Args:
        degrade_visible_p: probability that the visible image is degraded (under- or overexposure, haze, noise, rain).
        degrade_infrared_p: probability that the infrared image is that of a sensor with low thermal contrast.
        max_scale: largest change of scale of a crop, as a factor >= 1, up or down; applied to half of the crops.
        thermal_noise_p: probability of fixed patterns, noise and lens shading in the infrared image.
        misaligned_p: probability that the sources are moved apart, by up to 3 pixels in each direction.
    """

    degrade_visible_p: float = 0.4
    degrade_infrared_p: float = 0.0
    max_scale: float = 1.5
    thermal_noise_p: float = 0.0
    misaligned_p: float = 0.0

    def __post_init__(self) -> None:
        check_field(
            0 <= self.degrade_visible_p <= 1, "degrade_visible_p", "a number from 0 to 1", self.degrade_visible_p
        )
        check_field(
            0 <= self.degrade_infrared_p <= 1, "degrade_infrared_p", "a number from 0 to 1", self.degrade_infrared_p
        )
        check_field(0 <= self.thermal_noise_p <= 1, "thermal_noise_p", "a number from 0 to 1", self.thermal_noise_p)
        check_field(0 <= self.misaligned_p <= 1, "misaligned_p", "a number from 0 to 1", self.misaligned_p)
        check_field(1 <= self.max_scale <= 4, "max_scale", "a factor from 1 to 4", self.max_scale)


class PairCropDataset(Dataset[CropBatch]):
    """Crops of aligned pairs.

    Args:
        pairs: luma of each pair, uint8 (h, w).
        weights: sampling weights of the pairs; they need not sum to 1.
        size: side of a crop, in pixels.
        crops: crops per pair and draw.
        context_size: cells per side of the grid statistics (`NetworkConfig.context_size`).
        augmentation: augmentation of the crops.
        length: number of items.
        seed: seed of everything random.
        labels: classes of the pixels of each pair, uint8 (h, w); None for a pair without labels.

    Raises:
        InputError: if a pair is smaller than a crop.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]],
        weights: Sequence[float],
        *,
        size: int,
        crops: int,
        context_size: int,
        augmentation: Augmentation,
        length: int,
        seed: int,
        labels: Sequence[UInt8[np.ndarray, "h w"] | None] = (),
    ) -> None:
        smallest = min(min(a.shape) for a, _ in pairs)
        if smallest < size:
            raise InputError(
                "Training images must be at least as large as the crop.\n"
                f"  crop: {size} x {size}\n  smallest side: {smallest}"
            )
        self.pairs = pairs
        self.odds = np.cumsum(weights) / np.sum(weights)
        self.size, self.crops, self.context_size, self.augmentation = size, crops, context_size, augmentation
        self.length, self.seed = length, seed
        self.labels = labels or [None] * len(pairs)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> CropBatch:
        rng = np.random.default_rng((self.seed, index))
        drawn = self._draw(rng)
        turn = int(rng.integers(8))
        a, b = (rotated_or_flipped(x.astype(np.float32) / 255, turn) for x in self.pairs[drawn])
        labels = self.labels[drawn]
        classes = np.full(a.shape, UNLABELED, np.uint8) if labels is None else rotated_or_flipped(labels, turn)
        if rng.random() < self.augmentation.misaligned_p:
            a = _moved(a, *rng.integers(-_FARTHEST, _FARTHEST + 1, 2))
        clean_b = b
        if rng.random() < self.augmentation.degrade_visible_p:
            name = rng.choice(list(DEGRADATIONS))
            b = DEGRADATIONS[name](b, rng.random(), rng)
            clean_b = clean_b if name in NOT_OF_THE_SCENE else b
        if rng.random() < self.augmentation.degrade_infrared_p:
            a = low_thermal_contrast(a, rng.random(), rng)
        clean_a = a
        if rng.random() < self.augmentation.thermal_noise_p:
            a = thermal_noise(a, rng.random(), rng)
        cuts = [self._cut((a, b, clean_a, clean_b, classes), rng) for _ in range(self.crops)]
        crop_a, crop_b, *references, crop_labels = (
            torch.from_numpy(np.stack(planes))[:, None] for planes in zip(*cuts, strict=True)
        )
        stats_a, stats_b = (
            grid_statistics(torch.from_numpy(np.ascontiguousarray(x))[None, None], self.context_size)[0] for x in (a, b)
        )
        contrast = min(1.0, 2 * rng.random())  # half of the pairs train the level, half the detail at any contrast
        per_crop = torch.full((self.crops, 1, 1, 1), contrast)
        return CropBatch(crop_a, crop_b, references[0], references[1], per_crop, crop_labels, stats_a, stats_b)

    def pair_of(self, index: int) -> int:
        """Index of the pair that item `index` is cropped from."""
        return self._draw(np.random.default_rng((self.seed, index)))

    def _draw(self, rng: np.random.Generator) -> int:
        return int(np.searchsorted(self.odds, rng.random()))

    def _cut(self, planes: tuple[np.ndarray, ...], rng: np.random.Generator) -> list[np.ndarray]:
        height, width = planes[0].shape
        zoom = self.augmentation.max_scale ** rng.uniform(-1, 1) if rng.random() < 0.5 else 1
        side = min(round(self.size * zoom), height, width)
        y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
        cut = [plane[y : y + side, x : x + side] for plane in planes]
        return cut if side == self.size else [_resized(plane, self.size) for plane in cut]


def _resized(plane: np.ndarray, size: int) -> np.ndarray:
    """Resize a square plane: luma with interpolation, classes (uint8) by nearest neighbor."""
    smooth = cv2.INTER_AREA if plane.shape[0] > size else cv2.INTER_LINEAR
    how = cv2.INTER_NEAREST if plane.dtype == np.uint8 else smooth
    return cv2.resize(np.ascontiguousarray(plane), (size, size), interpolation=how)


def _moved(plane: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shift a plane by whole pixels, repeating its border."""
    rows, columns = (np.arange(n) - by for n, by in zip(plane.shape, (down, right), strict=True))
    moved: np.ndarray = plane[rows.clip(0, plane.shape[0] - 1)][:, columns.clip(0, plane.shape[1] - 1)]
    return moved


def rotated_or_flipped(plane: np.ndarray, turn: int) -> np.ndarray:
    """Apply one of the eight symmetries of the square: `turn` in 0..7."""
    plane = np.rot90(plane, turn % 4)
    return plane[:, ::-1] if turn >= 4 else plane


def collate(items: Sequence[CropBatch]) -> CropBatch:
    """Collate items to a batch: crops (n crops, 1, s, s) and grid statistics (n, 2, g, g)."""
    *per_crop, stats_a, stats_b = zip(*items, strict=True)
    a, b, reference_a, reference_b, contrast, labels = map(torch.cat, per_crop)
    return CropBatch(a, b, reference_a, reference_b, contrast, labels, torch.stack(stats_a), torch.stack(stats_b))
