"""A recipe for a detector: its schedule and its labeled images, the same for every method that fuses them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from refinefuse.detection.labels import LabelFormat
from refinefuse.errors import field_checks
from refinefuse.settings import read_settings, write_settings


@dataclass(frozen=True)
class LabeledDataset:
    """Two folders of aligned images, and their labels.

    Args:
        a: folder of the first source (infrared), relative to the folder of the datasets.
        b: folder of the second source (visible).
        format: yolo, voc, coco or mask.
        path: the folder of the labels, or the JSON file.
        classes_from: the dataset of the catalog whose map of classes holds.
        classes: a map of your own: what a label calls an object -> its class; an empty text leaves it out, a star at
            the end says that such objects were not separated.
        pattern: which names, as in a shell.
    """

    a: str
    b: str
    format: LabelFormat
    path: str
    classes_from: str | None = None
    classes: dict[str, str] = field(default_factory=dict)
    pattern: str = "*"


@dataclass(frozen=True)
class DetectorRecipe:
    """A detector's fine-tuning.

    Args:
        pretrained: the detector to start from: a folder, or `hf://owner/name` on the Hugging Face Hub.
        datasets: labeled images.
        classes: which classes; those of the new detector.
        method: the fusion method: a source as in a config of `refinefuse benchmark`, or infrared or visible.
        max_steps: optimizer steps.
        batch_size: images of a step.
        learning_rate: peak of the cosine schedule (AdamW), after a warm-up over 2 percent of the steps, 200 at least.
        weight_decay: of AdamW.
        gradient_clip_val: largest norm of the gradient.
        precision: as Lightning names it.
        seed: of everything random.
    """

    pretrained: str
    datasets: list[LabeledDataset]
    classes: list[str]
    method: str = ""
    max_steps: int = 5000
    batch_size: int = 8
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    gradient_clip_val: float = 0.1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        with field_checks() as check:
            check(bool(self.datasets), "datasets", "at least one labeled dataset", "none")
            check(bool(self.classes), "classes", "at least one class", "none")
            check(len(set(self.classes)) == len(self.classes), "classes", "different names", self.classes)
            check(bool(re.fullmatch(r"[^*]*", self.method)), "method", "one method", self.method)
            for name in ("max_steps", "batch_size"):
                check(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
            for name in ("learning_rate", "gradient_clip_val"):
                check(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
            check(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)
            check(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)


def load_detector_recipe(path: Path) -> DetectorRecipe:
    """Read a recipe.

    Raises:
        ConfigError: the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of range.
    """
    return read_settings(DetectorRecipe, path, "recipe")


def save_detector_recipe(recipe: DetectorRecipe, path: Path) -> None:
    """Write a recipe with every field."""
    write_settings(recipe, path)
