"""Training recipe of a detector: schedule and labeled images, the same for every fusion method."""

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
    """Two folders of aligned images and their labels.

    Args:
        a: folder of the first source (infrared), relative to the data root.
        b: folder of the second source (visible).
        format: yolo, voc, coco or mask.
        path: folder of the labels, or the COCO JSON file.
        classes_from: catalog dataset whose class mapping is used.
        classes: class mapping: class in the label file -> target class; an empty string drops the class, a trailing
            star makes its boxes ignore regions.
        pattern: glob pattern of the file names.
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
    """Recipe for fine-tuning a detector.

    Args:
        pretrained: pretrained detector: a folder, or `hf://owner/name` on the Hugging Face Hub.
        datasets: labeled images.
        classes: classes of the new detector.
        method: fusion method: a source as in a config of `refinefuse benchmark`, or infrared or visible.
        max_steps: number of optimizer steps.
        batch_size: images per step.
        learning_rate: peak of the cosine schedule (AdamW), after a warm-up over 2 percent of the steps, at least 200.
        weight_decay: weight decay of AdamW.
        gradient_clip_val: maximum gradient norm.
        precision: Lightning's name of the precision.
        seed: random seed.
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
        ConfigError: the file is missing or not YAML, or has an unknown key, a value of the wrong type or out of range.
    """
    return read_settings(DetectorRecipe, path, "recipe")


def save_detector_recipe(recipe: DetectorRecipe, path: Path) -> None:
    """Write a recipe with all fields."""
    write_settings(recipe, path)
