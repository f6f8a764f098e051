"""Train a network on one method's images and test it: the same steps for every method, on one thread.

A training depends on its seed alone: the order of the images, the flips and the random weights come from it, so that
it gives the same digits again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.atomic import atomic_path
from refinefuse.detection.boxes import Boxes
from refinefuse.detection.labels import Size
from refinefuse.detection.suppression import select_boxes
from refinefuse.downstream.config import Schedule
from refinefuse.downstream.dataset import ImageFile
from refinefuse.downstream.segmenter import SegmentationUNet, class_weights, confusion
from refinefuse.downstream.yolox_training import Targets, cells_of, decode, detection_loss, open_trainable
from refinefuse.errors import TrainingError

WARM_UP = 0.1
CLIP = 10.0
TESTED_AT_ONCE = 8
Loss = Callable[[Tensor, Sequence[int], Sequence[bool]], Tensor]
Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Part:
    """The images of a training or a test.

    Attributes:
        images: the file.
        index: which of them.
        masks: class numbers of those.
        boxes: of those.
        sizes: of those, as they were before they were reduced.
    """

    images: ImageFile
    index: tuple[int, ...]
    masks: UInt8[np.ndarray, "n h w"]
    boxes: tuple[Boxes, ...]
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Training:
    """One network to train and to test.

    Attributes:
        task: segmentation or detection.
        train: what it learns from.
        test: what it is tested on.
        schedule: how it is trained.
        seed: of everything random.
        classes: of the masks, or those that are detected.
        detector: the ONNX file that a detector starts from.
        precision: of the features.
        output: where the result goes.
    """

    task: Literal["segmentation", "detection"]
    train: Part
    test: Part
    schedule: Schedule
    seed: int
    classes: tuple[str, ...]
    detector: Path
    precision: Precision
    output: Path


def batches(num_images: int, schedule: Schedule, seed: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Which images each step draws, and whether they are flipped: every image once per epoch, in a new order."""
    generator = np.random.default_rng(seed)
    waiting: list[int] = []
    for _ in range(schedule.steps):
        while len(waiting) < schedule.batch_size:
            waiting += generator.permutation(num_images).tolist()
        drawn, waiting = waiting[: schedule.batch_size], waiting[schedule.batch_size :]
        yield drawn, (generator.random(len(drawn)) < 0.5).tolist()


def rate_at(step: int, schedule: Schedule) -> float:
    """The learning rate of a step: a linear warm-up, then a cosine to zero."""
    warm_up = max(1, round(WARM_UP * schedule.steps))
    if step < warm_up:
        return schedule.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, schedule.steps - warm_up)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def optimize(network: nn.Module, loss: Loss, part: Part, schedule: Schedule, seed: int, precision: Precision) -> None:
    """Train a network in place.

    Raises:
        TrainingError: what the network gives is not finite.
    """
    images = part.images.open()
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    for step, (drawn, flips) in enumerate(batches(len(part.index), schedule, seed)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, schedule)
        shown = [images[part.index[i]][:, :: -1 if flip else 1] for i, flip in zip(drawn, flips, strict=True)]
        with _autocast(precision):
            output = network(_as_batch(shown))
        if not torch.isfinite(output).all():
            raise TrainingError(f"The network is not finite at step {step}.\nChoose a lower learning rate.")
        optimizer.zero_grad()
        loss(output, drawn, flips).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()


def outputs(network: nn.Module, part: Part, precision: Precision) -> Iterator[Tensor]:
    """What a trained network gives for each image."""
    images = part.images.open()
    network.eval()
    for start in range(0, len(part.index), TESTED_AT_ONCE):
        with torch.inference_mode(), _autocast(precision):
            yield from network(_as_batch([images[i] for i in part.index[start : start + TESTED_AT_ONCE]])).float()


def _autocast(precision: Precision) -> AbstractContextManager[None]:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")


def _as_batch(images: Sequence[np.ndarray]) -> Tensor:
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return batch.contiguous(memory_format=torch.channels_last)


def train_segmentation(job: Training) -> dict[str, np.ndarray]:
    """The confusion of classes in every test image, (n, k, k) pixels."""
    masks, num_classes = torch.from_numpy(job.train.masks), len(job.classes)
    weights = torch.from_numpy(class_weights(job.train.masks, num_classes))
    torch.manual_seed(job.seed)
    network = SegmentationUNet(num_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(output: Tensor, drawn: Sequence[int], flips: Sequence[bool]) -> Tensor:
        wanted = torch.stack([masks[i].flip(-1) if flip else masks[i] for i, flip in zip(drawn, flips, strict=True)])
        return F.cross_entropy(output.float(), wanted.long(), weights, ignore_index=255)

    optimize(network, loss, job.train, job.schedule, job.seed, job.precision)
    predicted = (scores.argmax(0).byte().numpy() for scores in outputs(network, job.test, job.precision))
    confusions = [confusion(mask, found, num_classes) for mask, found in zip(job.test.masks, predicted, strict=True)]
    return {"confusion": np.stack(confusions).astype(np.int32)}


def train_detection(job: Training) -> dict[str, np.ndarray]:
    """The boxes that are found in every test image, as flat arrays: image, class, score, corners in its own pixels."""
    height, width = job.train.images.size
    cells = cells_of(height, width)
    both = [
        [_targets(boxes, size, job, mirrored) for boxes, size in zip(job.train.boxes, job.train.sizes, strict=True)]
        for mirrored in (False, True)
    ]
    torch.manual_seed(job.seed)
    network = open_trainable(job.detector, job.classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    reversed_channels = _Bgr(network)

    def loss(output: Tensor, drawn: Sequence[int], flips: Sequence[bool]) -> Tensor:
        return detection_loss(output, [both[flip][i] for i, flip in zip(drawn, flips, strict=True)], cells)

    optimize(reversed_channels, loss, job.train, job.schedule, job.seed, job.precision)
    rows = []
    for number, output in enumerate(outputs(reversed_channels, job.test, job.precision)):
        full = job.test.sizes[number]
        scale = np.array([full.width / width, full.height / height] * 2, np.float32)
        corners = decode(output, cells).numpy() * scale
        boxes = select_boxes(corners, (output[:, 4:5] * output[:, 5:]).numpy(), job.classes, full)
        kinds = [job.classes.index(name) for name in boxes.classes]
        rows += [(number, *row) for row in zip(kinds, boxes.scores.tolist(), *boxes.corners.T.tolist(), strict=True)]
    return {"boxes": np.array(rows, np.float32).reshape(-1, 7)}


class _Bgr(nn.Module):
    """A network that was trained on images whose channels are blue, green, red."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.network(images.flip(1))
        return output


def _targets(boxes: Boxes, size: Size, job: Training, mirrored: bool) -> Targets:
    height, width = job.train.images.size
    corners = boxes.corners * np.array([width / size.width, height / size.height] * 2, np.float32)
    if mirrored:
        corners = np.stack([width - corners[:, 2], corners[:, 1], width - corners[:, 0], corners[:, 3]], 1)
    classes = [job.classes.index(name) for name in boxes.classes]
    return Targets(torch.from_numpy(corners), torch.tensor(classes, dtype=torch.long), torch.from_numpy(boxes.crowd))


TASKS = {"segmentation": train_segmentation, "detection": train_detection}


def run_training(job: Training) -> str:
    """Train, test and keep the result; returns what went wrong, or nothing."""
    try:
        result = TASKS[job.task](job)
    except TrainingError as error:
        return str(error)
    with atomic_path(job.output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **result)
    return ""
