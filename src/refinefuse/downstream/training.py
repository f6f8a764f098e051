"""Train a network on the images of one method and test it: the same steps for every method, on one thread.

The seed determines the order of the images, the flips and the initial weights, so that training is reproducible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.atomic import atomic_path
from refinefuse.detection.boxes import Boxes
from refinefuse.detection.cells import cells_of, decode
from refinefuse.detection.labels import Size
from refinefuse.detection.suppression import select_boxes
from refinefuse.downstream.config import Schedule
from refinefuse.downstream.dataset import ImageFile
from refinefuse.downstream.segmenter import PretrainedSegmenter, SegmentationUNet, class_weights, confusion
from refinefuse.downstream.yolox_training import DetectionTargets, detection_loss, open_trainable
from refinefuse.errors import TrainingError

WARM_UP = 0.1
CLIP = 10.0
TESTED_AT_ONCE = 8
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Computes the loss from the network's output, the indices of the batch's images and their flips."""
Precision = Literal["32-true", "bf16-mixed"]
NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class Part:
    """Images and labels of a training or test set.

    Attributes:
        images: image file.
        index: indices of the images in the file.
        masks: class numbers per pixel of these images.
        boxes: labeled boxes of these images.
        sizes: original sizes of these images, before downsampling.
    """

    images: ImageFile
    index: tuple[int, ...]
    masks: UInt8[np.ndarray, "n h w"]
    boxes: tuple[Boxes, ...]
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Training:
    """One network to train and test.

    Attributes:
        task: segmentation or detection.
        train: training set.
        test: test set.
        schedule: training schedule.
        seed: random seed.
        classes: mask classes, or detection classes.
        start: pretrained ONNX file; empty for random initialization.
        precision: training precision.
        output: path of the result.
        device: training device: cpu, cuda, cuda:N.
    """

    task: Literal["segmentation", "detection"]
    train: Part
    test: Part
    schedule: Schedule
    seed: int
    classes: tuple[str, ...]
    start: str
    precision: Precision
    output: Path
    device: str = "cpu"


