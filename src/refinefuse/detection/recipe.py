"""A recipe for a detector: its schedule and its labelled pictures, the same for every method that fuses them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from refinefuse.detection.labels import Form
from refinefuse.errors import require
from refinefuse.settings import read_settings, write_settings


@dataclass(frozen=True)
class LabelledSet:
    """Two folders of aligned pictures, and their labels.

    Args:
        a: folder of the first source (infrared), relative to the folder of the data sets.
        b: folder of the second source (visible).
        form: yolo, voc, coco or mask.
        path: the folder of the labels, or the JSON file.
        of: the data set of the catalogue whose map of classes holds.
        classes: a map of your own: what a label calls an object -> its class; an empty text leaves it out, a star at
            the end says that such objects were not told apart.
        pattern: which names, as in a shell.
    """

    a: str
    b: str
    form: Form
    path: str
    of: str | None = None
    classes: dict[str, str] = field(default_factory=dict)
    pattern: str = "*"


@dataclass(frozen=True)
class DetectorRecipe:
    """A detector's fine-tuning.

    Args:
        start: the detector to start from: a folder, or a repository owner/name of the Hugging Face Hub.
        sets: labelled pictures.
        classes: which classes; those of the new detector.
        method: what fuses the pictures: a source as in a plan of `refinefuse benchmark`, or infrared or visible.
        steps: optimiser steps.
        pairs_per_step: pictures of a step.
        learning_rate: peak of the cosine schedule (AdamW), after a warm-up over 2 percent of the steps, 200 at least.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        precision: as Lightning names it.
        seed: of everything random.
    """

    start: str
    sets: list[LabelledSet]
    classes: list[str]
    method: str = ""
    steps: int = 5000
    pairs_per_step: int = 8
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    clip: float = 0.1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.sets), "sets", "at least one labelled set", "none")
        require(bool(self.classes), "classes", "at least one class", "none")
        require(len(set(self.classes)) == len(self.classes), "classes", "different names", self.classes)
        require(bool(re.fullmatch(r"[^*]*", self.method)), "method", "one method", self.method)
        for name in ("steps", "pairs_per_step"):
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        for name in ("learning_rate", "clip"):
            require(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        require(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)
        require(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)


def load_detector_recipe(path: Path) -> DetectorRecipe:
    """Read a recipe.

    Raises:
        ConfigError: the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of range.
    """
    return read_settings(DetectorRecipe, path, "recipe")


def save_detector_recipe(recipe: DetectorRecipe, path: Path) -> None:
    """Write a recipe with every field."""
    write_settings(recipe, path)
