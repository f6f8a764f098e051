"""From the folders of a recipe to batches: pictures are decoded once and kept in memory as 8-bit luma."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from refinefuse.data.crops import Crops, PairCrops, collate
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.errors import InputError, PairingError, listing
from refinefuse.image.color import split, to_array, to_tensor
from refinefuse.image.files import read_image
from refinefuse.training.recipe import Recipe

LumaPair = tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]
HELD_OUT = 10
"""Every tenth pair of a set validates."""


def _luma(path: Path) -> UInt8[np.ndarray, "h w"]:
    pixels: np.ndarray = to_array(split(to_tensor(read_image(path))).luma, np.uint8)
    return pixels


def _read(pair: Pair) -> LumaPair:
    a, b = _luma(pair.a), _luma(pair.b)
    if a.shape != b.shape:
        raise InputError(
            "The pictures of a training pair must have the same size.\n"
            f"  a: {a.shape[0]} x {a.shape[1]}   '{pair.a}'\n  b: {b.shape[0]} x {b.shape[1]}   '{pair.b}'"
        )
    return a, b


def read_sets(recipe: Recipe, root: Path) -> tuple[list[LumaPair], list[float], list[LumaPair]]:
    """Training pairs, how likely each is drawn, and validation pairs.

    Raises:
        InputError: if a picture cannot be read or two of a pair differ in size.
        PairingError: if a folder is missing, empty, or has pictures without a partner.
    """
    training: list[LumaPair] = []
    shares: list[float] = []
    validation: list[LumaPair] = []
    for part in recipe.sets:
        pairing = pair_folders(root / part.a, root / part.b)
        alone = [*pairing.only_a, *pairing.only_b]
        if alone:
            raise PairingError(
                "Every training picture needs its partner.\n"
                f"  {root / part.a}\n  {root / part.b}\nAlone:\n{listing(alone)}"
            )
        pairs = [_read(pair) for pair in pairing.pairs]
        kept = [pair for index, pair in enumerate(pairs) if index % HELD_OUT or len(pairs) < HELD_OUT]
        training += kept
        shares += [part.share / len(kept)] * len(kept)
        validation += pairs[::HELD_OUT] if len(pairs) >= HELD_OUT else []
    return training, shares, validation


class InOrder(Sampler[int]):
    """The items of a run in order, from the one at which it goes on; Lightning expects the whole run's length."""

    def __init__(self, first: int, total: int) -> None:
        self.first, self.total = first, total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.total))


def training_loader(
    recipe: Recipe, pairs: list[LumaPair], shares: list[float], *, first_step: int = 0, workers: int = 0
) -> DataLoader[Crops]:
    """Every batch of the run from `first_step` on, in order; a batch depends on the seed and its number alone."""
    crops = PairCrops(
        pairs,
        shares,
        size=recipe.crop,
        crops=recipe.crops_per_pair,
        grid=recipe.network.grid,
        augmentation=recipe.augmentation,
        length=recipe.steps * recipe.pairs_per_step,
        seed=recipe.seed,
    )
    order = InOrder(first_step * recipe.pairs_per_step, len(crops))
    return DataLoader(crops, recipe.pairs_per_step, sampler=order, collate_fn=collate, num_workers=workers)


def validation_loader(pairs: list[LumaPair]) -> DataLoader[tuple[Tensor, Tensor]]:
    """Whole pairs, one a batch, as (1, 1, h, w) in [0, 1]."""

    def whole(items: list[LumaPair]) -> tuple[Tensor, Tensor]:
        a, b = (torch.from_numpy(plane)[None, None].float() / 255 for plane in items[0])
        return a, b

    return DataLoader(pairs, 1, collate_fn=whole)  # type: ignore[arg-type]  # a list is a map-style data set
