"""A recipe: everything that a training run depends on, in one YAML file that is saved beside the weights."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from refinefuse.data.crops import Augmentation
from refinefuse.errors import require
from refinefuse.losses import LossWeights
from refinefuse.network.config import NetworkConfig
from refinefuse.settings import read_settings, write_settings
from refinefuse.training.detector import STRIDE


@dataclass(frozen=True)
class TrainingSet:
    """A data set of the catalogue, or two folders of aligned pictures.

    Args:
        a: folder of the first source (infrared), relative to the data root.
        b: folder of the second source (visible).
        share: how often its pairs are drawn, relative to the other sets.
        name: a data set of the catalogue, in place of `a` and `b`: its list `train` is trained on, its list `val`
            validates.
        lists: folder of the lists train.txt and val.txt that say which pairs of `a` and `b` train and which validate,
            as `refinefuse data split` writes them, relative to the data root.
    """

    a: str = ""
    b: str = ""
    share: float = 1.0
    name: str = ""
    lists: str = ""

    def __post_init__(self) -> None:
        require(self.share > 0, "share", "more than 0", self.share)
        folders = bool(self.a) and bool(self.b) and not self.name
        named = bool(self.name) and not (self.a or self.b or self.lists)
        require(folders or named, "sets", "two folders, `a` and `b`, or the `name` of a data set, each", asdict(self))

    @property
    def title(self) -> str:
        """What to call it in a message."""
        return f"'{self.name}'" if self.name else f"'{self.a}' with '{self.b}'"


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Args:
        name: the name of the weights.
        sets: what is trained on. Of a set without lists every tenth pair, in order of names, is kept for validation.
        network: the network.
        losses: how much each loss term counts.
        detected: how much the loss of `refinefuse.training.detector` counts, beside `losses`; 0 leaves it out.
        detector: the ONNX file of the detector that it asks, relative to the data root.
        start: weights to start from, as `refinefuse fuse --weights` takes them; None starts from random ones.
        augmentation: how crops are varied.
        steps: optimiser steps.
        pairs_per_step: pairs drawn for a step, over all processes.
        crops_per_pair: crops cut from each.
        crop: side of a crop, in pixels, a multiple of the network's stride.
        learning_rate: peak of the cosine schedule (SOAP), after a warm-up over 2 percent of the steps, 200 at least.
        weight_decay: of SOAP.
        clip: largest norm of the gradient.
        average: decay of the exponential moving average of the weights, which is what is shipped.
        precision: as Lightning names it; on a CPU, bfloat16 is slower for a network as narrow as this one.
        validate_every: steps between validations.
        seed: of everything random.
        bad_pairs: what to do with pairs that cannot be used: stop, or skip them and say which.
    """

    name: str
    sets: list[TrainingSet]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    detected: float = 0.0
    detector: str | None = None
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
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    validate_every: int = 1000
    seed: int = 0
    bad_pairs: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        stride = self.network.stride
        require(bool(re.fullmatch(r"[\w.-]+", self.name)), "name", "letters, digits, '.', '_' and '-'", self.name)
        require(len(self.sets) > 0, "sets", "at least one training set", "none")
        for field_name in ("steps", "pairs_per_step", "crops_per_pair", "validate_every", "crop"):
            value = getattr(self, field_name)
            require(value >= 1, field_name, "1 or more", value)
        require(self.crop % stride == 0, "crop", f"a multiple of the network's stride, {stride}", self.crop)
        require(0 < self.learning_rate < math.inf, "learning_rate", "a number above 0", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)
        require(self.clip > 0, "clip", "more than 0", self.clip)
        require(0 <= self.average < 1, "average", "at least 0 and below 1", self.average)
        require(self.detected >= 0, "detected", "0 or more", self.detected)
        paired = (self.detector is not None) == (self.detected > 0)
        require(paired, "detector", "a file if and only if `detected` is more than 0", self.detector)
        seen = self.detector is None or self.crop >= STRIDE
        require(seen, "crop", f"{STRIDE} or more where a detector judges", self.crop)
        require(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)
        bad = [name for name, weight in asdict(self.losses).items() if not 0 <= weight < math.inf]
        require(not bad, "losses", "finite weights of 0 or more", ", ".join(bad))


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: if the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of
            range.
    """
    return read_settings(Recipe, path, "recipe")


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with every field, defaults too: `load_recipe` gives the same run in every later version."""
    write_settings(recipe, path)
