"""Segmentation study: run pretrained networks on both sources and every fused image and evaluate them against masks.

Pixel counts are cached in the result store under a checksum of image, mask, network, classes and code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from refinefuse.benchmark.config import LabelEntry, SegmentationEntry
from refinefuse.benchmark.detection import Looks, RowImage, StudyInputs, find_networks, iter_rows, network_checksum
from refinefuse.benchmark.detection_comparison import ALL
from refinefuse.benchmark.grids import to_display
from refinefuse.benchmark.identity import checksum, file_checksum
from refinefuse.benchmark.image_datasets import ImageDataset, PathVariables
from refinefuse.benchmark.result_store import ResultStore
from refinefuse.benchmark.runner import in_processes
from refinefuse.detection.labels import Labels, Size, read_mask
from refinefuse.errors import ConfigError, RefineFuseError
from refinefuse.image.files import read_image
from refinefuse.progress import progress_bar
from refinefuse.segmentation.evaluation import (
    IGNORED,
    OTHER,
    SegmentationMetrics,
    count_pixels,
    evaluate_segmentation,
)
from refinefuse.segmentation.onnx_segmenter import open_segmenter

_CODE = tuple(
    f"refinefuse.{name}" for name in ("segmentation", "detection.onnx_input", "image.color", "benchmark.segmentation")
)


@dataclass(frozen=True)
class SegmentationJob:
    """One step of the study: an input image, its mask and the network.

    Attributes:
        where: input image.
        mask: mask file.
        network: ONNX file of the network.
        known: index in `classes` of each class of the network, or `OTHER`.
        meanings: (number, class) of the mask values.
        classes: classes to evaluate.
        aliases: (class of the mask, class to evaluate it as).
    """

    where: RowImage
    mask: Path
    network: Path
    known: tuple[int, ...]
    meanings: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...]


@dataclass(kw_only=True)
class SegmentationStudy(Looks):
    """Results of one network for one entry of masks.

    Attributes:
        title: title in tables.
        network: name of the network in tables.
        labels: config entry of the masks.
        classes: classes that both the network and the masks have.
        num_images: number of images with a mask.
        rows: metrics by row and group of images; `all` is the whole dataset.
        remarks: notes on missing data.
    """

    title: str
    network: str
    labels: LabelEntry
    classes: tuple[str, ...]
    num_images: int = 0
    rows: dict[str, dict[str, SegmentationMetrics]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def run_segmentation(entry: SegmentationEntry, inputs: StudyInputs) -> list[SegmentationStudy]:
    """Run every network on the images that are not cached, and evaluate.

    Raises:
        RefineFuseError: a network or the masks cannot be used, or an extra is missing.
    """
    networks = {name: Path(path) for name, path in find_networks(entry.networks, inputs.variables, "network").items()}
    todo = []
    for labels in entry.labels:
        images = next(one for one in inputs.sets if one.name == labels.dataset)
        masks = _masks(entry, labels, inputs.variables, images)  # check all inputs early
        for name, network in networks.items():
            known = tuple(_known(entry, open_segmenter(network).names, network))
            classes = tuple(c for n, c in enumerate(entry.classes) if n in known)
            title = f"{labels.title}-{name}" if len(networks) > 1 else labels.title
            study = SegmentationStudy(title=title, network=name, labels=labels, classes=classes, num_images=len(masks))
            if len(classes) < len(entry.classes):
                absent = ", ".join(c for c in entry.classes if c not in classes)
                study.remarks.append(f"{name} has no class {absent}, so the mean is over the other classes.")
            todo.append((study, images, masks, network, known))
    with inputs.open_store() as store:
        for study, images, masks, network, known in todo:
            meanings = tuple(study.labels.meanings().items())
            rows = [one for one in iter_rows(inputs.methods, [images], inputs.results) if one.pair.name in masks]
            jobs = [
                SegmentationJob(one, masks[one.pair.name], network, known, meanings, tuple(entry.classes),
                                tuple(entry.class_aliases.items()))
                for one in rows
            ]  # fmt: skip
            counts = _look(study, jobs, store, inputs)
            _evaluate(study, entry, counts, list(masks))
    return [study for study, *_ in todo]


def _known(entry: SegmentationEntry, names: Sequence[str], network: Path) -> Iterator[int]:
    """Yield the index of each class of a network among the evaluated classes."""
    called = [entry.class_aliases.get(name, name) for name in names]
    if not set(called) & set(entry.classes):
        raise ConfigError(
            f"The network '{network}' has none of the classes.\n  expected: {', '.join(entry.classes)}\n"
            f"  got: {', '.join(names)}\nMap its classes to these in `class_aliases`."
        )
    return (entry.classes.index(name) if name in entry.classes else OTHER for name in called)


def _masks(
    entry: SegmentationEntry, labels: LabelEntry, variables: PathVariables, images: ImageDataset
) -> dict[str, Path]:
    """Find the mask of each image that has one."""
    meanings = labels.meanings()
    folder = Labels("mask", variables.data_root / variables.fill(labels.path, labels.dataset), meanings)
    called = {name.removesuffix("*") for name in meanings.values()}
    missing = sorted(set(entry.classes) - {entry.class_aliases.get(name, name) for name in called})
    if missing:
        raise ConfigError(
            f"The masks of '{labels.title}' do not contain {', '.join(missing)}.\n"
            f"  expected: some of {', '.join(called)}"
        )
    files = folder.files()
    pairs = {pair.name: pair for pair in images.pairs}
    masks = {name: files[name] for name in folder.shared(pairs)}
    for name, path in masks.items():
        read_mask(path, Size(*read_image(pairs[name].b).shape[:2]), meanings)
    return masks


def _look(
    study: SegmentationStudy, jobs: Sequence[SegmentationJob], store: ResultStore, inputs: StudyInputs
) -> dict[str, dict[str, list[float]]]:
    """Return the pixel counts by row and image."""
    identity = network_checksum(jobs[0].network, *_CODE) if jobs else ""
    keys = {job: _key(job, identity) for job in jobs}
    todo = list({key: job for job, key in keys.items() if not store.scores(key)}.values())
    study.looked, study.cached = len(todo), len(jobs) - len(todo)
    steps = in_processes(look_at, todo, inputs.num_workers)
    for job, found in progress_bar(f"segmenting, {study.network}", steps, total=len(todo), show=inputs.progress):
        if isinstance(found, str):
            study.failures.append(f"{job.where.row}, {job.where.dataset}, {job.where.pair.name}: {found}")
        else:
            store.add_scores(keys[job], dict(zip(_columns(job), found, strict=True)))
    counts: dict[str, dict[str, list[float]]] = {}
    for job, key in keys.items():
        kept = store.scores(key)
        if kept:
            counts.setdefault(job.where.row, {})[job.where.pair.name] = [kept[column] for column in _columns(job)]
    return counts


def _columns(job: SegmentationJob) -> list[str]:
    return [f"{name}: {what}" for name in job.classes for what in ("in both", "in the mask", "found")]


def _key(job: SegmentationJob, identity: str) -> str:
    files = map(file_checksum, (job.where.image, job.where.color, job.mask))
    return checksum(*files, identity, str((job.known, job.meanings, job.classes, job.aliases)))


def look_at(job: SegmentationJob) -> list[float] | str:
    """Return the pixel counts of one image per class, or an error message."""
    try:
        pixels = to_display(job.where.image, job.where.color)
        size = Size(*read_image(job.where.pair.b).shape[:2])
        mask, meanings = read_mask(job.mask, size, dict(job.meanings))
        if pixels.shape[:2] != size:
            return f"the size of the image differs from that of its mask: {pixels.shape[0]} x {pixels.shape[1]}"
        known, aliases = np.full(256, OTHER, np.uint8), dict(job.aliases)
        known[: len(job.known)] = job.known
        asked = np.full(256, OTHER, np.uint8)
        for number, (name, uncounted) in meanings.items():
            name = aliases.get(name, name)
            asked[number] = IGNORED if uncounted else job.classes.index(name) if name in job.classes else OTHER
        predicted = known[open_segmenter(job.network)(pixels)]
        return count_pixels(asked[mask], predicted, len(job.classes)).ravel().astype(float).tolist()
    except RefineFuseError as error:
        return str(error)


def _evaluate(
    study: SegmentationStudy,
    entry: SegmentationEntry,
    counts: Mapping[str, Mapping[str, list[float]]],
    names: Sequence[str],
) -> None:
    chosen = [entry.classes.index(name) for name in study.classes]
    for row, by_image in counts.items():
        missing = len(set(names) - set(by_image))
        if missing:
            study.remarks.append(f"{row} lacks {missing} of {len(names)} images with a mask: not compared.")
            continue
        study.rows[row] = {}
        for group, pattern in {ALL: "*", **entry.subsets}.items():
            here = [by_image[name] for name in names if fnmatchcase(name, pattern)]
            if here:
                table = np.array(here).reshape(len(here), len(entry.classes), 3)
                study.rows[row][group] = evaluate_segmentation(table[:, chosen])
