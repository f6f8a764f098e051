"""Training for real, on pairs made here: it learns, it can be stopped and resumed, and it refuses what it cannot
use."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from refinefuse import settings
from refinefuse.data.crops import Augmentation, PairCropDataset, collate, rotated_or_flipped
from refinefuse.errors import ConfigError, InputError, PairingError, TrainingError
from refinefuse.image.files import read_image, write_image
from refinefuse.losses import fusion_loss
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.training.datasets import load_datasets
from refinefuse.training.entry import train
from refinefuse.training.recipe import Recipe, TrainingSet, load_recipe, save_recipe
from refinefuse.training.task import FusionTask
from refinefuse.training.train import fit_recipe

RECIPES = sorted(settings.RECIPES.glob("*.yaml"))
RECIPE = Recipe(
    name="tiny",
    datasets=[TrainingSet("ir", "vi", 1.0)],
    network=NetworkConfig(channels=(4, 6), context_size=8, context_channels=4, num_heads=2, num_interactions=1),
    max_steps=4,
    batch_size=2,
    crop_size=32,
    learning_rate=1e-2,
    ema_decay=0.5,
    precision="32-true",
    val_check_interval=4,
)

pytestmark = pytest.mark.filterwarnings("default")  # Lightning warns of many things that a small run does


def weights_of(path):
    return RefineFuse.from_pretrained(path).state_dict()


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_shipped_recipe_can_be_read(path, tmp_path):
    recipe = load_recipe(path)
    RefineFuse.from_config(recipe.network)
    save_recipe(recipe, tmp_path / "copy.yaml")
    assert load_recipe(tmp_path / "copy.yaml") == recipe


@pytest.mark.slow
def test_training_writes_all_that_is_promised_and_learns(data, tmp_path):
    recipe = replace(RECIPE, max_steps=60, val_check_interval=30, learning_rate=1e-2, ema_decay=0.9)
    path = fit_recipe(recipe, data, tmp_path / "run", num_workers=0)
    assert path == tmp_path / "run" / "tiny.safetensors"
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe
    assert (tmp_path / "run" / "last.ckpt").is_file()
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    assert "validation/edge_recall" in (tmp_path / "run" / "csv" / "metrics.csv").read_text().splitlines()[0]
    a, b = (
        torch.stack([torch.from_numpy(read_image(data / folder / f"{i}.png")).float()[None] / 255 for i in range(12)])
        for folder in ("ir", "vi")
    )
    with torch.inference_mode():
        learned = fusion_loss(RefineFuse.from_pretrained(path)(a, b), a, b, recipe.loss_weights)[0]
        untrained = fusion_loss(RefineFuse.from_config(recipe.network)(a, b), a, b, recipe.loss_weights)[0]
    assert learned < untrained


@pytest.mark.slow
def test_a_run_that_is_killed_resumes_to_the_same_weights(data, tmp_path):
    recipe = replace(RECIPE, max_steps=8, val_check_interval=4)
    save_recipe(recipe, tmp_path / "recipe.yaml")
    program = (
        "import os, sys; from pathlib import Path; from lightning.pytorch.callbacks import ModelCheckpoint as C;"
        "from refinefuse.training.recipe import load_recipe; from refinefuse.training import train as t;"
        "t.CHECKPOINT_EVERY = 4; save = C._save_checkpoint; killed = len(sys.argv) > 3;"
        "C._save_checkpoint = lambda *args: (save(*args), killed and os._exit(9));"  # right after the first checkpoint
        "t.fit_recipe(load_recipe(Path('recipe.yaml')), Path(sys.argv[1]), Path(sys.argv[2]), num_workers=0)"
    )

    def run(*arguments):
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # more weight their sums as they please
        command = [sys.executable, "-c", program, data, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=one_thread, capture_output=True, check=False).returncode

    assert run("run", "killed") == 9
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert run("run") == run("whole") == 0
    whole, resumed = (weights_of(tmp_path / name / "tiny.safetensors") for name in ("whole", "run"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"no archive"])
def test_a_damaged_checkpoint_is_named(data, tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").write_bytes(content)
    with pytest.raises(TrainingError, match="Cannot read the checkpoint .*last.ckpt"):
        fit_recipe(RECIPE, data, tmp_path / "run", num_workers=0)


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(data, tmp_path):
    first = fit_recipe(RECIPE, data, tmp_path / "run", num_workers=0)
    content = first.read_bytes()
    assert fit_recipe(RECIPE, data, tmp_path / "run", num_workers=0).read_bytes() == content
    first.unlink()  # as if it had been stopped right before the export
    exported = weights_of(fit_recipe(RECIPE, data, tmp_path / "run", num_workers=0))
    first.write_bytes(content)
    for name, tensor in weights_of(first).items():
        assert torch.equal(tensor, exported[name])


def test_another_recipe_is_refused_in_the_folder_of_a_run(data, tmp_path):
    (tmp_path / "run").mkdir()
    save_recipe(RECIPE, tmp_path / "run" / "recipe.yaml")
    with pytest.raises(ConfigError, match="another recipe"):
        fit_recipe(replace(RECIPE, seed=1), data, tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ndatasets: []", "at least one"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nstep: 3", "step"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nmax_steps: many", "max_steps"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nloss_weights: {edge: 1}", "edge"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nnetwork: {patch_size: 3}", "patch_size"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\ncrop_size: 100", "multiple of the network's stride"),
        ("name: [", "cannot be used"),
        ("name: x", "`datasets` is missing"),
        ("- name: x", "mapping of keys to values"),
        ("name: x\ndatasets: {a: ir}", "`datasets` must be a list"),
        ("name: x\ndatasets: [{a: ir, b: vi}]\nmax_step: 3", "Did you mean `max_steps`"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: heavy}]", r"`datasets\[0\].weight` must be a number"),
        ("name: x\ndatasets: [{a: ir, b: vi}]\nnetwork: {pixel_interaction: 1}", "true or false"),
        ("name: &x x\ndatasets: [{a: *x, b: vi}]", "alias"),
        ("name: x\ndatasets: [{a: ir, b: vi}]\nnetwork: {class_path: runs_code.Network}", "class_path"),
        ("name: x\ndatasets: [{a: ir, b: vi}]\nnetwork: runs_code.Network", "`network` must be a mapping"),
        ("name: !!python/object/apply:runs_code.run []", "could not determine a constructor"),
        ("x: " + "[" * 5000, "cannot be used"),
        ("# " + "x" * 2**20, "larger than"),
        ("name: ../x\ndatasets: [{a: ir, b: vi, weight: 1}]", "name"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 0}]", "weight"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nmax_steps: 0", "max_steps"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nseed: -1", "seed"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nprecision: foo", "precision"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\naugmentation: {max_scale: 0}", "max_scale"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nloss_weights: {edge_recall: -1}", "edge_recall"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nloss_weights: {edge_recall: .inf}", "edge_recall"),
        ("name: x\ndatasets: [{a: ir, b: vi, weight: 1}]\nlearning_rate: .inf", "learning_rate"),
    ],
)
def test_recipe_that_cannot_be_used_is_refused(tmp_path, monkeypatch, text, message):
    (tmp_path / "runs_code.py").write_text("raise SystemExit('a recipe ran code')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_all_that_is_wrong_with_a_recipe_is_said_at_once(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: a b\ndatasets: [{a: ir, b: vi}]\nmax_step: 3\nbatch_size: 0\nlearning_rate: fast\n"
        "augmentation: {max_scale: 0}\nnetwork: {patch_size: 3, pixel_interaction: 1}\n"
    )
    with pytest.raises(ConfigError) as refused:
        load_recipe(path)
    for key in ("name", "max_step", "batch_size", "learning_rate", "max_scale", "patch_size", "pixel_interaction"):
        assert f"`{key}`" in str(refused.value) or f".{key}`" in str(refused.value), key
    assert "`datasets`" not in str(refused.value)


def test_training_can_start_from_weights(tmp_path):
    model = RefineFuse.from_config(RECIPE.network)
    torch.nn.init.normal_(model.head.predict[0].weight)
    model.save_weights(tmp_path / "base.safetensors")
    task = FusionTask(replace(RECIPE, pretrained=str(tmp_path / "base.safetensors")))
    assert torch.equal(task.network.head.predict[0].weight, model.head.predict[0].weight)
    assert task.network.training
    with pytest.raises(ConfigError, match="do not fit the network"):
        FusionTask(
            replace(
                RECIPE, pretrained=str(tmp_path / "base.safetensors"), network=replace(RECIPE.network, patch_size=2)
            )
        )


def test_a_recipe_inherits_the_network_of_its_weights(tmp_path):
    RefineFuse.from_config(RECIPE.network).save_weights(tmp_path / "base.safetensors")
    path = tmp_path / "recipe.yaml"
    path.write_text(f"name: x\ndatasets: [{{a: ir, b: vi}}]\npretrained: {tmp_path / 'base.safetensors'}")
    assert load_recipe(path).network == RECIPE.network
    path.write_text(path.read_text() + "\nnetwork: {residual_bound: 0.5}")
    assert load_recipe(path).network == replace(RECIPE.network, residual_bound=0.5)


def test_recipes_by_name(tmp_path):
    assert load_recipe("medical").name == "medical"
    for missing in (tmp_path / "none.yaml", "infrared", "../settings"):
        with pytest.raises(ConfigError, match="name of a shipped recipe.\nNames:\n(.*\n)*.*'medical'"):
            load_recipe(missing)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "tpu"}, "must be auto, cpu, cuda, mps"),
        ({"devices": 0}, "`devices` must be 1 or more"),
        ({"num_nodes": 0}, "`num_nodes`"),
        ({"num_workers": -1}, "`num_workers` must be 0 or more"),
        ({"data_root": "nowhere"}, "folder of the datasets"),
        pytest.param(
            {"accelerator": "cuda"},
            "no cuda device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
        ),
    ],
)
def test_options_that_cannot_be_used_are_refused(data, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train(RECIPE, tmp_path / "run", **{"data_root": data, **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_train_is_quiet_unless_asked(data, tmp_path, capfd):
    recipe = replace(RECIPE, max_steps=2)
    path = train(recipe, tmp_path / "run", data_root=data, num_workers=0, accelerator="cpu")
    assert RefineFuse.from_pretrained(path).config == RECIPE.network
    assert "loss=" not in "".join(capfd.readouterr())
    train(recipe, tmp_path / "shown", data_root=data, num_workers=0, accelerator="cpu", progress=True)
    shown = "".join(capfd.readouterr())
    assert "training: 100%" in shown
    assert "loss=" in shown
    assert "v_num" not in shown


def test_every_tenth_pair_validates_and_is_not_trained_on(data):
    training_data = load_datasets(RECIPE, data)
    assert (len(training_data.training), len(training_data.weights), len(training_data.validation)) == (10, 10, 2)
    assert not any(np.array_equal(a, v) for a, _ in training_data.training for v, _ in training_data.validation)
    assert training_data.validation_names == ["ir/0.png", "ir/10.png"]


def test_an_unpaired_image_is_named(data):
    (data / "ir" / "3.png").unlink()
    with pytest.raises(PairingError, match=r"'vi/3\.png': unpaired"):
        load_datasets(RECIPE, data)


def test_pair_of_two_sizes_is_named(data):
    write_image(data / "ir" / "3.png", np.zeros((48, 65), np.uint8), overwrite=True)
    with pytest.raises(InputError, match=r"'ir/3\.png': a and b differ in size: 48 x 65 and 48 x 64"):
        load_datasets(RECIPE, data)


def test_images_smaller_than_the_crop_are_refused(data):
    with pytest.raises(InputError, match=r"'ir/1\.png': 48 x 64, smaller than the crop: 64 x 64"):
        load_datasets(replace(RECIPE, crop_size=64), data)


def test_missing_folder_is_named(data):
    shutil.rmtree(data / "vi")
    with pytest.raises(PairingError, match="vi"):
        load_datasets(RECIPE, data)


def crops(pairs, **options):
    given = {
        "size": 32,
        "crops": 2,
        "context_size": 8,
        "augmentation": Augmentation(),
        "length": 20,
        "seed": 0,
        **options,
    }
    return PairCropDataset(pairs, [1.0] * len(pairs), **given)


def test_crops_depend_on_seed_and_number_alone():
    pair = tuple(np.random.default_rng(0).integers(0, 256, (2, 50, 60), np.uint8))
    for one, two in zip(crops([pair])[7], crops([pair], length=9)[7], strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(crops([pair])[7].a, crops([pair], seed=1)[7].a)


def test_crops_stay_aligned_whatever_the_augmentation():
    plane = np.random.default_rng(0).integers(0, 256, (50, 60), np.uint8)
    for item in (crops([(plane, plane)], augmentation=Augmentation(degrade_visible_p=0))[i] for i in range(20)):
        assert torch.equal(item.a, item.b)
        assert torch.equal(item.stats_a, item.stats_b)


def test_lighting_changes_the_visible_image_alone():
    plane = np.full((50, 60), 128, np.uint8)
    batch = collate(
        [crops([(plane, plane)], augmentation=Augmentation(degrade_visible_p=1, max_scale=1))[i] for i in range(20)]
    )
    assert batch.a.shape == (40, 1, 32, 32)
    assert torch.equal(batch.a, torch.full_like(batch.a, 128 / 255))
    changed = (batch.b != 128 / 255).flatten(1).any(1)
    assert changed.float().mean() > 0.9
    assert 0 <= batch.b.min() <= batch.b.max() <= 1


def test_low_thermal_contrast_changes_the_infrared_image_alone():
    plane = np.random.default_rng(0).integers(60, 200, (50, 60), np.uint8)
    before, after = (crops([(plane, plane)], augmentation=Augmentation(0, weight, 1)) for weight in (0, 1))
    fainter = [(before[index], after[index]) for index in range(20)]
    assert all(torch.equal(after.b, after.reference_b) for _, after in fainter)
    assert sum(float(after.a.mean()) < float(after.b.mean()) for _, after in fainter) > 18
    assert all(after.a.min() >= 0 and after.a.max() <= 1 for _, after in fainter)


def test_the_eight_turns_are_eight():
    plane = np.arange(6).reshape(2, 3)
    assert (
        len({(rotated_or_flipped(plane, turn).shape, rotated_or_flipped(plane, turn).tobytes()) for turn in range(8)})
        == 8
    )
