"""Fine-tuning a detector on pairs that are fused on the way: a tiny one, on a CPU."""

import json
from dataclasses import replace

import numpy as np
import pytest
from networks import bright_blocks, write_transformer

pytest.importorskip("lightning", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `detection`")
pytest.importorskip("scipy", reason="needs the extra `detection`")

from refinefuse import settings
from refinefuse.benchmark.detection import seen_by
from refinefuse.benchmark.image_datasets import PathVariables
from refinefuse.cli import main
from refinefuse.detection.datasets import DetectionDataset, read_samples
from refinefuse.detection.detectors import open_detector
from refinefuse.detection.labels import class_mapping
from refinefuse.detection.recipe import load_detector_recipe
from refinefuse.errors import ConfigError
from refinefuse.image.files import read_image, write_image

RECIPES = sorted((settings.RECIPES / "detection").glob("*.yaml"))


@pytest.fixture
def made(tmp_path):
    """A folder of data, a recipe of three steps, and a detector to start from."""
    for folder in ("ir", "vi", "labels"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "ir" / "5.png", np.zeros((48, 64), np.uint8))
    write_image(tmp_path / "vi" / "5.png", np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "labels" / "5.txt").write_text("")  # an image without objects
    for index in range(5):
        left = 8 * index
        write_image(tmp_path / "ir" / f"{index}.png", bright_blocks(48, 64, (left, 16))[..., 0])
        write_image(tmp_path / "vi" / f"{index}.png", np.full((48, 64, 3), (30, 60, 90), np.uint8))
        (tmp_path / "labels" / f"{index}.txt").write_text(f"1 {(left + 4) / 64} {20 / 48} 0.125 {8 / 48}\n")
    write_transformer(tmp_path / "pretrained")
    text = f"""
pretrained: {tmp_path}/pretrained
classes: [car]
datasets:
  - {{a: ir, b: vi, format: yolo, path: labels, classes: {{"0": person, "1": car}}}}
max_steps: 3
batch_size: 2
"""
    (tmp_path / "recipe.yaml").write_text(text)
    return tmp_path


def start(made, *words):
    command = [
        "detect",
        "train",
        made / "recipe.yaml",
        "-o",
        made / "out",
        "--data-root",
        made,
        "--accelerator",
        "cpu",
        *words,
    ]
    return main([str(word) for word in command])


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_shipped_recipe_can_be_read(path):
    entry = load_detector_recipe(path).datasets[0]
    assert class_mapping(entry.format, entry.classes_from, entry.classes)


@pytest.mark.parametrize("kind", ["RT-DETR", "D-FINE"])
def test_a_detector_comes_out_that_can_be_used(made, kind, capsys):
    write_transformer(made / "pretrained", kind)
    assert start(made, "--method", "maximum") == 0
    out = made / "out"
    find = open_detector(out / "detector")
    assert find.names == ("car",)
    assert set(find(read_image(out / "fused" / "0" / "1.png")).classes) <= {"car"}
    assert read_image(out / "fused" / "0" / "1.png").shape == (48, 64, 3)
    assert load_detector_recipe(out / "recipe.yaml").method == "maximum"
    first = (out / "detector" / "model.safetensors").read_bytes()
    assert (made / "pretrained" / "model.safetensors").read_bytes() != first
    assert start(made, "--method", "maximum") == 0  # done already
    assert (out / "detector" / "model.safetensors").read_bytes() == first
    assert start(made, "--method", "average") == 2
    assert "another recipe" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_was_stopped_resumes_to_the_same_detector(made, monkeypatch, capsys):
    from refinefuse.detection import train

    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 1)
    assert start(made, "--method", "average") == 0
    whole = (made / "out" / "detector" / "model.safetensors").read_bytes()
    (made / "out").rename(made / "whole")
    real = train.DetectorTask.training_step

    def stopping(self, batch, index):
        if self.global_step == 2:
            raise FloatingPointError("stopped")
        return real(self, batch, index)

    monkeypatch.setattr(train.DetectorTask, "training_step", stopping)
    assert start(made, "--method", "average") == 2
    assert "The checkpoint of step 2 is kept" in capsys.readouterr().err
    monkeypatch.setattr(train.DetectorTask, "training_step", real)
    assert start(made, "--method", "average") == 0
    assert (made / "out" / "detector" / "model.safetensors").read_bytes() == whole


def test_a_sensor_alone_is_seen_as_it_is(made):
    variables = PathVariables(made, made)
    a, b = read_image(made / "ir" / "1.png"), read_image(made / "vi" / "1.png")
    infrared = seen_by("infrared", variables)(a, b)
    assert np.array_equal(infrared, np.repeat(a[..., None], 3, -1))
    assert np.array_equal(seen_by("visible", variables)(a, b), b)
    fused = seen_by("average", variables)(a, b)
    assert (fused[..., 2] > fused[..., 0]).all()
    with pytest.raises(ConfigError, match="exactly one runnable method"):
        seen_by("classical", variables)


def test_boxes_turn_with_their_image(made):
    recipe = load_detector_recipe(made / "recipe.yaml")
    samples = read_samples(recipe, made, made / "fused")
    for sample in samples:
        sample.image.parent.mkdir(exist_ok=True, parents=True)
        write_image(sample.image, np.repeat(read_image(sample.a)[..., None], 3, -1))
    from refinefuse.detection.transformer import load

    drawn = DetectionDataset(samples, replace(recipe, max_steps=10), load(made / "pretrained")[1])
    flips = set()
    for index in range(10):
        image, target = drawn[index]
        sample, flipped = drawn.of(index)
        flips.add(flipped)
        if not len(sample.boxes):
            assert target["boxes"].shape == (0, 4)
            continue
        bright = image[0].argmax() % image.shape[-1] / image.shape[-1]
        x, _, width, _ = target["boxes"][0].tolist()
        assert x - width / 2 - 0.02 <= bright <= x + width / 2 + 0.02
        assert target["class_labels"].tolist() == [0]
    assert flips == {True, False}
    assert sorted(drawn.of(i)[0].name for i in range(6)) == sorted(sample.name for sample in samples)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_steps: 3", "max_steps: 0", "1 or more"),
        ("classes: [car]", "classes: [car, car]", "different names"),
        ("classes: [car]", "classes: [lamp]", "has a label of the classes lamp"),
        (', classes: {"0": person, "1": car}', "", "classes of the labels are unknown"),
        ("path: labels", "path: nowhere", "label folder"),
        ("/pretrained\n", "/nowhere\n", "does not exist"),
        ("max_steps: 3", "max_stepps: 3", "max_stepps"),
    ],
)
def test_refusals(made, capsys, old, new, said):
    recipe = made / "recipe.yaml"
    assert old in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(old, new))
    assert start(made, "--method", "average") == 2
    assert said in capsys.readouterr().err


def test_a_detector_that_keeps_proportions_is_refused(made, capsys):
    path = made / "pretrained" / "preprocessor_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "size": {"shortest_edge": 32, "longest_edge": 64}}))
    assert start(made, "--method", "average") == 2
    assert "images to the same size" in capsys.readouterr().err


def test_no_method_and_no_data_are_refused(made, capsys, monkeypatch):
    monkeypatch.delenv("REFINEFUSE_DATA", raising=False)
    assert start(made) == 2
    assert "names no method" in capsys.readouterr().err
    assert main(["detect", "train", str(made / "recipe.yaml"), "-o", str(made / "out")]) == 2
    assert "folder of the datasets" in capsys.readouterr().err
