"""`train`: one function from a recipe to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from refinefuse.errors import ConfigError
from refinefuse.training.loaders import read_sets, training_loader, validation_loader
from refinefuse.training.recipe import Recipe, load_recipe, save_recipe
from refinefuse.training.task import FusionTask

LAST = "last.ckpt"
CHECKPOINT_EVERY = 500  # steps
RECIPE = "recipe.yaml"


def train(recipe: Recipe, data: Path, output: Path, *, workers: int = 1) -> Path:
    """Train a network, or go on with a run that was stopped, and write its averaged weights.

    The output folder holds the recipe, the last checkpoint (from which the next call goes on), the logs for
    TensorBoard and as CSV, and at the end `NAME.safetensors`.

    Args:
        recipe: what to train.
        data: the folder below which the recipe's sets lie.
        output: the folder of the run.
        workers: processes that cut crops beside the training.

    Returns:
        The path of the weights.

    Raises:
        ConfigError: if the output folder holds a run by another recipe.
    """
    weights = output / f"{recipe.name}.safetensors"
    _claim(output, recipe)
    if weights.exists():
        return weights
    training, shares, validation = read_sets(recipe, data)
    save_recipe(recipe, output / RECIPE)
    seed_everything(recipe.seed)
    task = FusionTask(recipe)
    last = output / LAST
    checkpoint: dict[str, Any] = torch.load(last, weights_only=True) if last.exists() else {"global_step": 0}
    if checkpoint["global_step"] < recipe.steps:
        trainer = _trainer(recipe, output)
        loader = training_loader(recipe, training, shares, first_step=checkpoint["global_step"], workers=workers)
        try:
            trainer.fit(task, loader, validation_loader(validation), ckpt_path=last if last.exists() else None)
        except SystemExit:
            if trainer.interrupted:  # Lightning makes Ctrl-C an exit of its own
                raise KeyboardInterrupt from None
            raise
    else:  # stopped between the last checkpoint, which holds the averaged weights, and the export
        task.load_state_dict(checkpoint["state_dict"])
    task.network.save_weights(weights)
    return weights


def _claim(output: Path, recipe: Recipe) -> None:
    """Make the folder of the run, or refuse one that is another run's."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder '{output}' cannot be made: {error.strerror}.\nGive another one.") from error
    if (output / RECIPE).exists() and load_recipe(output / RECIPE) != recipe:
        raise ConfigError(
            f"The folder holds a run by another recipe.\n  recipe: '{output / RECIPE}'\n"
            "Give another output folder, or the same recipe to go on."
        )


def _trainer(recipe: Recipe, output: Path) -> Trainer:
    every = min(CHECKPOINT_EVERY, recipe.steps)
    return Trainer(
        max_steps=recipe.steps,
        precision=recipe.precision,
        gradient_clip_val=recipe.clip,
        val_check_interval=min(recipe.validate_every, recipe.steps),
        logger=[TensorBoardLogger(output, name="", version="tensorboard"), CSVLogger(output, name="", version="csv")],
        callbacks=[
            EMAWeightAveraging(decay=recipe.average),
            LearningRateMonitor("step"),
            ModelCheckpoint(output, filename="last", every_n_train_steps=every, enable_version_counter=False),
        ],
        num_sanity_val_steps=0,
        log_every_n_steps=20,
    )
