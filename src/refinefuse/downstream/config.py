"""The config of a downstream study: methods, labeled pairs, and the schedule by which every network is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from refinefuse.benchmark.config import MethodEntry
from refinefuse.errors import check_field, field_checks
from refinefuse.settings import read_settings

STRIDE = 32
"""Of the deepest features of both networks: the sides of the images are multiples of it."""


@dataclass(frozen=True)
class LabeledPairs:
    """Two folders of aligned images, and a folder of masks of class numbers.

    Args:
        a: folder of the first source (infrared), relative to the folder of the datasets.
        b: folder of the second source (visible).
        masks: folder of the masks, of the same names.
        pattern: which names, as in a shell.
        without: a file of names, one per line, that are left out: what is held out to choose a schedule.
        stride: keep every n-th of the remaining pairs, from the first one on.
    """

    a: str
    b: str
    masks: str
    pattern: str = "*"
    without: str | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        check_field(self.stride >= 1, "stride", "1 or more", self.stride)


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: AdamW, a warm-up over a tenth of the steps and a cosine to zero, flips at random.

    Args:
        steps: optimizer steps.
        batch_size: images of a step.
        learning_rate: the peak.
        weight_decay: of AdamW.
    """

    steps: int
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            check_field(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        check_field(self.learning_rate > 0, "learning_rate", "more than 0", self.learning_rate)
        check_field(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)


@dataclass(frozen=True)
class DownstreamConfig:
    """A downstream study: for every method the same networks, trained and tested on its images.

    Args:
        title: the heading of the report.
        methods: what is compared, beside both sources; the others are tested against the first one.
        test: the labeled pairs that are tested on.
        classes: what the numbers in the masks mean, from 0, the background. 255 marks pixels that do not count.
        train: the labeled pairs that are trained on; without them `folds` says how `test` is divided.
        folds: cross-validation: each part of the test pairs is tested by networks that were trained on the others.
        segmentation: the schedule of the segmentation network; without it there is none.
        detection: the schedule of the detector; without it there is none.
        detection_classes: the classes that the detector learns to find.
        detector: a YOLOX in an ONNX file, to start the detector from; `{data_root}` and `{config_dir}` as in `spec`.
        segmenter: a segmentation network in an ONNX file, its settings beside it, to start from; by default a U-Net
            starts from random weights. Trained in float32 whatever `precision` says.
        size: height and width to which all images are reduced.
        subsets: parts of the test pairs by their names, as in a shell: {day: "*D", night: "*N"}.
        num_seeds: how many trainings of each network; they differ in the order of the images and in random weights.
        precision: bf16-mixed is faster on processors that compute in bfloat16.
    """

    title: str
    methods: list[MethodEntry]
    test: LabeledPairs
    classes: list[str]
    train: LabeledPairs | None = None
    folds: int = 0
    segmentation: Schedule | None = None
    detection: Schedule | None = None
    detection_classes: list[str] = field(default_factory=list)
    detector: str = ""
    segmenter: str = ""
    size: list[int] = field(default_factory=lambda: [288, 384])
    subsets: dict[str, str] = field(default_factory=dict)
    num_seeds: int = 3
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def __post_init__(self) -> None:
        with field_checks() as check:
            check(bool(self.methods), "methods", "at least one method", "none")
            distinct = len(set(self.classes)) == len(self.classes) and 2 <= len(self.classes) <= 255
            check(distinct, "classes", "2 to 255 different names, the background first", self.classes)
            check(
                (self.train is None) == (self.folds >= 2), "folds", "2 or more without `train`, 0 with it", self.folds
            )
            chosen = self.segmentation is not None or self.detection is not None
            check(chosen, "segmentation", "given, or `detection`", "neither")
            sound = len(self.size) == 2 and all(side >= STRIDE and side % STRIDE == 0 for side in self.size)
            check(sound, "size", f"height and width, multiples of {STRIDE}", self.size)
            check("all" not in self.subsets, "subsets", "names other than all", ", ".join(self.subsets))
            check(self.num_seeds >= 1, "num_seeds", "1 or more", self.num_seeds)
            if self.detection is not None:
                known = bool(self.detection_classes) and set(self.detection_classes) <= set(self.classes[1:])
                expected, got = (", ".join(names) for names in (self.classes[1:], self.detection_classes))
                check(known, "detection_classes", f"some of {expected}", got)
                check(self.detector.endswith(".onnx"), "detector", "FILE.onnx", self.detector)
            if self.segmenter:
                check(self.segmenter.endswith(".onnx"), "segmenter", "FILE.onnx", self.segmenter)


def load_downstream_config(path: Path) -> DownstreamConfig:
    """Read the config of a downstream study.

    Raises:
        ConfigError: the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of range.
    """
    return read_settings(DownstreamConfig, path, "downstream config")
