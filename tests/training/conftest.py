"""Twelve small pairs, and a recipe that trains on them in seconds."""

import numpy as np
import pytest

from refinefuse.image.files import write_image
from refinefuse.network.config import NetworkConfig


@pytest.fixture
def data(tmp_path):
    """Twelve pairs of 48 x 64: blocks of two scales."""
    generator = np.random.default_rng(0)
    for folder, side in (("ir", 8), ("vi", 4)):
        (tmp_path / folder).mkdir()
        for index in range(12):
            coarse = generator.integers(0, 256, (48 // side, 64 // side), np.uint8)
            write_image(tmp_path / folder / f"{index}.png", coarse.repeat(side, 0).repeat(side, 1))
    return tmp_path


@pytest.fixture
def tiny():
    """A recipe for the pairs of `data`."""
    pytest.importorskip("lightning", reason="training needs the extra `train`")
    from refinefuse.training.recipe import Recipe, TrainingSet

    return Recipe(
        name="tiny",
        datasets=[TrainingSet("ir", "vi", 1.0)],
        network=NetworkConfig(channels=(4, 6), context_size=8, context_channels=4, num_heads=2, num_interactions=1),
        max_steps=8,
        batch_size=2,
        crop_size=32,
        learning_rate=1e-2,
        ema_decay=0.5,
        val_check_interval=4,
    )


@pytest.fixture
def yolox(tmp_path):
    """The file of a small detector."""
    pytest.importorskip("onnx", reason="detectors in training need the extra `onnx`")
    import torch
    from little_yolox import LittleYolox, export

    torch.manual_seed(0)
    return export(LittleYolox(), tmp_path / "little.onnx")
