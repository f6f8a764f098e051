"""`refinefuse train`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def run(
    recipe: Path,
    *,
    output: Path,
    data_root: Path | None = None,
    num_workers: int = 1,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    cache: Path | None = None,
) -> int:
    """Train weights by a recipe, or go on with a run that was stopped.

    Needs the extra `train`. The same call with the same output folder goes on from the last checkpoint.

    Args:
        recipe: a YAML file such as recipes/infrared-visible.yaml.
        output: the folder of the run: recipe, checkpoint, logs (TensorBoard and CSV), and at the end the weights.
        data_root: the folder below which the recipe's sets lie; by default the environment variable REFINEFUSE_DATA.
        num_workers: processes that cut crops beside each training process.
        accelerator: what computes; auto takes a GPU if there is one.
        devices: training processes on this machine, each with a device of its own; they share the pairs of a step.
        num_nodes: machines.
        cache: a folder for decoded images, which are then mapped into memory and shared by processes and runs; by
            default they are kept in memory.
    """
    from refinefuse.data.layout import training_root
    from refinefuse.errors import training_extra
    from refinefuse.inference.device import retain_freed_memory

    root = training_root(data_root)
    retain_freed_memory()
    with training_extra():
        from lightning.pytorch.utilities import rank_zero_only

        from refinefuse.training.recipe import load_recipe
        from refinefuse.training.train import train
    weights = train(
        load_recipe(recipe),
        root,
        output,
        num_workers=num_workers,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        cache=cache,
    )
    rank_zero_only(print)(f"The weights are in '{weights}'. Try them: refinefuse fuse A B -o OUT --weights '{weights}'")
    return 0
