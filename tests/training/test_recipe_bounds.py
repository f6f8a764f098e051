"""The least and the greatest value that a recipe may have in each field, and the next one, which is refused."""

import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.data.crops import Augmentation
from refinefuse.errors import ConfigError
from refinefuse.losses import LossWeights
from refinefuse.training.recipe import Recipe, TrainingSet

RECIPE = Recipe(name="x", datasets=[TrainingSet("ir", "vi")])
TINY = 1e-9
BOUNDS = [
    (RECIPE, "max_steps", [1], [0]),
    (RECIPE, "batch_size", [1], [0]),
    (RECIPE, "crops_per_pair", [1], [0]),
    (RECIPE, "val_check_interval", [1], [0]),
    (RECIPE, "crop_size", [16, 160], [0, 8, 127, 129]),
    (RECIPE, "classes", [2, 254], [1, 255]),  # 255 marks pixels without a label
    (RECIPE, "learning_rate", [TINY, 1e9], [0, -TINY, math.inf, math.nan]),
    (RECIPE, "weight_decay", [0, 1], [-TINY]),
    (RECIPE, "gradient_clip_val", [TINY, 5], [0, -TINY]),
    (RECIPE, "ema_decay", [0, 1 - TINY], [-TINY, 1, 2]),
    (RECIPE, "seed", [0, 2**32 - 1], [-1, 2**32]),
    (RECIPE, "name", ["a.b_c-1"], ["", "a/b", "a b"]),
    (RECIPE, "datasets", [RECIPE.datasets], [[]]),
    (Augmentation(), "degrade_visible_p", [0, 1], [-TINY, 1 + TINY]),
    (Augmentation(), "degrade_infrared_p", [0, 1], [-TINY, 1 + TINY]),
    (Augmentation(), "thermal_noise_p", [0, 1], [-TINY, 1 + TINY]),
    (Augmentation(), "misaligned_p", [0, 1], [-TINY, 1 + TINY]),
    (Augmentation(), "max_scale", [1, 4], [1 - TINY, 4 + TINY]),
    (TrainingSet("ir", "vi"), "weight", [TINY], [0]),
]


@pytest.mark.parametrize(("settings", "name", "good", "bad"), BOUNDS, ids=[name for _, name, _, _ in BOUNDS])
def test_bounds(settings, name, good, bad):
    for value in good:
        assert getattr(replace(settings, **{name: value}), name) == value
    for value in bad:
        with pytest.raises(ConfigError, match=f"`{name}`"):
            replace(settings, **{name: value})


@pytest.mark.parametrize("name", [field.name for field in fields(LossWeights) if field.name != "detection"])
def test_bounds_of_loss_weights(name):
    assert asdict(replace(RECIPE, loss_weights=replace(LossWeights(), **{name: 0.0})))["loss_weights"][name] == 0
    for value in (-TINY, math.inf, math.nan):
        with pytest.raises(ConfigError, match=f"`loss_weights`(.|\n)*{name}"):
            replace(RECIPE, loss_weights=replace(LossWeights(), **{name: value}))


def test_a_detector_needs_its_weight_and_crops_that_it_can_see():
    detecting = replace(LossWeights(), detection=1.0)
    assert replace(RECIPE, loss_weights=detecting, detector="d.onnx", crop_size=32).detector == "d.onnx"
    for changes in ({"detector": "d.onnx"}, {"loss_weights": detecting}):
        with pytest.raises(ConfigError, match="`detector`"):
            replace(RECIPE, **changes)
    with pytest.raises(ConfigError, match="`crop_size`"):
        replace(RECIPE, loss_weights=detecting, detector="d.onnx", crop_size=16)


@pytest.mark.parametrize(
    "fields",
    [{}, {"a": "ir"}, {"b": "vi"}, {"name": "TNO", "a": "ir"}, {"name": "TNO", "b": "vi"},
     {"name": "TNO", "split_dir": "lists"}, {"a": "ir", "b": "vi", "name": "TNO"}],
)  # fmt: skip
def test_a_dataset_is_two_folders_or_a_name(fields):
    with pytest.raises(ConfigError, match="`datasets`"):
        TrainingSet(**fields)


def test_titles():
    assert TrainingSet("ir", "vi", split_dir="lists").title == "'ir' with 'vi'"
    assert TrainingSet(name="TNO").title == "'TNO'"


DEFAULTS = {
    "max_steps": 10000, "batch_size": 4, "crops_per_pair": 2, "crop_size": 128, "learning_rate": 1.5e-3,
    "weight_decay": 1e-4, "gradient_clip_val": 1.0, "ema_decay": 0.999, "precision": "32-true",
    "val_check_interval": 1000, "seed": 0, "on_bad_pair": "stop", "detector": None, "classes": 2,
    "pretrained": None,
    "augmentation": {
        "degrade_visible_p": 0.4, "degrade_infrared_p": 0.0, "max_scale": 1.5, "thermal_noise_p": 0.0,
        "misaligned_p": 0.0,
    },
}  # fmt: skip
"""What a recipe that leaves a field out trains with: whoever changes one changes every such recipe."""


def test_defaults():
    values = asdict(RECIPE)
    assert {name: values[name] for name in DEFAULTS} == DEFAULTS
    assert asdict(TrainingSet("ir", "vi")) == {"a": "ir", "b": "vi", "weight": 1.0, "name": "", "split_dir": "",
                                                 "labels": ""}  # fmt: skip


@pytest.mark.parametrize("settings", [RECIPE, RECIPE.datasets[0], RECIPE.augmentation, RECIPE.network])
def test_settings_are_values(settings):
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(settings)[0].name, None)
