"""The Lightning module: network, losses and optimizer."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from pytorch_optimizer import SOAP
from torch import Tensor

from refinefuse.data.crops import UNLABELED, CropBatch
from refinefuse.errors import ConfigError
from refinefuse.losses import fusion_loss, object_recall_loss
from refinefuse.metrics import evaluate
from refinefuse.metrics.table import COMMON, DIAGNOSTICS
from refinefuse.network.model import RefineFuse
from refinefuse.training.detector import FrozenDetector, detection_loss
from refinefuse.training.recipe import Recipe
from refinefuse.training.segmenter import Segmenter, segmentation_loss

VALIDATION_METRICS = (*COMMON, *DIAGNOSTICS)


class FusionTask(LightningModule):
    """Trains a `RefineFuse` network according to a recipe.

    Args:
        recipe: the training recipe.
        data: root folder for the path of the recipe's detector, if it has one.
    """

    def __init__(self, recipe: Recipe, data: Path = Path()) -> None:
        super().__init__()
        self.recipe = recipe
        self.detector = FrozenDetector(data / recipe.detector) if recipe.detector else None
        self.segmenter = Segmenter(recipe.classes) if recipe.loss_weights.segmentation else None
        self.network = _first_network(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def training_step(self, batch: CropBatch, batch_index: int) -> Tensor:
        """The loss of one batch of crops."""
        context = self.network.encode_context_from_stats(batch.stats_a, batch.stats_b)
        context = type(context)(*(tokens.repeat_interleave(self.recipe.crops_per_pair, 0) for tokens in context))
        fused = self.network.predict_padded(batch.a, batch.b, context, batch.contrast).fused
        a, b = batch.reference_a, batch.reference_b
        with torch.autocast(self.device.type, enabled=False):
            loss, terms = fusion_loss(fused.float(), a, b, self.recipe.loss_weights, self.recipe.crops_per_pair)
            for name, term in self._task_terms(fused.float(), batch).items():
                terms[name] = term.detach()
                loss = loss + getattr(self.recipe.loss_weights, name) * term
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is not finite, { {k: v.item() for k, v in terms.items()} }")
        self.log("loss", loss, prog_bar=True)
        self.log_dict({f"loss/{name}": term.detach() for name, term in terms.items()})
        return loss

    def _task_terms(self, fused: Tensor, batch: CropBatch) -> dict[str, Tensor]:
        """The terms that need labels or another network."""
        a, b = batch.reference_a, batch.reference_b
        terms = {}
        if self.detector is not None:
            terms["detection"] = detection_loss(fused, a, b, self.detector)
        if self.recipe.loss_weights.object_recall:
            objects = (batch.labels > 0) & (batch.labels != UNLABELED)
            terms["object_recall"] = object_recall_loss(fused * 255, a * 255, b * 255, objects)
        if self.segmenter is not None:
            terms["segmentation"] = segmentation_loss(self.segmenter(fused), batch.labels)
        return terms

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Log the common and diagnostic metrics of one full-size validation pair, and its fused image."""
        a, b = batch
        with torch.autocast(self.device.type, enabled=False):
            fused: Tensor = self.network(a, b)
        scores = evaluate(fused * 255, a * 255, b * 255, metrics=VALIDATION_METRICS)
        means = {f"validation/{name}": value.mean().float() for name, value in scores.items()}
        self.log_dict(means, batch_size=1, sync_dist=True)
        return fused

    def configure_optimizers(self) -> Any:
        """SOAP with a short warm-up and cosine decay to zero.

        Source: Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", ICLR 2025.
        """
        recipe = self.recipe
        optimizer = SOAP(self.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        return warmed_cosine(optimizer, recipe.max_steps)


WARM_UP = 200
"""Minimum number of warm-up steps: at the full learning rate, a run may diverge in its first steps."""


def warmed_cosine(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """Linear warm-up and cosine decay of the learning rate.

    The warm-up takes 2 percent of the steps, but at least 200, or a tenth of a run shorter than 2000 steps.
    """
    warm_up = max(1, min(WARM_UP, steps // 10), steps // 50)

    def factor(step: int) -> float:
        return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1, step / steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _first_network(recipe: Recipe) -> RefineFuse:
    if recipe.pretrained is None:
        return RefineFuse.from_config(recipe.network)
    model = RefineFuse.from_pretrained(recipe.pretrained)
    wanted = recipe.network  # no tensor depends on contrast or symmetry
    if replace(model.config, contrast=wanted.contrast, symmetric=wanted.symmetric) != wanted:
        raise ConfigError(
            f"The pretrained weights '{recipe.pretrained}' do not fit the network of the recipe.\n"
            f"  recipe: {recipe.network.to_json()}\n  weights: {model.config.to_json()}"
        )
    model.config = wanted
    return model.train()