def batches(num_images: int, schedule: Schedule, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the image indices and flips of each step; images are reshuffled every epoch."""
    generator = np.random.default_rng(seed)
    waiting: list[int] = []
    for _ in range(schedule.steps):
        while len(waiting) < schedule.batch_size:
            waiting += generator.permutation(num_images).tolist()
        drawn, waiting = waiting[: schedule.batch_size], waiting[schedule.batch_size :]
        yield torch.tensor(drawn), torch.from_numpy(generator.random(len(drawn)) < 0.5)


def rate_at(step: int, schedule: Schedule) -> float:
    """Learning rate of a step: linear warm-up, then cosine decay to zero."""
    warm_up = max(1, round(WARM_UP * schedule.steps))
    if step < warm_up:
        return schedule.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, schedule.steps - warm_up)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def optimize(network: nn.Module, loss: Loss, job: Training) -> None:
    """Train a network in place, on the device of its weights.

    Raises:
        TrainingError: the network's output is not finite.
    """
    images, index = _images(job.train, job.device)
    schedule = job.schedule
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    for step, batch in enumerate(batches(len(index), schedule, job.seed)):
        drawn, flips = (x.to(job.device) for x in batch)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, schedule)
        shown = images[index[drawn]]
        shown = torch.where(flips[:, None, None, None], shown.flip(2), shown)
        with _autocast(job):
            output = network(_as_batch(shown))
        if not torch.isfinite(output).all():
            raise TrainingError(
                f"The output of the network is NaN or infinite at step {step}.\nChoose a lower learning rate."
            )
        optimizer.zero_grad()
        loss(output, drawn, flips).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()


def outputs(network: nn.Module, job: Training) -> Iterator[Tensor]:
    """Yield the outputs of a trained network for the test images."""
    images, index = _images(job.test, job.device)
    network.eval()
    for chosen in index.split(TESTED_AT_ONCE):  # type: ignore[no-untyped-call]
        with torch.inference_mode(), _autocast(job):
            yield from network(_as_batch(images[chosen])).float()


def _autocast(job: Training) -> AbstractContextManager[None]:
    return torch.autocast(torch.device(job.device).type, torch.bfloat16, enabled=job.precision == "bf16-mixed")


def _images(part: Part, device: str) -> tuple[UInt8[Tensor, "n h w 3"], Int[Tensor, " m"]]:
    """Return all images of the part's file (memory-mapped, or copied to the GPU) and the indices of the part."""
    return torch.from_numpy(part.images.open()).to(device), torch.tensor(part.index, device=device)


def _layout(device: torch.device) -> torch.memory_format:
    """Channels-last is fast on CPUs, but slow for layers with few channels on GPUs."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def _as_batch(images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    return images.permute(0, 3, 1, 2).float().contiguous(memory_format=_layout(images.device))


def _on_device(network: NetworkT, device: str) -> NetworkT:
    layout = _layout(torch.device(device))
    return network.to(device).to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def train_segmentation(job: Training) -> dict[str, np.ndarray]:
    """Train and return the confusion matrix of every test image, (n, k, k) in pixels."""
    masks, num_classes = torch.from_numpy(job.train.masks).to(job.device), len(job.classes)
    weights = torch.from_numpy(class_weights(job.train.masks, num_classes)).to(job.device)
    torch.manual_seed(job.seed)
    network = _on_device(
        PretrainedSegmenter(Path(job.start), num_classes) if job.start else SegmentationUNet(num_classes), job.device
    )

    def loss(output: Tensor, drawn: Tensor, flips: Tensor) -> Tensor:
        wanted = torch.where(flips[:, None, None], masks[drawn].flip(2), masks[drawn])
        return F.cross_entropy(output.float(), wanted.long(), weights, ignore_index=255)

    optimize(network, loss, job)
    predicted = (scores.argmax(0).byte().cpu().numpy() for scores in outputs(network, job))
    confusions = [confusion(mask, found, num_classes) for mask, found in zip(job.test.masks, predicted, strict=True)]
    return {"confusion": np.stack(confusions).astype(np.int32)}


def train_detection(job: Training) -> dict[str, np.ndarray]:
    """Train and return all test detections as flat arrays: image, class, score, corners in original pixels."""
    height, width = job.train.images.size
    cells = cells_of(height, width)
    on_device = cells.to(torch.device(job.device))
    targets = DetectionTargets(*(x.to(job.device) for x in _targets(job)))
    torch.manual_seed(job.seed)
    network = _on_device(_Bgr(open_trainable(Path(job.start), job.classes)), job.device)

    def loss(output: Tensor, drawn: Tensor, flips: Tensor) -> Tensor:
        return detection_loss(output, targets.select(drawn, flips, width), on_device)

    optimize(network, loss, job)
    rows = []
    for number, output in enumerate(x.cpu() for x in outputs(network, job)):
        full = job.test.sizes[number]
        scale = np.array([full.width / width, full.height / height] * 2, np.float32)
        corners = decode(output, cells).numpy() * scale
        boxes = select_boxes(corners, (output[:, 4:5] * output[:, 5:]).numpy(), job.classes, full)
        kinds = [job.classes.index(name) for name in boxes.classes]
        rows += [(number, *row) for row in zip(kinds, boxes.scores.tolist(), *boxes.corners.T.tolist(), strict=True)]
    return {"boxes": np.array(rows, np.float32).reshape(-1, 7)}


class _Bgr(nn.Module):
    """Wraps a network that expects BGR images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.network(images.flip(1))
        return output


def _targets(job: Training) -> DetectionTargets:
    """Detection targets of all training images."""
    height, width = job.train.images.size
    most = max(1, *map(len, job.train.boxes))
    corners = np.zeros((len(job.train.boxes), most, 4), np.float32)
    classes = np.zeros(corners.shape[:2], np.int64)
    counted, crowd = np.zeros(corners.shape[:2], bool), np.zeros(corners.shape[:2], bool)
    for n, (boxes, size) in enumerate(zip(job.train.boxes, job.train.sizes, strict=True)):
        here = n, slice(len(boxes))
        corners[here] = boxes.corners * np.array([width / size.width, height / size.height] * 2, np.float32)
        classes[here] = [job.classes.index(name) for name in boxes.classes]
        counted[here], crowd[here] = ~boxes.crowd, boxes.crowd
    return DetectionTargets(*map(torch.from_numpy, (corners, classes, counted, crowd)))


TASKS = {"segmentation": train_segmentation, "detection": train_detection}


def run_training(job: Training) -> str:
    """Train, test and save the result; return an error message, or an empty string."""
    try:
        result = TASKS[job.task](job)
    except TrainingError as error:
        return str(error)
    with atomic_path(job.output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **result)
    return ""
