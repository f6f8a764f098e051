"""The last checkpoint of a run: whole or not there, and never one that holds numbers which are none."""

from __future__ import annotations

import io
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from refinefuse.atomic import replace_when_done
from refinefuse.errors import TrainingError

LAST = "last.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint of a run.

    Raises:
        TrainingError: if the file is damaged or no checkpoint.
    """
    try:
        checkpoint = torch.load(path, weights_only=True)
        if "global_step" in checkpoint:
            return dict(checkpoint)
        reason: object = "it holds something else"
    except (RuntimeError, UnpicklingError, EOFError, TypeError) as error:
        reason = str(error).partition("\n")[0]
    raise TrainingError(
        f"The checkpoint '{path}' cannot be read: {reason}.\nTake a new output folder, or a copy of the checkpoint."
    )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the one before, and puts it in its place when it is on the disk.

    Lightning's own goes over the folder for temporary files, from which a disk that fills up can leave half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the checkpoint, whole or not at all; what is not finite is not written.

        Raises:
            FloatingPointError: if a weight is not finite.
            OSError: if the disk is full or cannot be written to.
        """
        if not all(torch.isfinite(x).all() for x in checkpoint["state_dict"].values() if isinstance(x, Tensor)):
            raise FloatingPointError("the weights are not finite")
        content = io.BytesIO()
        torch.save(checkpoint, content)
        target = Path(path)
        with replace_when_done(target) as temporary, temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())


class LastCheckpoint(ModelCheckpoint):
    """RobustnessMetric `last.ckpt`: every so many steps, at the end, and where the run is asked to end (SIGTERM).

    A run that is killed, or stopped by hand in the middle of a step, goes on from the checkpoint before.
    """

    def __init__(self, folder: Path, every: int) -> None:
        super().__init__(
            folder,
            filename=Path(LAST).stem,
            every_n_train_steps=every,
            enable_version_counter=False,
            save_on_exception=True,
        )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save between two steps only, where a run that goes on is the same run; validation has other weights."""
        if isinstance(exception, SIGTERMException) and not trainer.validating:
            super().on_exception(trainer, pl_module, exception)
