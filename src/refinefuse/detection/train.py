"""Fine-tune a detector of the transformers library on fused images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import Tensor

from refinefuse.detection.datasets import (
    DetectionDataModule,
    DetectionDataset,
    DetectorInput,
    Target,
    fuse_samples,
    read_samples,
)
from refinefuse.detection.detectors import locate_detector
from refinefuse.detection.recipe import DetectorRecipe, save_detector_recipe
from refinefuse.detection.transformer import load
from refinefuse.errors import ConfigError
from refinefuse.settings import claim_folder
from refinefuse.training.checkpoints import LAST, AtomicCheckpointIO, LastCheckpoint, read_checkpoint
from refinefuse.training.logs import ProgressBar, StopOnNonFinite, loggers
from refinefuse.training.task import warmed_cosine
from refinefuse.training.train import CHECKPOINT_SECONDS, RECIPE, fit

CHECKPOINT_EVERY = 200  # steps
DETECTOR, FUSED = "detector", "fused"


class DetectorTask(LightningModule):
    """Lightning module that trains a detector with its own loss."""

    def __init__(self, model: Any, recipe: DetectorRecipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe

    def training_step(self, batch: tuple[Tensor, list[Target]], batch_index: int) -> Tensor:
        """Return the detector's own loss for a batch."""
        images, targets = batch
        # The randomness of a step depends only on the seed and the step, so a resumed run is identical.
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step)
        loss: Tensor = self.model(pixel_values=images, labels=targets).loss
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is not finite, {loss.item()}")
        self.log("loss", loss, batch_size=len(images), prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a short warm-up and cosine decay to zero."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(self.model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        return warmed_cosine(optimizer, recipe.max_steps)


def train_detector(
    recipe: DetectorRecipe,
    data: Path,
    output: Path,
    seen: DetectorInput,
    *,
    num_workers: int = 0,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> Path:
    """Fine-tune a detector, or resume an interrupted run.

    Args:
        recipe: training recipe with its `method`.
        data: data root that contains the recipe's datasets.
        output: folder of the run: recipe, fused images, last checkpoint, logs, and finally the detector.
        seen: fuses a pair by the recipe's method into the detector's input.
        num_workers: number of processes that load images.
        accelerator: Lightning's accelerator; auto uses a GPU if there is one.

    Returns:
        The folder of the detector, for `refinefuse detect` and for configs of `refinefuse benchmark`.

    Raises:
        ConfigError: the output folder contains a run of another recipe.
        RefineFuseError: the pretrained detector, an image or a label cannot be used.
        TrainingError: the loss is not finite, or a checkpoint cannot be written. The previous one is kept.
    """
    detector = output / DETECTOR
    claim_folder(output, RECIPE, recipe)
    if (detector / "model.safetensors").is_file():
        return detector
    names = dict(enumerate(recipe.classes))
    seed_everything(recipe.seed, verbose=False)  # the new class layers are initialized randomly
    model, processor = load(
        locate_detector(recipe.pretrained), id2label=names, label2id={v: k for k, v in names.items()},
        ignore_mismatched_sizes=True,
    )  # fmt: skip
    _check_size(processor, recipe)
    samples = read_samples(recipe, data, output / FUSED)
    save_detector_recipe(recipe, output / RECIPE)
    fuse_samples(samples, seen)
    task = DetectorTask(model.train(), recipe)
    last = output / LAST
    step = int(read_checkpoint(last)["global_step"]) if last.exists() else 0
    trainer = _trainer(recipe, output, step, accelerator)
    fit(trainer, task, DetectionDataModule(DetectionDataset(samples, recipe, processor), step, num_workers), output)
    processor.save_pretrained(detector)
    model.save_pretrained(detector)
    return detector


def _check_size(processor: Any, recipe: DetectorRecipe) -> None:
    """Reject a processor without a fixed image size, because its images cannot be batched."""
    shown = [np.zeros(shape, np.uint8) for shape in ((48, 96, 3), (96, 48, 3))]
    how = {"return_tensors": "pt", "input_data_format": "channels_last"}
    made = [processor(images=[image], **how)["pixel_values"] for image in shown]
    sizes = [" x ".join(map(str, x.shape[2:])) for x in made]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"The preprocessor of '{recipe.pretrained}' must resize all images to the same size.\n"
            f"  a wide image: {sizes[0]}\n  a tall image: {sizes[1]}\n"
            "Set `size` to height and width in its preprocessor_config.json, and `do_pad` to false."
        )


def _trainer(recipe: DetectorRecipe, output: Path, first_step: int, accelerator: str) -> Trainer:
    return Trainer(
        accelerator=accelerator,
        devices=1,
        use_distributed_sampler=False,
        max_steps=recipe.max_steps,
        precision=recipe.precision,
        gradient_clip_val=recipe.gradient_clip_val,
        logger=loggers(output, first_step),
        plugins=[AtomicCheckpointIO()],
        callbacks=[
            StopOnNonFinite(),
            LastCheckpoint(output, min(CHECKPOINT_EVERY, recipe.max_steps), CHECKPOINT_SECONDS),
            ProgressBar(),
        ],
        enable_model_summary=False,
        log_every_n_steps=min(20, recipe.max_steps),
    )
