"""Label maps in training: crops carry them, edges of objects count, and a segmenter says what it misses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse import write_image
from refinefuse.data.crops import UNLABELED, Augmentation, PairCropDataset
from refinefuse.errors import ConfigError, InputError, PairingError
from refinefuse.losses import LossWeights
from refinefuse.training.datasets import load_datasets
from refinefuse.training.segmenter import Segmenter, segmentation_loss
from refinefuse.training.train import fit_recipe

pytestmark = pytest.mark.filterwarnings("default")  # Lightning warns of many things that a small run does


@pytest.fixture
def labeled(tiny, data):
    """The small recipe with label maps beside its images: the brighter half of each infrared image is an object."""
    part = tiny.datasets[0]
    for path in (data / part.a).iterdir():
        size = load_datasets(tiny, data).training[0][0].shape
        labels = np.zeros(size, np.uint8)
        labels[: size[0] // 2] = 1
        write_image(data / "labels" / f"{path.stem}.png", labels)
    weights = LossWeights(object_recall=1.0, segmentation=1.0)
    return replace(tiny, datasets=[replace(part, labels="labels")], loss_weights=weights)


@pytest.mark.parametrize("max_scale", [1.0, 2.0])
def test_labels_turn_and_scale_with_the_image(max_scale):
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 2, (12, 12)), np.ones((8, 8))).astype(np.uint8) * 255
    augmentation = Augmentation(degrade_visible_p=0, max_scale=max_scale)
    dataset = PairCropDataset(
        [(image, image)], [1.0], size=48, crops=2, context_size=8, augmentation=augmentation, length=16, seed=1,
        labels=[image // 255],
    )  # fmt: skip
    for item in (dataset[index] for index in range(len(dataset))):
        agree = ((item.a > 0.5) == (item.labels == 1)).float().mean()
        assert agree > (0.9 if max_scale > 1 else 0.999)


def test_a_pair_without_labels_is_unlabeled():
    pair = (np.zeros((64, 64), np.uint8),) * 2
    dataset = PairCropDataset(
        [pair], [1.0], size=32, crops=1, context_size=8, augmentation=Augmentation(), length=1, seed=0
    )
    assert (dataset[0].labels == UNLABELED).all()


def test_the_segmenter_learns_what_is_bright():
    torch.manual_seed(0)
    network = Segmenter(2)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    luma = torch.zeros(4, 1, 32, 32)
    luma[:, :, 8:24, 8:24] = 1
    labels = luma.to(torch.uint8)
    labels[:, :, :4] = UNLABELED
    first = segmentation_loss(network(luma), labels)
    for _ in range(15):
        optimizer.zero_grad()
        segmentation_loss(network(luma), labels).backward()
        optimizer.step()
    assert segmentation_loss(network(luma), labels) < first / 4
    assert network(luma).shape == (4, 2, 16, 16)


def test_nothing_labeled_costs_nothing():
    labels = torch.full((1, 1, 32, 32), UNLABELED, dtype=torch.uint8)
    assert segmentation_loss(torch.randn(1, 3, 16, 16), labels) == 0


def test_a_run_with_labels_ships_the_fusion_network_alone(labeled, data, tmp_path):
    from refinefuse import load_model

    path = fit_recipe(labeled, data, tmp_path / "run", num_workers=0)
    assert not any("segmenter" in name for name in load_model(path).state_dict())


def test_a_label_map_of_another_size_is_named(labeled, data):
    broken = sorted((data / "labels").iterdir())[1]
    write_image(broken, np.zeros((5, 7), np.uint8), overwrite=True)
    with pytest.raises(InputError, match=r"label map is uint8 of \(5, 7\)"):
        load_datasets(labeled, data)


def test_a_missing_folder_of_labels_is_named(labeled, data):
    part = replace(labeled.datasets[0], labels="nowhere")
    with pytest.raises(PairingError, match="label map folder"):
        load_datasets(replace(labeled, datasets=[part]), data)


def test_labels_without_a_loss_that_needs_them_are_refused(tiny):
    with pytest.raises(ConfigError, match="labels"):
        replace(tiny, datasets=[replace(tiny.datasets[0], labels="labels")])
