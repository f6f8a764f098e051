"""A recipe: everything that a training run depends on, in one YAML file that is saved beside the weights."""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from refinefuse.data.crops import UNLABELED, Augmentation
from refinefuse.errors import WeightsError, check_field, field_checks
from refinefuse.losses import LossWeights
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse
from refinefuse.settings import locate_settings, read_settings, write_settings
from refinefuse.training.detector import STRIDE


@dataclass(frozen=True)
class TrainingSet:
    """A dataset of the catalog, or two folders of aligned images.

    Args:
        a: folder of the first source (infrared), relative to the data root.
        b: folder of the second source (visible).
        weight: how often its pairs are drawn, relative to the other sets.
        name: a dataset of the catalog, in place of `a` and `b`: its list `train` is trained on, its list `val`
            validates.
        split_dir: folder of the lists train.txt and val.txt of the pairs of `a` and `b` for training and validation,
            as `refinefuse data split` writes them, relative to the data root.
        labels: a folder of label maps for its training pairs, relative to the data root: a PNG of class numbers by the
            name of the pair, 0 for the background. Pairs without one train without labels.
    """

    a: str = ""
    b: str = ""
    weight: float = 1.0
    name: str = ""
    split_dir: str = ""
    labels: str = ""

    def __post_init__(self) -> None:
        check_field(self.weight > 0, "weight", "more than 0", self.weight)
        folders = bool(self.a) and bool(self.b) and not self.name
        named = bool(self.name) and not (self.a or self.b or self.split_dir)
        check_field(
            folders or named, "datasets", "two folders, `a` and `b`, or the `name` of a dataset, each", asdict(self)
        )

    @property
    def title(self) -> str:
        """The name of the dataset in messages."""
        return f"'{self.name}'" if self.name else f"'{self.a}' with '{self.b}'"


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Args:
        name: the name of the weights.
        datasets: the training data. Without lists, every tenth pair of a dataset, by name, is used for validation.
        network: the network.
        loss_weights: weight of each loss term.
        detector: ONNX file of the detector for the detection loss, relative to the data root.
        classes: number of classes of the label maps, including 0 (background).
        pretrained: weights to start from, as in `load_model`; None means random ones. In a file, keys of `network` that
            are left out are those of these weights.
        augmentation: augmentation of the crops.
        max_steps: optimizer steps.
        batch_size: pairs per step, over all processes.
        crops_per_pair: crops per pair.
        crop_size: side of a crop, in pixels, a multiple of the network's stride.
        learning_rate: peak of the cosine schedule (SOAP), after a warm-up over 2 percent of the steps, but at least
            200, or a tenth of a run shorter than 2000 steps.
        weight_decay: weight decay of SOAP.
        gradient_clip_val: maximum norm of the gradient.
        ema_decay: decay of the exponential moving average of the weights, which is what is saved. It ramps up: in the
            first steps the average follows the weights closely.
        precision: precision as in Lightning; on a CPU, bfloat16 is slower for a network as narrow as this one.
        val_check_interval: steps between validations.
        seed: seed of everything random.
        on_bad_pair: whether to stop at pairs that cannot be used, or to skip and report them.
    """

    name: str
    datasets: list[TrainingSet]
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss_weights: LossWeights = field(default_factory=LossWeights)
    detector: str | None = None
    classes: int = 2
    pretrained: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    max_steps: int = 10000
    batch_size: int = 4
    crops_per_pair: int = 2
    crop_size: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    gradient_clip_val: float = 1.0
    ema_decay: float = 0.999
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    val_check_interval: int = 1000
    seed: int = 0
    on_bad_pair: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        with field_checks() as check:
            stride = self.network.stride
            check(bool(re.fullmatch(r"[\w.-]+", self.name)), "name", "letters, digits, '.', '_' and '-'", self.name)
            check(len(self.datasets) > 0, "datasets", "at least one training set", "none")
            for field_name in ("max_steps", "batch_size", "crops_per_pair", "val_check_interval", "crop_size"):
                value = getattr(self, field_name)
                check(value >= 1, field_name, "1 or more", value)
            multiple = self.crop_size % stride == 0
            check(multiple, "crop_size", f"a multiple of the network's stride, {stride}", self.crop_size)
            check(0 < self.learning_rate < math.inf, "learning_rate", "a number above 0", self.learning_rate)
            check(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)
            check(self.gradient_clip_val > 0, "gradient_clip_val", "more than 0", self.gradient_clip_val)
            check(0 <= self.ema_decay < 1, "ema_decay", "at least 0 and below 1", self.ema_decay)
            paired = (self.detector is not None) == (self.loss_weights.detection > 0)
            check(paired, "detector", "a file if and only if `loss_weights.detection` is more than 0", self.detector)
            check(2 <= self.classes < UNLABELED, "classes", f"from 2 to {UNLABELED - 1}", self.classes)
            seen = self.detector is None or self.crop_size >= STRIDE
            check(seen, "crop_size", f"{STRIDE} or more with a detection loss", self.crop_size)
            check(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)
            bad = [name for name, weight in asdict(self.loss_weights).items() if not 0 <= weight < math.inf]
            check(not bad, "loss_weights", "finite weights of 0 or more", ", ".join(bad))
            labeled = any(part.labels for part in self.datasets)
            needed = self.loss_weights.object_recall > 0 or self.loss_weights.segmentation > 0
            check(labeled == needed, "labels", "of a dataset if and only if a loss needs them", labeled)


def load_recipe(recipe: str | os.PathLike[str]) -> Recipe:
    """Read a recipe. Keys of `network` that it leaves out are those of the weights that it starts from.

    Args:
        recipe: a YAML file, or the name of a shipped recipe.

    Raises:
        ConfigError: if there is no such recipe, it is not YAML, has an unknown key, or a value of the wrong type or
            out of range.
    """
    return read_settings(Recipe, locate_settings(recipe), "recipe", _inherit_network)


def _inherit_network(values: dict[str, Any]) -> None:
    """Fill in `network` from the `pretrained` weights; missing weights are reported when training starts."""
    pretrained, network = values.get("pretrained"), values.get("network", {})
    if isinstance(pretrained, str) and isinstance(network, dict):
        with suppress(WeightsError):
            values["network"] = json.loads(RefineFuse.from_pretrained(pretrained).config.to_json()) | network


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with all fields, including defaults, so that later versions load the same run."""
    write_settings(recipe, path)
