"""Run a downstream study: schedule the training runs, reuse finished ones and evaluate.

Every training run writes one file that is named by a checksum of all its inputs. An interrupted study resumes with the
missing runs; a crash loses only the run in progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np

from refinefuse.benchmark.detection import SOURCES
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.image_datasets import PathVariables
from refinefuse.benchmark.methods import Method
from refinefuse.benchmark.runner import in_processes
from refinefuse.benchmark.sources import find_methods
from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.downstream.config import DownstreamConfig, LabeledPairs, Schedule
from refinefuse.downstream.dataset import (
    IGNORED,
    ImageJob,
    LabeledSet,
    fill_images,
    image_job,
    is_filled,
    read_labeled,
)
from refinefuse.downstream.evaluation import ALL, Evaluation, evaluate_boxes, evaluate_segmentation
from refinefuse.downstream.segmenter import PretrainedSegmenter
from refinefuse.downstream.training import Part, Training, run_training
from refinefuse.downstream.yolox_training import open_trainable
from refinefuse.errors import ConfigError, PairingError
from refinefuse.inference.device import resolve_device

Task = Literal["segmentation", "detection"]
Progress = Callable[[Iterable[None], int, str], Iterable[None]]
"""Wraps an iterator of steps in a progress bar, given their number and description."""
_CODE = tuple(
    f"refinefuse.{name}"
    for name in (
        "downstream.segmenter", "downstream.yolox_training", "downstream.onnx_module", "downstream.training",
        "detection.suppression",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """Indices of the training and test images."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass
