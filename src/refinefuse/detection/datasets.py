"""Labeled images for training a detector: each pair is fused once and cached on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from refinefuse.data.pairs import pair_folders
from refinefuse.detection.boxes import Boxes
from refinefuse.detection.labels import Labels, Size, class_mapping
from refinefuse.detection.recipe import DetectorRecipe, LabeledDataset
from refinefuse.errors import ConfigError, InputError
from refinefuse.image.files import read_image, write_image
from refinefuse.image.pixels import Pixels
from refinefuse.training.data_module import StepSampler, leave_signals_to_the_trainer

DetectorInput = Callable[[Pixels, Pixels], UInt8[np.ndarray, "h w 3"]]
Target = dict[str, Tensor]


@dataclass(frozen=True)
class Sample:
    """A labeled training image.

    Attributes:
        name: name of the pair, prefixed with the number of its dataset.
        image: input image of the detector; the file may not exist yet.
        a: first source.
        b: second source.
        size: size of all three images.
        boxes: labels of the recipe's classes, without ignore regions.
    """

    name: str
    image: Path
    a: Path
    b: Path
    size: Size
    boxes: Boxes


def read_samples(recipe: DetectorRecipe, data: Path, folder: Path) -> list[Sample]:
    """Collect the labeled pairs of all datasets.

    Raises:
        RefineFuseError: a dataset cannot be used.
        ConfigError: no image contains an object of any class.
    """
    samples = [s for number, one in enumerate(recipe.datasets) for s in _of_set(recipe, one, number, data, folder)]
    if not any(len(sample.boxes) for sample in samples):
        raise ConfigError(f"None of the {len(samples)} images has a label of the classes {', '.join(recipe.classes)}.")
    return samples


def _of_set(recipe: DetectorRecipe, one: LabeledDataset, number: int, data: Path, folder: Path) -> Iterable[Sample]:
    pairs = [pair for pair in pair_folders(data / one.a, data / one.b).pairs if fnmatchcase(pair.name, one.pattern)]
    sizes = {pair.name: Size(*read_image(pair.b).shape[:2]) for pair in pairs}
    labels = Labels(one.format, data / one.path, class_mapping(one.format, one.classes_from, one.classes)).read(sizes)
    for pair in pairs:
        if pair.name in labels:
            boxes = labels[pair.name].select_classes(recipe.classes)
            boxes = boxes.select(~boxes.crowd)
            image = folder / str(number) / f"{pair.name}.png"
            yield Sample(f"{number}/{pair.name}", image, pair.a, pair.b, sizes[pair.name], boxes)


def fuse_samples(samples: Iterable[Sample], seen: DetectorInput) -> None:
    """Fuse the pairs that have no fused image yet.

    Raises:
        RefineFuseError: an image cannot be read or fused.
    """
    for sample in samples:
        if sample.image.is_file():
            continue
        a, b = read_image(sample.a), read_image(sample.b)
        fused = seen(a, b)
        if fused.shape[:2] != a.shape[:2] or a.shape[:2] != b.shape[:2]:
            sizes = [" x ".join(map(str, x.shape[:2])) for x in (a, b, fused)]
            raise InputError(
                f"The images of the pair '{sample.name}' differ in size.\n  a, b, fused: {', '.join(sizes)}"
            )
        sample.image.parent.mkdir(parents=True, exist_ok=True)
        write_image(sample.image, fused)


class DetectionDataset(Dataset[tuple[Tensor, Target]]):
    """Images in training order: reshuffled every epoch, half of them flipped.

    Args:
        samples: images that are already fused.
        recipe: recipe of the run.
        processor: image processor of the detector.
    """

    def __init__(self, samples: list[Sample], recipe: DetectorRecipe, processor: Any) -> None:
        self.samples, self.recipe, self.processor = samples, recipe, processor

    def __len__(self) -> int:
        return self.recipe.max_steps * self.recipe.batch_size

    def of(self, index: int) -> tuple[Sample, bool]:
        """Return the sample at an index of the run and whether it is flipped."""
        epoch, position = divmod(index, len(self.samples))
        generator = np.random.default_rng((self.recipe.seed, epoch))
        order = generator.permutation(len(self.samples))
        return self.samples[order[position]], bool(generator.random(len(self.samples))[position] < 0.5)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        sample, flipped = self.of(index)
        pixels = read_image(sample.image)
        corners = sample.boxes.corners / np.array([sample.size.width, sample.size.height] * 2, np.float32)
        if flipped:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            corners = np.stack([1 - corners[:, 2], corners[:, 1], 1 - corners[:, 0], corners[:, 3]], 1)
        spans = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
        image = self.processor(images=[pixels], return_tensors="pt", input_data_format="channels_last")["pixel_values"][
            0
        ]
        numbers = [self.recipe.classes.index(name) for name in sample.boxes.classes]
        return image, {
            "class_labels": torch.tensor(numbers, dtype=torch.long),
            "boxes": torch.from_numpy(spans.astype(np.float32)),
        }


def _together(items: list[tuple[Tensor, Target]]) -> tuple[Tensor, list[Target]]:
    return torch.stack([image for image, _ in items]), [target for _, target in items]


class DetectionDataModule(LightningDataModule):
    """The batches of a run, starting at the step from which it resumes."""

    def __init__(self, drawn: DetectionDataset, first_step: int, num_workers: int) -> None:
        super().__init__()
        self.drawn, self.first_step, self.num_workers = drawn, first_step, num_workers

    def names_of(self, step: int) -> list[str]:
        """Return the names of the images in the batch of a step."""
        count = self.drawn.recipe.batch_size
        return [self.drawn.of(index)[0].name for index in range(step * count, (step + 1) * count)]

    def train_dataloader(self) -> DataLoader[Any]:
        """Return a loader over the remaining batches of the run, in order."""
        order = StepSampler(self.drawn.recipe, self.first_step)
        loader: DataLoader[Any] = DataLoader(
            self.drawn,
            order.num_pairs,
            sampler=order,
            collate_fn=_together,
            num_workers=self.num_workers,
            worker_init_fn=leave_signals_to_the_trainer,
        )
        return loader
