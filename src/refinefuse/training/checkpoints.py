"""The last checkpoint of a run: always complete, and never with NaN or infinite weights."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
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
    """Load the checkpoint of a run.

    Raises:
        TrainingError: if the file is damaged or not a checkpoint.
    """
    try:
        checkpoint = torch.load(path, weights_only=True)
        if "global_step" in checkpoint:
            return dict(checkpoint)
        reason: object = "it holds something else"
    except Exception as error:  # torch and the unpickler may raise anything on damaged files
        reason = str(error).partition("\n")[0]
    raise TrainingError(
        f"Cannot read the checkpoint '{path}': {reason}.\nUse a new output folder, or restore a copy of the checkpoint."
    )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file and replaces the previous one once it is on disk.

    Lightning's own IO can leave a truncated file when the disk fills up.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the checkpoint atomically; NaN and infinite weights are refused.

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
    """Saves `last.ckpt` every few steps or seconds, at the end, and when the run is terminated (SIGTERM).

    A run that is killed or interrupted within a step resumes from the previous checkpoint.

    Args:
        folder: output folder of the run.
        interval: steps between checkpoints.
        seconds: maximum time between checkpoints.
    """

    def __init__(self, folder: Path, interval: int, seconds: float) -> None:
        super().__init__(
            folder,
            filename=Path(LAST).stem,
            every_n_train_steps=interval,
            enable_version_counter=False,
            save_on_exception=True,
        )
        self.seconds = seconds
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if enough steps or seconds have passed."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        late = time.monotonic() - self._saved_at >= self.seconds
        if trainer.strategy.broadcast(late) and not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._saved_at = time.monotonic()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save only between steps, so that a resumed run is identical; during validation the weights differ."""
        if isinstance(exception, SIGTERMException) and not trainer.validating:
            super().on_exception(trainer, pl_module, exception)
