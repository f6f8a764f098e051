"""A recipe: everything that a training run depends on, in one YAML file that is saved beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from refinefuse.data.crops import Augmentation
from refinefuse.errors import ConfigError
from refinefuse.losses import LossWeights
from refinefuse.network.config import NetworkConfig


@dataclass(frozen=True)
class TrainingSet:
    """Two folders of aligned pictures below the data root.

    Args:
        a: folder of the first source (infrared), relative to the data root.
        b: folder of the second source (visible).
        share: how often its pairs are drawn, relative to the other sets.
    """

    a: str
    b: str
    share: float


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Args:
        name: the name of the weights.
        sets: what is trained on. Every tenth pair of each set, in order of names, is kept for validation.
        network: the network.
        losses: how much each loss term counts.
        start: weights to start from, as `refinefuse fuse --weights` takes them; None starts from random ones.
        augmentation: how crops are varied.
        steps: optimiser steps.
        pairs_per_step: pairs drawn for a step.
        crops_per_pair: crops cut from each.
        crop: side of a crop, in pixels, a multiple of the network's stride.
        learning_rate: peak of the cosine schedule (AdamW), after a warm-up over the first 2 percent of the steps.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        average: decay of the exponential moving average of the weights, which is what is shipped.
        precision: Lightning's name: `bf16-mixed` or `32-true`.
        validate_every: steps between validations.
        seed: of everything random.
    """

    name: str
    sets: list[TrainingSet]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    start: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    steps: int = 10000
    pairs_per_step: int = 4
    crops_per_pair: int = 2
    crop: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.999
    precision: str = "bf16-mixed"
    validate_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.crop % self.network.stride:
            raise ConfigError(
                "`crop` must be a multiple of the network's stride.\n"
                f"  stride: {self.network.stride}\n  crop: {self.crop}"
            )
        if not self.sets:
            raise ConfigError("`sets` must name at least one training set.")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Recipe)
    return parser


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: if the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of
            range.
    """
    if not path.is_file():
        raise ConfigError(f"There is no recipe '{path}'.")
    parser = _parser()
    try:
        return Recipe(**vars(parser.instantiate(parser.parse_path(str(path)))))
    except ConfigError:
        raise
    except (ArgumentError, TypeError, ValueError) as error:
        raise ConfigError(f"The recipe '{path}' cannot be used.\n  {error}") from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with every field, defaults too: `load_recipe` gives the same run in every later version."""
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(recipe))), sort_keys=False), encoding="utf-8")
