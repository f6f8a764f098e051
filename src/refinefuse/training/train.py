"""Run a training recipe with Lightning."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, WeightAveraging
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from refinefuse.errors import TrainingError, format_names
from refinefuse.settings import claim_folder
from refinefuse.training.checkpoints import LAST, AtomicCheckpointIO, LastCheckpoint, read_checkpoint
from refinefuse.training.data_module import FusionDataModule, check_processes
from refinefuse.training.datasets import TrainingData, load_datasets
from refinefuse.training.entry import Accelerator
from refinefuse.training.logs import ImageLogger, ProgressBar, StopOnNonFinite, loggers
from refinefuse.training.recipe import Recipe, save_recipe
from refinefuse.training.task import FusionTask

logger = logging.getLogger(__name__)
CHECKPOINT_EVERY = 500  # steps
CHECKPOINT_SECONDS = 60.0
"""A killed run loses at most this much."""
RECIPE = "recipe.yaml"
_EXPECTED = (
    "Checkpoint directory .* exists and is not empty",  # it belongs to this run
    "You're resuming from a checkpoint that ended before the epoch ended",  # `StepSampler` resumes by step number
    "Experiment logs directory .* exists and is not empty",  # `loggers` keeps its contents
    "The '.*_dataloader' does not have many num_workers",
    "The number of training batches",
    "Be aware that when using `ckpt_path`",
    "`isinstance\\(treespec",
)
"""Warnings of Lightning that do not concern the user."""


def fit_recipe(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    num_workers: int = 1,
    accelerator: Accelerator = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    cache: Path | None = None,
    progress: bool = False,
) -> Path:
    """Train a network, or resume a run that was stopped, and write its averaged weights: `refinefuse.train`.

    Args:
        recipe: the training recipe.
        data: root folder of the recipe's datasets.
        output: the folder of the run.
        num_workers: data-loading processes per training process.
        accelerator: device to train on; auto uses a GPU if there is one.
        devices: training processes on this machine, each with its own device.
        num_nodes: number of machines.
        cache: folder for decoded images, memory-mapped; None keeps them in the memory of each process.
        progress: show a progress bar.

    Returns:
        The path of the weights.

    Raises:
        ConfigError: if the output folder holds a run of another recipe, an option is invalid, or the number of
            processes does not divide the batch size.
        TrainingError: if the checkpoint of the run is damaged, the loss is NaN or infinite, or a checkpoint cannot be
            written. The previous one is kept.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its hints do not apply here
    check_processes(recipe, devices * num_nodes)
    weights = output / f"{recipe.name}.safetensors"
    claim_folder(output, RECIPE, recipe)
    if weights.exists():
        return weights
    training_data = load_datasets(recipe, data, cache)
    _report_pairs(training_data)
    save_recipe(recipe, output / RECIPE)
    seed_everything(recipe.seed, verbose=progress)
    task = FusionTask(recipe, data)
    last = output / LAST
    checkpoint: dict[str, Any] = read_checkpoint(last) if last.exists() else {"global_step": 0}
    if checkpoint["global_step"] < recipe.max_steps:
        step = checkpoint["global_step"]
        batches = FusionDataModule(recipe, training_data, first_step=step, num_workers=num_workers)
        machines = _Machines(accelerator, devices, num_nodes)
        trainer = _trainer(recipe, output, training_data, step, machines, progress)
        fit(trainer, task, batches, output)
        if not trainer.is_global_zero:
            return weights
    else:  # stopped after the last checkpoint, which holds the averaged weights, but before the export
        task.load_state_dict(checkpoint["state_dict"])
    task.network.save_weights(weights)
    return weights


@rank_zero_only
def _report_pairs(training_data: TrainingData) -> None:
    if not training_data.validation:
        logger.warning("No validation: every tenth pair is used for it, and there are fewer than ten")
    if training_data.skipped:
        reasons = [f"{label}: {why}" for label, why in training_data.skipped.items()]
        logger.warning("Skipped pairs (%d):\n%s", len(reasons), format_names(reasons))


class HasNames(Protocol):
    """A data module that can name the images of a step."""

    def names_of(self, step: int) -> list[str]:
        """Names of the pairs in a step."""
        ...


def fit(trainer: Trainer, task: LightningModule, batches: Any, output: Path) -> None:
    """Run Lightning's training loop, and report clearly why it stopped.

    Args:
        trainer: a trainer with a `LastCheckpoint` in the same folder.
        task: the module to train.
        batches: the data module; may implement `HasNames`.
        output: output folder of the run.

    Raises:
        TrainingError: if the loss is NaN or infinite, or a checkpoint cannot be written. The previous one is kept.
    """
    named: HasNames = batches
    last = output / LAST
    try:
        with warnings.catch_warnings():
            for text in _EXPECTED:
                warnings.filterwarnings("ignore", text)
            trainer.fit(task, batches, ckpt_path=last if last.exists() else None)
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit:
        if trainer.interrupted:  # Lightning handles Ctrl-C itself
            raise KeyboardInterrupt from None
        raise
    except FloatingPointError as error:
        step = trainer.global_step
        raise TrainingError(
            f"Training stopped at step {step}: {error}.\nPairs in this batch:\n"
            f"{format_names(named.names_of(min(step, trainer.max_steps - 1)))}\n{_kept(last)}\n"
            "Check these images, or restart in a new output folder with a lower learning rate."
        ) from error
    except OSError as error:
        raise TrainingError(
            f"Training stopped: cannot write to '{output}' ({error.strerror or error}).\n{_kept(last)}\n"
            "Free some disk space, then run the same command again."
        ) from error


def _kept(last: Path) -> str:
    if not last.exists():
        return "There is no checkpoint yet."
    step = read_checkpoint(last)["global_step"]
    return f"The checkpoint of step {step} is kept: '{last}'."


class _Machines(NamedTuple):
    """The devices and machines of a run."""

    accelerator: str
    devices: int
    num_nodes: int


def ramped_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential moving average with a ramped decay: after t steps it is at most (1 + t) / (10 + t).

    Short runs therefore save what they learned, not their initial weights.
    """

    def average(mean: Tensor, new: Tensor, steps: Tensor | int) -> Tensor:
        return torch.lerp(mean, new, 1 - min(decay, (1 + float(steps)) / (10 + float(steps))))

    return average


def _trainer(
    recipe: Recipe, output: Path, training_data: TrainingData, first_step: int, machines: _Machines, progress: bool
) -> Trainer:
    return Trainer(
        **machines._asdict(),
        strategy="ddp" if machines.devices * machines.num_nodes > 1 else "auto",
        use_distributed_sampler=False,
        max_steps=recipe.max_steps,
        precision=recipe.precision,
        gradient_clip_val=recipe.gradient_clip_val,
        val_check_interval=min(recipe.val_check_interval, recipe.max_steps),
        logger=loggers(output, first_step),
        plugins=[AtomicCheckpointIO()],
        callbacks=[
            StopOnNonFinite(),
            WeightAveraging(avg_fn=ramped_average(recipe.ema_decay)),
            LearningRateMonitor("step"),
            ImageLogger(training_data.validation_names),
            LastCheckpoint(output, min(CHECKPOINT_EVERY, recipe.max_steps), CHECKPOINT_SECONDS),
            *([ProgressBar()] if progress else []),
        ],
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if training_data.validation else 0,
        enable_model_summary=False,
        enable_progress_bar=progress,
        log_every_n_steps=20,
    )
