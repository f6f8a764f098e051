"""The public function `train`. Lightning is imported only when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from refinefuse.data.layout import training_root
from refinefuse.errors import InputError, optional
from refinefuse.paths import as_path
from refinefuse.training.recipe import Recipe, load_recipe

Accelerator: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]


def train(
    recipe: str | os.PathLike[str] | Recipe,
    output: str | os.PathLike[str],
    *,
    data_root: str | os.PathLike[str] | None = None,
    num_workers: int = 1,
    accelerator: Accelerator = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Path:
    """Train a network from a recipe, or resume a run that was stopped, and save its averaged weights.

    The output folder holds the recipe, the last checkpoint (at most a minute old), logs for TensorBoard and as CSV, and
    at the end `NAME.safetensors`. The same call resumes a run. With several devices or nodes, Lightning starts this
    program once per process, or uses the processes that torchrun or Slurm started. Needs the extra `train`.

    Args:
        recipe: the name of a shipped recipe, a YAML file, or a `Recipe`.
        output: the folder of the run.
        data_root: the folder of the recipe's datasets; by default the environment variable REFINEFUSE_DATA.
        num_workers: data-loading processes per training process.
        accelerator: device to train on; auto uses a GPU if there is one.
        devices: training processes on this machine, each with its own device and its part of the pairs.
        num_nodes: number of machines.
        cache: folder for decoded images, memory-mapped; None keeps them in the memory of each process.
        progress: show a progress bar.

    Returns:
        The path of the weights.

    Raises:
        ConfigError: if the recipe cannot be used, or the output folder holds a run of another recipe.
        InputError: if an option or a training image cannot be used.
        PairingError: if a dataset is missing or incomplete.
        TrainingError: if the loss is NaN or infinite, or a checkpoint cannot be read or written.
        MissingDependencyError: if the extra `train` is not installed.
    """
    _check_options(accelerator, devices, num_nodes, num_workers)
    root = training_root(None if data_root is None else as_path(data_root))
    folder, kept = as_path(output), None if cache is None else as_path(cache)
    settings = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    with optional("train", "Training"):
        from refinefuse.training.train import fit_recipe
    return fit_recipe(
        settings,
        root,
        folder,
        num_workers=num_workers,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        cache=kept,
        progress=progress,
    )


def _check_options(accelerator: str, devices: int, num_nodes: int, num_workers: int) -> None:
    if accelerator not in get_args(Accelerator):
        raise InputError(f"`accelerator` must be {', '.join(get_args(Accelerator))}.\n  got: {accelerator!r}")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(accelerator, True):
        raise InputError(f"This machine, or this build of torch, has no {accelerator} device.\nUse cpu or auto.")
    for name, value, least in (("devices", devices, 1), ("num_nodes", num_nodes, 1), ("num_workers", num_workers, 0)):
        if value < least:
            raise InputError(f"`{name}` must be {least} or more.\n  got: {value}")
