"""`refinefuse train`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def run(
    recipe: str,
    *,
    output: Path,
    data_root: Path | None = None,
    num_workers: int = 1,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    cache: Path | None = None,
) -> int:
    """Train weights by a recipe, or resume a run that was stopped.

    Needs the extra `train`. The same call with the same output folder resumes from the last checkpoint.

    Args:
        recipe: the name of a shipped recipe (infrared-visible, infrared-visible-small, medical, ...), or a YAML file.
        output: the folder of the run: recipe, checkpoint, logs (TensorBoard and CSV), and at the end the weights.
        data_root: the folder of the recipe's datasets; by default the environment variable REFINEFUSE_DATA.
        num_workers: processes per training process that cut crops.
        accelerator: what computes; auto uses a GPU if there is one.
        devices: training processes on this machine, each with its own device; each takes a part of the pairs.
        num_nodes: machines.
        cache: a folder for decoded images, which are then mapped into memory and shared by processes and runs; by
            default they are kept in memory.
    """
    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.training.entry import train

    retain_freed_memory()
    weights = train(
        recipe,
        output,
        data_root=data_root,
        num_workers=num_workers,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        cache=cache,
        progress=True,
    )
    _report(weights)
    return 0


def _report(weights: Path) -> None:
    """Say where the weights are, once however many processes trained them."""
    from lightning.pytorch.utilities import rank_zero_only

    message = f"The weights are in '{weights}'. Try them: refinefuse fuse A B -o OUT --weights '{weights}'"
    rank_zero_only(print)(message)
