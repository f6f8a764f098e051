"""Logging: losses and metrics as CSV and for TensorBoard, images, and the check for non-finite gradients."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

TENSORBOARD, CSV = "tensorboard", "csv"
SHOWN = 4
"""Number of validation pairs shown in TensorBoard."""


def loggers(output: Path, first_step: int) -> list[CSVLogger | TensorBoardLogger]:
    """Create the loggers of a run that starts or resumes at `first_step`; earlier entries are kept."""
    board = TensorBoardLogger(output, name="", version=TENSORBOARD, purge_step=first_step or None)
    log = CSVLogger(output, name="", version=CSV)
    table = output / CSV / "metrics.csv"
    before = table.with_suffix(".before")  # Lightning overwrites the table: keep the old rows
    if getattr(rank_zero_only, "rank", 0) == 0 and first_step and (before.is_file() or table.is_file()):
        if not before.is_file():
            table.rename(before)
        with before.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < first_step]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory .* exists and is not empty")
            log.experiment.metrics.extend({key: value for key, value in row.items() if value != ""} for row in rows)
        log.save()
        before.unlink()
    return [board, log]


class ProgressBar(TQDMProgressBar):
    """Progress bar that counts steps, as a run has no epochs, and shows the latest loss."""

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start at the first step, or where the run resumes."""
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description("training")

    def get_metrics(self, *args: Any) -> dict[str, Any]:
        """All metrics except the log version, which is the same in every run."""
        return {name: value for name, value in super().get_metrics(*args).items() if name != "v_num"}


class ImageLogger(Callback):
    """Sends the first validation pairs to TensorBoard: `a`, `b` and the fused image, side by side."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names[:SHOWN]

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log an image; with n processes, the first one logs every n-th pair."""
        index = batch_idx * trainer.world_size
        if not (trainer.is_global_zero and index < len(self.names) and isinstance(outputs, Tensor)):
            return
        row = torch.cat([x[0].float().cpu() for x in (*batch, outputs)], 2).clamp(0, 1)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"a, b, fused: {self.names[index]}", row, trainer.global_step)


class StopOnNonFinite(Callback):
    """Stops training before a non-finite gradient can corrupt the weights.

    In float16 such gradients are expected: the gradient scaler skips the step.
    """

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Check the gradient before it is clipped."""
        if trainer.precision == "16-mixed":
            return
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if gradients and not torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()):
            raise FloatingPointError("the gradient is not finite")
