"""Training batches: the pairs drawn in a step depend only on the seed and the step number."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Protocol

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from refinefuse.data.crops import CropBatch, PairCropDataset, collate
from refinefuse.errors import ConfigError
from refinefuse.training.datasets import LumaPair, TrainingData
from refinefuse.training.recipe import Recipe


class Schedule(Protocol):
    """The length of a run."""

    @property
    def batch_size(self) -> int:
        """Pairs per step, over all processes."""
        ...

    @property
    def max_steps(self) -> int:
        """Optimizer steps."""
        ...


class StepSampler(Sampler[int]):
    """The item indices of one process for every step of a run, in order, from the step at which it resumes.

    Its length is that of the full run, as Lightning expects.
    """

    def __init__(self, recipe: Schedule, first_step: int, rank: int = 0, processes: int = 1) -> None:
        self.whole = recipe.batch_size
        self.num_pairs = recipe.batch_size // processes
        self.steps = range(first_step, recipe.max_steps)
        self.total = recipe.max_steps * self.num_pairs
        self.rank = rank

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        for step in self.steps:
            first = step * self.whole + self.rank * self.num_pairs
            yield from range(first, first + self.num_pairs)


class FusionDataModule(LightningDataModule):
    """The batches of a run. Each step's pairs are split over the processes, so a recipe works for any number of them.

    Args:
        recipe: recipe of the run.
        data: the images.
        first_step: the step at which the run resumes.
        num_workers: data-loading processes per training process.
    """

    def __init__(self, recipe: Recipe, data: TrainingData, *, first_step: int = 0, num_workers: int = 0) -> None:
        super().__init__()
        self.recipe, self.data, self.first_step, self.num_workers = recipe, data, first_step, num_workers
        self.crops = PairCropDataset(
            data.training,
            data.weights,
            size=recipe.crop_size,
            crops=recipe.crops_per_pair,
            context_size=recipe.network.context_size,
            augmentation=recipe.augmentation,
            length=recipe.max_steps * recipe.batch_size,
            seed=recipe.seed,
            labels=data.labels,
        )

    def names_of(self, step: int) -> list[str]:
        """Names of the pairs drawn in a step, over all processes."""
        count = self.recipe.batch_size
        drawn = (self.crops.pair_of(index) for index in range(step * count, (step + 1) * count))
        return [self.data.names[index] for index in dict.fromkeys(drawn)]

    def train_dataloader(self) -> DataLoader[CropBatch]:
        """Every batch of the run from `first_step` on, in order."""
        rank, processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        order = StepSampler(self.recipe, self.first_step, rank, processes)
        return DataLoader(
            self.crops,
            order.num_pairs,
            sampler=order,
            collate_fn=collate,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=leave_signals_to_the_trainer,
        )

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Full-size pairs, one per batch, as (1, 1, h, w) in [0, 1], split over the processes if there are enough."""
        pairs = self.data.validation
        if self.trainer and len(pairs) >= self.trainer.world_size:
            pairs = pairs[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(pairs, 1, collate_fn=_whole)  # type: ignore[arg-type]  # a list is a map-style dataset


def leave_signals_to_the_trainer(_: int) -> None:
    """Keep a worker alive when its process group is signaled, so that the trainer can save a checkpoint.

    `timeout`, Slurm and systemd signal whole groups. A worker exits when the trainer does.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _whole(items: list[LumaPair]) -> tuple[Tensor, Tensor]:
    a, b = (torch.from_numpy(plane.astype("float32"))[None, None] / 255 for plane in items[0])
    return a, b


def check_processes(recipe: Recipe, processes: int) -> None:
    """Check that the number of processes divides the batch size.

    Raises:
        ConfigError: if it does not; the message gives both numbers.
    """
    if recipe.batch_size % processes:
        raise ConfigError(
            "`batch_size` must be divisible by the number of processes (devices x nodes).\n"
            f"  batch_size: {recipe.batch_size}\n  processes: {processes}\n"
            "Use another number of devices, or change `batch_size` in the recipe, which starts a different run."
        )
