"""What training reads: whole sets, lists, datasets of the catalog, and what to do with pairs that cannot be used."""

from dataclasses import replace

import numpy as np
import pytest

from refinefuse.errors import ConfigError, InputError, PairingError
from refinefuse.image.files import write_image

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.training.data_module import FusionDataModule
from refinefuse.training.datasets import load_datasets
from refinefuse.training.recipe import TrainingSet, load_recipe
from refinefuse.training.train import fit_recipe


def spoil(path):
    path.write_bytes(path.read_bytes()[:60])


def test_a_damaged_image_stops_the_run_and_is_named(data, tiny):
    spoil(data / "vi" / "3.png")
    with pytest.raises(InputError, match=r"1 training pairs cannot be used:\n  'ir/3\.png': Cannot read '.*vi/3\.png'"):
        load_datasets(tiny, data)


def test_what_cannot_be_used_is_skipped_if_the_recipe_says_so(data, tiny):
    spoil(data / "vi" / "3.png")
    (data / "ir" / "4.png").unlink()
    write_image(data / "ir" / "5.png", np.zeros((48, 65), np.uint8), overwrite=True)
    for folder in ("ir", "vi"):
        write_image(data / folder / "6.png", np.zeros((20, 64), np.uint8), overwrite=True)
    training_data = load_datasets(replace(tiny, on_bad_pair="skip"), data)
    assert list(training_data.skipped) == ["vi/4.png", "ir/3.png", "ir/5.png", "ir/6.png"]
    assert "smaller than the crop: 32 x 32" in training_data.skipped["ir/6.png"]
    assert not set(training_data.skipped) & set(training_data.names)
    assert len(training_data.training) == len(training_data.names) == len(training_data.weights) == 6
    assert sum(training_data.weights) == pytest.approx(1)


def test_nothing_that_can_be_used_is_refused(data, tiny):
    for path in (data / "ir").iterdir():
        spoil(path)
    with pytest.raises(PairingError, match="No pair of 'ir' with 'vi' can be used for training"):
        load_datasets(replace(tiny, on_bad_pair="skip"), data)


def test_lists_say_what_trains_and_what_validates(data, tiny):
    (data / "lists").mkdir()
    (data / "lists" / "train.txt").write_text("1\n2\n\n7\n")
    (data / "lists" / "val.txt").write_text("4\n")
    recipe = replace(tiny, datasets=[TrainingSet("ir", "vi", split_dir="lists")])
    training_data = load_datasets(recipe, data)
    assert training_data.names == ["ir/1.png", "ir/2.png", "ir/7.png"]
    assert training_data.validation_names == ["ir/4.png"]
    (data / "lists" / "val.txt").write_text("4\n99\n")
    with pytest.raises(PairingError, match="99': missing"):
        load_datasets(recipe, data)
    (data / "lists" / "val.txt").write_text("4\n7\n")
    with pytest.raises(InputError, match="share pairs"):
        load_datasets(recipe, data)


def test_a_data_set_of_the_catalog_trains_and_validates_by_its_lists(data, tiny):
    """IVmisc has six pairs in its lists; the seventh shows a test scene of TNO."""
    names = ["Dune", "Gun", "Kayak", "Road2", "T2", "T3", "Camp1"]
    for index, name in enumerate(names):
        for folder in ("ir", "vi"):
            (data / "IVmisc" / "train" / folder).mkdir(parents=True, exist_ok=True)
            target = data / "IVmisc" / "train" / folder / f"IFCNN_{name}.png"
            (data / folder / f"{index}.png").rename(target)
    training_data = load_datasets(replace(tiny, datasets=[TrainingSet(name="IVmisc")]), data)
    assert len(training_data.names) == 5
    assert training_data.validation_names == ["IVmisc/train/ir/IFCNN_Kayak.png"]
    assert not any("Camp1" in name for name in training_data.names)


def test_decoded_images_are_kept_in_a_file_and_used_again(data, tiny, monkeypatch):
    spoil(data / "vi" / "3.png")
    recipe = replace(tiny, on_bad_pair="skip")
    memory = load_datasets(recipe, data)
    first = load_datasets(recipe, data, data / "cache")
    monkeypatch.setattr("refinefuse.training.datasets._read", lambda pair: pytest.fail("decoded again"))
    again = load_datasets(recipe, data, data / "cache")
    for training_data in (first, again):
        assert (training_data.names, training_data.skipped) == (memory.names, memory.skipped)
        for one, two in zip(
            [*memory.training, *memory.validation], [*training_data.training, *training_data.validation], strict=True
        ):
            np.testing.assert_array_equal(one, two)
    assert sorted(path.suffix for path in (data / "cache").iterdir()) == [".json", ".luma"]
    assert isinstance(again.training[0][0].base, np.memmap)


def test_a_changed_image_is_decoded_again(data, tiny):
    load_datasets(tiny, data, data / "cache")
    write_image(data / "ir" / "3.png", np.full((48, 64), 9, np.uint8), overwrite=True)
    training_data = load_datasets(tiny, data, data / "cache")
    assert training_data.training[training_data.names.index("ir/3.png")][0].max() == 9


def test_names_of_a_step_are_those_that_it_draws(data, tiny):
    training_data = load_datasets(tiny, data)
    batches = FusionDataModule(tiny, training_data)
    order = [training_data.names[batches.crops.pair_of(index)] for index in range(4)]
    assert batches.names_of(0) + batches.names_of(1) == list(dict.fromkeys(order[:2])) + list(dict.fromkeys(order[2:]))


@pytest.mark.parametrize(
    "datasets",
    ["[{a: ir, weight: 1}]", "[{name: TNO, a: ir, b: vi}]", "[{name: TNO, split_dir: x}]", "[{}]", "[{nmae: TNO}]"],
)
def test_a_set_is_two_folders_or_a_name(tmp_path, datasets):
    (tmp_path / "r.yaml").write_text(f"name: x\ndatasets: {datasets}")
    with pytest.raises(ConfigError):
        load_recipe(tmp_path / "r.yaml")


def test_unknown_data_set_is_named(data, tiny):
    with pytest.raises(ConfigError, match="no dataset 'TON'"):
        load_datasets(replace(tiny, datasets=[TrainingSet(name="TON")]), data)
    with pytest.raises(PairingError, match="Cannot find the dataset 'TNO'"):
        load_datasets(replace(tiny, datasets=[TrainingSet(name="TNO")]), data)


@pytest.mark.filterwarnings("default")
def test_too_few_pairs_for_validation_are_reported(data, tiny, tmp_path, caplog, recwarn):
    for path in [*(data / "ir").iterdir(), *(data / "vi").iterdir()]:
        if int(path.stem) > 3:
            path.unlink()
    fit_recipe(replace(tiny, max_steps=1, val_check_interval=1), data, tmp_path / "run", num_workers=0)
    assert "No validation" in caplog.text
    assert not [warning for warning in recwarn if "Total length" in str(warning.message)]
