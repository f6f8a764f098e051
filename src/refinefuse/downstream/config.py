"""Config of a downstream study: methods, labeled pairs and the training schedules."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from refinefuse.benchmark.config import MethodEntry
from refinefuse.errors import check_field, field_checks
from refinefuse.settings import read_settings

STRIDE = 32
"""Stride of the deepest features of both networks; image sides must be multiples of it."""


@dataclass(frozen=True)
class LabeledPairs:
    """Two folders of aligned images and a folder of class masks.

    Args:
        a: folder of the first source (infrared), relative to the data root.
        b: folder of the second source (visible).
        masks: folder of the masks, with the same file names.
        pattern: glob pattern of the file names.
        without: file of names to exclude, one per line, such as pairs held out for choosing a schedule.
        stride: keep every n-th of the remaining pairs, starting with the first.
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
    """Training schedule: AdamW, warm-up over a tenth of the steps, cosine decay to zero, random flips.

    Args:
        steps: number of optimizer steps.
        batch_size: images per step.
        learning_rate: peak learning rate.
        weight_decay: weight decay of AdamW.
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
    """A downstream study: the same networks are trained and tested on the images of every method.

    Args:
        title: heading of the report.
        methods: methods to compare, in addition to both sources; the first one is the reference of the tests.
        test: labeled test pairs.
        classes: class names of the mask values, starting with 0, the background. 255 marks pixels to ignore.
        train: labeled training pairs; without them, `test` is split into `folds`.
        folds: number of folds for cross-validation on the test pairs.
        segmentation: schedule of the segmentation network; None skips the task.
        detection: schedule of the detector; None skips the task.
        detection_classes: classes of the detector.
        detector: pretrained YOLOX in an ONNX file; may contain `{data_root}` and `{config_dir}`, as `spec` does.
        segmenter: pretrained segmentation network in an ONNX file with its settings beside it; by default, a U-Net is
            trained from scratch. It is trained in float32 regardless of `precision`.
        size: height and width to which all images are downsampled.
        subsets: glob patterns that divide the test pairs by name: {day: "*D", night: "*N"}.
        num_seeds: number of training runs per network; they differ in image order and random initialization.
        precision: bf16-mixed is faster on CPUs with bfloat16 arithmetic.
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
        ConfigError: the file is missing or not YAML, or has an unknown key, a value of the wrong type or out of range.
    """
    return read_settings(DownstreamConfig, path, "downstream config")
