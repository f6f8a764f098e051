"""Training crops: whole pictures held in memory as 8-bit luma, cut and augmented on the fly.

Item `i` of a data set depends on the seed and on `i` alone: a resumed run, or one split over several processes,
sees the same crops.
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

from refinefuse.data.lighting import DEGRADATIONS, faint
from refinefuse.errors import InputError, require
from refinefuse.network.context import reduced


class Crops(NamedTuple):
    """Crops of one pair, or of a batch of pairs, luma in [0, 1].

    `reference` is what the losses compare `b` with: `b` itself, but without the noise that was added to it.
    """

    a: Float[Tensor, "*n 1 s s"]
    b: Float[Tensor, "*n 1 s s"]
    reference: Float[Tensor, "*n 1 s s"]
    reduced_a: Float[Tensor, "*m 2 g g"]
    reduced_b: Float[Tensor, "*m 2 g g"]


@dataclass(frozen=True)
class Augmentation:
    """How training crops are varied.

    Args:
        lighting: share of the pairs whose visible picture is degraded (dark, over-exposed, hazy or noisy), in [0, 1].
        sensor: share of the pairs whose infrared picture is that of a duller sensor, in [0, 1].
        zoom: largest change of scale of a crop, as a factor >= 1, up or down; applied to half of the crops.
    """

    lighting: float = 0.4
    sensor: float = 0.0
    zoom: float = 1.5

    def __post_init__(self) -> None:
        require(0 <= self.lighting <= 1, "lighting", "a share from 0 to 1", self.lighting)
        require(0 <= self.sensor <= 1, "sensor", "a share from 0 to 1", self.sensor)
        require(1 <= self.zoom <= 4, "zoom", "a factor from 1 to 4", self.zoom)


class PairCrops(Dataset[Crops]):
    """Crops of aligned pairs.

    Args:
        pairs: luma of each pair, uint8 (h, w).
        shares: how likely each pair is drawn; they need not sum to 1.
        size: side of a crop, in pixels.
        crops: crops cut from a pair each time that it is drawn.
        grid: side of the reduced pictures (`NetworkConfig.grid`).
        augmentation: how crops are varied.
        length: number of items.
        seed: of everything random.

    Raises:
        InputError: if a pair is smaller than a crop.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]],
        shares: Sequence[float],
        *,
        size: int,
        crops: int,
        grid: int,
        augmentation: Augmentation,
        length: int,
        seed: int,
    ) -> None:
        smallest = min(min(a.shape) for a, _ in pairs)
        if smallest < size:
            raise InputError(
                "Training pictures must be at least as large as the crop.\n"
                f"  crop: {size} x {size}\n  smallest side: {smallest}"
            )
        self.pairs = pairs
        self.odds = np.cumsum(shares) / np.sum(shares)
        self.size, self.crops, self.grid, self.augmentation = size, crops, grid, augmentation
        self.length, self.seed = length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Crops:
        rng = np.random.default_rng((self.seed, index))
        a, b = self.pairs[self._draw(rng)]
        a, b = (turned(x.astype(np.float32) / 255, turn) for turn in [int(rng.integers(8))] for x in (a, b))
        clean = b
        if rng.random() < self.augmentation.lighting:
            name = rng.choice(list(DEGRADATIONS))
            b = DEGRADATIONS[name](b, rng.random(), rng)
            clean = clean if name == "noisy" else b
        if rng.random() < self.augmentation.sensor:
            a = faint(a, rng.random(), rng)
        cuts = [self._cut((a, b, clean), rng) for _ in range(self.crops)]
        stacked = (torch.from_numpy(np.stack(planes))[:, None] for planes in zip(*cuts, strict=True))
        whole = (reduced(torch.from_numpy(np.ascontiguousarray(x))[None, None], self.grid)[0] for x in (a, b))
        return Crops(*stacked, *whole)

    def pair_of(self, index: int) -> int:
        """Which of the pairs item `index` is cut from."""
        return self._draw(np.random.default_rng((self.seed, index)))

    def _draw(self, rng: np.random.Generator) -> int:
        return int(np.searchsorted(self.odds, rng.random()))

    def _cut(self, planes: tuple[np.ndarray, ...], rng: np.random.Generator) -> list[np.ndarray]:
        height, width = planes[0].shape
        zoom = self.augmentation.zoom ** rng.uniform(-1, 1) if rng.random() < 0.5 else 1
        side = min(round(self.size * zoom), height, width)
        y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
        cut = [plane[y : y + side, x : x + side] for plane in planes]
        if side == self.size:
            return cut
        how = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
        return [cv2.resize(np.ascontiguousarray(plane), (self.size, self.size), interpolation=how) for plane in cut]


def turned(plane: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight symmetries of the square: `turn` in 0..7."""
    plane = np.rot90(plane, turn % 4)
    return plane[:, ::-1] if turn >= 4 else plane


def collate(items: Sequence[Crops]) -> Crops:
    """Items to a batch: crops (n crops, 1, s, s), reduced pictures (n, 2, g, g)."""
    a, b, reference, reduced_a, reduced_b = zip(*items, strict=True)
    return Crops(torch.cat(a), torch.cat(b), torch.cat(reference), torch.stack(reduced_a), torch.stack(reduced_b))