class DownstreamStudy:
    """Results of a study.

    Attributes:
        config: config of the study.
        evaluations: evaluations by task and row.
        reference: first method, with which the other rows are compared.
        num_train: number of training images (with folds, of the first fold).
        num_test: number of test images.
        trained: number of networks trained in this run.
        reused: number of networks reused from earlier runs.
        remarks: notes on missing data.
        failures: error messages.
    """

    config: DownstreamConfig
    evaluations: dict[Task, dict[str, Evaluation]] = field(default_factory=dict)
    reference: str = ""
    num_train: int = 0
    num_test: int = 0
    trained: int = 0
    reused: int = 0
    remarks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class DownstreamRunner:
    """Runs a study into a folder.

    Args:
        config: config of the study.
        variables: values of the path variables in the config.
        output: output folder, with images/ and trainings/.
        num_workers: number of processes.
        device: training device: cpu, cuda, cuda:N, or auto.
    """

    def __init__(
        self, config: DownstreamConfig, variables: PathVariables, output: Path, num_workers: int, device: str = "cpu"
    ) -> None:
        self.config, self.variables, self.output, self.num_workers = config, variables, output, num_workers
        self.device = str(resolve_device(device))
        self.size = (config.size[0], config.size[1])
        given = {"segmentation": config.segmenter, "detection": config.detector}
        self.starts = {task: variables.fill(path) for task, path in given.items() if path}
        self.study = DownstreamStudy(config)

    def run(self, progress: Progress) -> DownstreamStudy:
        """Complete the missing steps and evaluate.

        Raises:
            RefineFuseError: the labels, a method or the detector cannot be used, or no row can be evaluated.
        """
        config = self.config
        methods = find_methods(config.methods, self.variables, ["train", "test"])
        self.study.reference = methods[0].name
        starts = self._check_starts()
        test = self._read(config.test)
        train = self._read(config.train) if config.train else test
        shared = sorted({p.b.resolve() for p in train.pairs} & {p.b.resolve() for p in test.pairs})
        if config.train and shared:
            raise ConfigError(f"{len(shared)} images are used for both training and testing, such as '{shared[0]}'.")
        folds = (
            self._folds(test) if config.folds else [Fold(tuple(range(len(train.pairs))), tuple(range(len(test.pairs))))]
        )
        self._check_classes(train, folds)
        self.study.num_train, self.study.num_test = len(folds[0].train), len(test.pairs)
        rows = self._images(methods, train, test, progress)
        jobs = {
            (task, row, seed, number): self._job(task, schedule, images, (train, test), fold, seed, starts[task])
            for seed in range(config.num_seeds)
            for row, images in rows.items()
            for task, schedule in self._schedules().items()
            for number, fold in enumerate(folds)
        }
        todo = [job for job in jobs.values() if not job.output.is_file()]
        self.study.trained, self.study.reused = len(todo), len(jobs) - len(todo)
        for _ in progress(self._train(todo), len(todo), "training networks"):
            pass
        for task in self._schedules():
            self.study.evaluations[task] = {}
            for row in rows:
                results = [[jobs[task, row, s, n].output for n in range(len(folds))] for s in range(config.num_seeds)]
                if all(path.is_file() for of_seed in results for path in of_seed):
                    self.study.evaluations[task][row] = self._evaluate(task, results, folds, test)
        return self.study

    def _check_starts(self) -> dict[Task, str]:
        """Checksum the pretrained networks, and reject a file that cannot be trained before any training starts."""
        checksums: dict[Task, str] = dict.fromkeys(self._schedules(), "")
        for task in checksums.keys() & self.starts.keys():
            path = Path(self.starts[task])
            if task == "detection":
                open_trainable(path, self.config.detection_classes)
                checksums[task] = file_checksum(path)
            else:
                PretrainedSegmenter(path, len(self.config.classes))
                checksums[task] = checksum(file_checksum(path), file_checksum(path.with_suffix(".yaml")))
        return checksums

    def _read(self, entry: LabeledPairs) -> LabeledSet:
        config = self.config
        return read_labeled(
            entry, self.variables, config.classes, config.detection_classes if config.detection else [], self.size
        )

    def _schedules(self) -> dict[Task, Schedule]:
        both: dict[Task, Schedule | None] = {
            "segmentation": self.config.segmentation, "detection": self.config.detection
        }  # fmt: skip
        return {task: schedule for task, schedule in both.items() if schedule is not None}

    def _folds(self, test: LabeledSet) -> list[Fold]:
        """Split each subset into blocks of consecutive names, because neighbors often show the same scene."""
        names = np.array(test.names)
        subsets = [[fnmatchcase(n, pattern) for n in names] for pattern in self.config.subsets.values()]
        kinds = np.array(subsets, bool).T @ (2 ** np.arange(len(subsets))) if subsets else np.zeros(len(names), int)
        number = np.zeros(len(names), int)
        for kind in np.unique(kinds):
            here = np.flatnonzero(kinds == kind)
            number[here] = np.arange(len(here)) * self.config.folds // len(here)
        parts = [np.flatnonzero(number == n) for n in range(self.config.folds)]
        if min(map(len, parts)) == 0:
            raise ConfigError(f"There are fewer pairs than folds.\n  pairs: {len(names)}\n  folds: {len(parts)}")
        return [Fold(tuple(np.flatnonzero(number != n).tolist()), tuple(parts[n].tolist())) for n in range(len(parts))]

    def _check_classes(self, train: LabeledSet, folds: Sequence[Fold]) -> None:
        """Reject a training set that lacks a class; for folds, only add a remark."""
        for number, fold in enumerate(folds):
            there = set(np.unique(train.masks[list(fold.train)]).tolist()) - {IGNORED}
            absent = [name for index, name in enumerate(self.config.classes) if index not in there]
            if absent and not self.config.folds:
                raise ConfigError(
                    f"No training image shows {', '.join(absent)}, so no network can learn it.\n"
                    f"  images: {len(fold.train)}\nAdd images of it, or set it to {IGNORED} in the masks."
                )
            if absent:
                self.study.remarks.append(f"Fold {number + 1} trains without {', '.join(absent)}.")

    def _images(
        self, methods: Sequence[Method], train: LabeledSet, test: LabeledSet, progress: Progress
    ) -> dict[str, tuple[ImageJob, ImageJob]]:
        """Produce the training and test images of every row for which this is possible."""
        taken = [method.name for method in methods if method.name in SOURCES]
        if taken:
            raise ConfigError(f"'{taken[0]}' is the name of a source. Give the method another `name`.")
        rows: dict[str, tuple[ImageJob, ImageJob]] = {}
        of_row: Mapping[str, Method | None] = {**dict.fromkeys(SOURCES), **{m.name: m for m in methods}}
        folder = self.output / "images"
        for row, method in of_row.items():
            try:
                on_test = image_job(row, method, test, "test", folder, self.size)
                on_train = on_test if test is train else image_job(row, method, train, "train", folder, self.size)
                rows[row] = on_train, on_test
            except PairingError as error:
                self.study.remarks.append(f"{error} It is left out.")
        todo = list({job.file.path: job for both in rows.values() for job in both if not is_filled(job.file)}.values())
        for _ in progress(self._fill(todo), len(todo), "fusing images of a method"):
            pass
        return {row: both for row, both in rows.items() if all(is_filled(job.file) for job in both)}

    def _fill(self, todo: Sequence[ImageJob]) -> Iterator[None]:
        for _, failure in in_processes(fill_images, todo, self.num_workers):
            self.study.failures += [failure] if failure else []
            yield

    def _job(
        self,
        task: Task,
        schedule: Schedule,
        images: tuple[ImageJob, ImageJob],
        labeled: tuple[LabeledSet, LabeledSet],
        fold: Fold,
        seed: int,
        start: str,
    ) -> Training:
        config = self.config
        classes = config.classes if task == "segmentation" else config.detection_classes
        parts = [
            _part(job, labels, index)
            for job, labels, index in zip(images, labeled, (fold.train, fold.test), strict=True)
        ]
        key = checksum(
            task, *(job.file.checksum for job in images), *(labels.checksum for labels in labeled), str(fold),
            str(astuple(schedule)), str(seed), *classes, start, config.precision,
            "" if self.device == "cpu" else self.device.partition(":")[0], code_checksum(*_CODE),
        )  # fmt: skip
        row = images[1].method.slug if images[1].method else images[1].file.row
        path = self.output / "trainings" / f"{task}-{row}-{seed}-{key[:16]}.npz"
        return Training(
            task,
            parts[0],
            parts[1],
            schedule,
            seed,
            tuple(classes),
            self.starts.get(task, ""),
            config.precision,
            path,
            self.device,
        )

    def _train(self, todo: Sequence[Training]) -> Iterator[None]:
        for job, failure in in_processes(run_training, todo, self.num_workers):
            if failure:
                self.study.failures.append(f"{job.task}, {job.train.images.row}, seed {job.seed}: {failure}")
            yield

    def _evaluate(
        self, task: Task, results: Sequence[Sequence[Path]], folds: Sequence[Fold], test: LabeledSet
    ) -> Evaluation:
        index = {
            group: [i for i, name in enumerate(test.names) if fnmatchcase(name, pattern)]
            for group, pattern in {ALL: "*", **self.config.subsets}.items()
        }
        index = {group: chosen for group, chosen in index.items() if chosen}
        if task == "segmentation":
            shape = len(results), len(test.pairs), len(self.config.classes), len(self.config.classes)
            confusions = np.zeros(shape, np.int64)
            for seed, paths in enumerate(results):
                for fold, path in zip(folds, paths, strict=True):
                    confusions[seed, list(fold.test)] = np.load(path)["confusion"]
            return evaluate_segmentation(confusions, self.config.classes, index)
        names = test.names
        found = [_boxes_of(paths, folds, names, self.config.detection_classes) for paths in results]
        labels = dict(zip(names, test.boxes, strict=True))
        groups = {group: [names[i] for i in chosen] for group, chosen in index.items()}
        return evaluate_boxes(labels, found, self.config.detection_classes, groups)


def _part(job: ImageJob, labeled: LabeledSet, index: tuple[int, ...]) -> Part:
    boxes = tuple(labeled.boxes[i] for i in index) if labeled.boxes else ()
    return Part(job.file, index, labeled.masks[list(index)], boxes, tuple(labeled.sizes[i] for i in index))


def _boxes_of(
    paths: Sequence[Path], folds: Sequence[Fold], names: Sequence[str], classes: Sequence[str]
) -> dict[str, Boxes]:
    """Detections of one seed over all folds, by image."""
    found = {}
    for fold, path in zip(folds, paths, strict=True):
        rows = np.load(path)["boxes"]
        for number, index in enumerate(fold.test):
            here = rows[rows[:, 0] == number]
            found[names[index]] = make_boxes(here[:, 3:], [classes[int(k)] for k in here[:, 1]], here[:, 2])
    return found
