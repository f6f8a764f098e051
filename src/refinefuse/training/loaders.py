"""Batches: which pairs a step draws depends on the seed and the number of the step alone, on one process or many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from refinefuse.data.crops import Crops, PairCrops, collate
from refinefuse.errors import ConfigError
from refinefuse.training.material import LumaPair, Material
from refinefuse.training.recipe import Recipe


class Schedule(Protocol):
    """How long a run is."""

    @property
    def pairs_per_step(self) -> int:
        """Pairs drawn for a step, over all processes."""
        ...

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        ...


class StepShare(Sampler[int]):
    """One process's items of every step of a run, in order, from the step at which it goes on.

    Its length is that of the whole run, as Lightning expects.
    """

    def __init__(self, recipe: Schedule, first_step: int, rank: int = 0, processes: int = 1) -> None:
        self.whole = recipe.pairs_per_step
        self.share = recipe.pairs_per_step // processes
        self.steps = range(first_step, recipe.steps)
        self.total = recipe.steps * self.share
        self.rank = rank

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        for step in self.steps:
            first = step * self.whole + self.rank * self.share
            yield from range(first, first + self.share)


class Batches(LightningDataModule):
    """The batches of a run. A step's pairs are divided over the processes, so a recipe means the same on one or many.

    Args:
        recipe: of the run.
        material: the pictures.
        first_step: the step at which the run goes on.
        workers: processes that cut crops beside each training process.
    """

    def __init__(self, recipe: Recipe, material: Material, *, first_step: int = 0, workers: int = 0) -> None:
        super().__init__()
        self.recipe, self.material, self.first_step, self.workers = recipe, material, first_step, workers
        self.crops = PairCrops(
            material.training,
            material.shares,
            size=recipe.crop,
            crops=recipe.crops_per_pair,
            grid=recipe.network.grid,
            augmentation=recipe.augmentation,
            length=recipe.steps * recipe.pairs_per_step,
            seed=recipe.seed,
        )

    def names_of(self, step: int) -> list[str]:
        """The pairs that a step draws, over all processes."""
        count = self.recipe.pairs_per_step
        drawn = (self.crops.pair_of(index) for index in range(step * count, (step + 1) * count))
        return [self.material.names[index] for index in dict.fromkeys(drawn)]

    def train_dataloader(self) -> DataLoader[Crops]:
        """Every batch of the run from `first_step` on, in order."""
        rank, processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        order = StepShare(self.recipe, self.first_step, rank, processes)
        return DataLoader(
            self.crops,
            order.share,
            sampler=order,
            collate_fn=collate,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Whole pairs, one a batch, as (1, 1, h, w) in [0, 1], divided over the processes if there are enough."""
        pairs = self.material.validation
        if self.trainer and len(pairs) >= self.trainer.world_size:
            pairs = pairs[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(pairs, 1, collate_fn=_whole)  # type: ignore[arg-type]  # a list is a map-style data set


def _whole(items: list[LumaPair]) -> tuple[Tensor, Tensor]:
    a, b = (torch.from_numpy(plane.astype("float32"))[None, None] / 255 for plane in items[0])
    return a, b


def check_processes(recipe: Recipe, processes: int) -> None:
    """Refuse a number of processes over which a step's pairs cannot be divided.

    Raises:
        ConfigError: naming both numbers.
    """
    if recipe.pairs_per_step % processes:
        raise ConfigError(
            "The pairs of a step must divide over the processes (devices x nodes).\n"
            f"  pairs_per_step: {recipe.pairs_per_step}\n  processes: {processes}\n"
            "Take other devices, or another recipe: a run by more pairs a step is another run."
        )
