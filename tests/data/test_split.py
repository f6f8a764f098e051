"""Whole scenes on one side, the weights that were asked for, and always the same lists."""

import pytest
from made import scene

from refinefuse.data.near_duplicates import thumbnail
from refinefuse.data.split import read_list, scenes, split_by_scene, write_lists
from refinefuse.errors import ConfigError, InputError

FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}


def test_scenes_stay_together_and_fractions_are_met():
    by_name = {f"{scene}_{frame}": str(scene) for scene in range(40) for frame in range(5)}
    parts = split_by_scene(by_name, FRACTIONS, 0)
    assert sorted(name for names in parts.values() for name in names) == sorted(by_name)
    where = {part: {by_name[name] for name in names} for part, names in parts.items()}
    assert not where["train"] & where["val"] | where["train"] & where["test"] | where["val"] & where["test"]
    assert {part: len(names) for part, names in parts.items()} == {"train": 160, "val": 20, "test": 20}
    assert parts == split_by_scene(by_name, FRACTIONS, 0)
    assert parts != split_by_scene(by_name, FRACTIONS, 1)


def test_no_part_stays_empty():
    parts = split_by_scene({"a": "1", "b": "1", "c": "2", "d": "3"}, FRACTIONS, 0)
    assert all(parts.values())
    with pytest.raises(InputError, match="fewer scenes than splits"):
        split_by_scene({"a": "1", "b": "1"}, FRACTIONS, 0)
    assert split_by_scene({"a": "1", "b": "2"}, {"train": 0.5, "val": 0.5, "test": 0.0}, 0)["test"] == []


@pytest.mark.parametrize("weights", [{"train": 0.9, "val": 0.2}, {"train": 1.5, "val": -0.5}])
def test_invalid_fractions(weights):
    with pytest.raises(ConfigError, match="sum to 1"):
        split_by_scene({"a": "1", "b": "2"}, weights, 0)


def test_scenes_by_name():
    assert scenes(["v1_a", "v1_b", "v2_a", "x"], [], r"^(v\d)_") == ["v1", "v1", "v2", "x"]
    with pytest.raises(ConfigError, match="regular expression"):
        scenes(["a"], [], "(")


def test_scenes_by_content_join_pairs_through_either_image():
    one, other, third = (thumbnail(scene(seed)) for seed in range(3))
    different = [thumbnail(scene(seed)) for seed in range(10, 14)]
    pairs = [[one, different[0]], [different[1], other], [third, other], [different[2], different[3]], [one, third]]
    assert scenes(["a", "b", "c", "d", "e"], pairs) == ["a", "a", "a", "d", "a"]


def test_lists_are_written_and_read(tmp_path):
    paths = write_lists({"train": ["1", "x/2"], "val": ["3"], "test": []}, tmp_path / "lists")
    assert [path.name for path in paths] == ["train.txt", "val.txt"]
    assert read_list(paths[0]) == ["1", "x/2"]
    with pytest.raises(InputError, match="already exists"):
        write_lists({"train": ["1"]}, tmp_path / "lists")
    write_lists({"train": ["4"]}, tmp_path / "lists", overwrite=True)
    assert read_list(paths[0]) == ["4"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="empty"):
        read_list(tmp_path / "empty.txt")
    with pytest.raises(InputError, match="Cannot read"):
        read_list(tmp_path / "none.txt")
