"""`train`: one function from a recipe to weights."""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol

from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from refinefuse.errors import TrainingError, format_names
from refinefuse.settings import claim_folder
from refinefuse.training.checkpoints import LAST, AtomicCheckpointIO, LastCheckpoint, read_checkpoint
from refinefuse.training.data_module import FusionDataModule, check_processes
from refinefuse.training.datasets import TrainingData, load_datasets
from refinefuse.training.logs import ImageLogger, StopOnNonFinite, loggers
from refinefuse.training.recipe import Recipe, save_recipe
from refinefuse.training.task import FusionTask

CHECKPOINT_EVERY = 500  # steps
RECIPE = "recipe.yaml"
_EXPECTED = (
    "Checkpoint directory .* exists and is not empty",  # it is the run's own
    "You're resuming from a checkpoint that ended before the epoch ended",  # batches go on by number: `StepSampler`
    "Experiment logs directory .* exists and is not empty",  # `loggers` keeps what is in it
    "The '.*_dataloader' does not have many num_workers",
    "The number of training batches",
    "Be aware that when using `ckpt_path`",
    "`isinstance\\(treespec",
)
"""What Lightning warns of, and the user need not know."""


def train(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    num_workers: int = 1,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    cache: Path | None = None,
) -> Path:
    """Train a network, or go on with a run that was stopped, and write its averaged weights.

    The output folder holds the recipe, the last checkpoint (from which the next call goes on), the logs for
    TensorBoard and as CSV, and at the end `NAME.safetensors`. With several devices or nodes, Lightning starts this
    program once more for each, or finds those that torchrun or Slurm started; the pairs of a step are divided over
    them.

    Args:
        recipe: what to train.
        data: the folder below which the recipe's sets lie.
        output: the folder of the run.
        num_workers: processes that cut crops beside each training process.
        accelerator: what computes; auto takes a GPU if there is one.
        devices: training processes on this machine, each with a device of its own.
        num_nodes: machines.
        cache: a folder for decoded images, mapped into memory; None keeps them in the memory of each process.

    Returns:
        The path of the weights.

    Raises:
        ConfigError: if the output folder holds a run by another recipe, or the pairs of a step do not divide over the
            processes.
        TrainingError: if the checkpoint of the run is damaged, the loss stops being finite or a checkpoint cannot be
            written. The one before is kept.
    """
    check_processes(recipe, devices * num_nodes)
    weights = output / f"{recipe.name}.safetensors"
    claim_folder(output, RECIPE, recipe)
    if weights.exists():
        return weights
    training_data = load_datasets(recipe, data, cache)
    _say_left_out(training_data)
    save_recipe(recipe, output / RECIPE)
    seed_everything(recipe.seed)
    task = FusionTask(recipe, data)
    last = output / LAST
    checkpoint: dict[str, Any] = read_checkpoint(last) if last.exists() else {"global_step": 0}
    if checkpoint["global_step"] < recipe.max_steps:
        step = checkpoint["global_step"]
        batches = FusionDataModule(recipe, training_data, first_step=step, num_workers=num_workers)
        trainer = _trainer(recipe, output, training_data, step, accelerator, devices, num_nodes)
        fit(trainer, task, batches, output)
        if not trainer.is_global_zero:
            return weights
    else:  # stopped between the last checkpoint, which holds the averaged weights, and the export
        task.load_state_dict(checkpoint["state_dict"])
    task.network.save_weights(weights)
    return weights


@rank_zero_only
def _say_left_out(training_data: TrainingData) -> None:
    if training_data.skipped:
        reasons = [f"{label}: {why}" for label, why in training_data.skipped.items()]
        print(f"Left out ({len(reasons)}):\n{format_names(reasons)}", file=sys.stderr)  # noqa: T201  # the recipe says skip


class HasNames(Protocol):
    """What tells which images a step draws."""

    def names_of(self, step: int) -> list[str]:
        """Their names."""
        ...


def fit(trainer: Trainer, task: LightningModule, batches: Any, output: Path) -> None:
    """Run Lightning's loop; say in the user's terms why it cannot go on.

    Args:
        trainer: with `LastCheckpoint` of the same folder.
        task: what is trained.
        batches: the data module, which is `HasNames`.
        output: the folder of the run.

    Raises:
        TrainingError: if the loss stops being finite or a checkpoint cannot be written. The one before is kept.
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
        if trainer.interrupted:  # Lightning makes Ctrl-C an exit of its own
            raise KeyboardInterrupt from None
        raise
    except FloatingPointError as error:
        step = trainer.global_step
        raise TrainingError(
            f"Training cannot go on: {error}, in step {step}.\nIts pairs:\n"
            f"{format_names(named.names_of(min(step, trainer.max_steps - 1)))}\n{_kept(last)}\n"
            "Look at these images, or take a lower learning rate, in a new output folder."
        ) from error
    except OSError as error:
        raise TrainingError(
            f"Training cannot go on: '{output}' cannot be written to ({error.strerror or error}).\n{_kept(last)}\n"
            "Make room, then give the same command."
        ) from error


def _kept(last: Path) -> str:
    if not last.exists():
        return "There is no checkpoint yet."
    step = read_checkpoint(last)["global_step"]
    return f"The checkpoint of step {step} is kept: '{last}'."


def _trainer(
    recipe: Recipe,
    output: Path,
    training_data: TrainingData,
    first_step: int,
    accelerator: str,
    devices: int,
    num_nodes: int,
) -> Trainer:
    return Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy="ddp" if devices * num_nodes > 1 else "auto",
        use_distributed_sampler=False,
        max_steps=recipe.max_steps,
        precision=recipe.precision,
        gradient_clip_val=recipe.gradient_clip_val,
        val_check_interval=min(recipe.val_check_interval, recipe.max_steps),
        logger=loggers(output, first_step),
        plugins=[AtomicCheckpointIO()],
        callbacks=[
            StopOnNonFinite(),
            EMAWeightAveraging(decay=recipe.ema_decay),
            LearningRateMonitor("step"),
            ImageLogger(training_data.validation_names),
            LastCheckpoint(output, min(CHECKPOINT_EVERY, recipe.max_steps)),
        ],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        log_every_n_steps=20,
    )
