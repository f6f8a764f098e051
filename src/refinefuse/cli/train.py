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
    """Train weights from a recipe, or resume a run that was stopped.

    The same command with the same output folder resumes from the last checkpoint. Needs the extra `train`.

    Args:
        recipe: Name of a shipped recipe (infrared-visible, infrared-visible-small, medical, ...), or a YAML file.
        output: Folder of the run: recipe, checkpoint, logs (TensorBoard and CSV), and at the end the weights.
        data_root: Folder of the recipe's datasets; by default the environment variable REFINEFUSE_DATA.
        num_workers: Data-loading processes per training process.
        accelerator: Device to train on; auto uses a GPU if there is one.
        devices: Training processes on this machine, each with its own device and its part of the pairs.
        num_nodes: Number of machines.
        cache: Folder for decoded images, which are memory-mapped and shared by processes and runs; by default they are
            kept in memory.
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
    """Print where the weights are, once even if several processes trained them."""
    from lightning.pytorch.utilities import rank_zero_only

    message = f"The weights are in '{weights}'. Try them: refinefuse fuse A B -o OUT --weights '{weights}'"
    rank_zero_only(print)(message)
