"""The rows of the catalog, their lists, and where a dataset is found."""

import re
from collections import Counter
from fnmatch import fnmatchcase

import numpy as np
import pytest

from refinefuse.data.catalog import CATALOG, find_dataset
from refinefuse.data.layout import dataset_root, pairs_of, scene_of
from refinefuse.errors import ConfigError, PairingError
from refinefuse.image.files import write_image


@pytest.mark.parametrize("row", CATALOG.values(), ids=CATALOG)
def test_row_is_whole(row):
    assert all(getattr(row, name) for name in ("roots", "a", "b", "folders", "license", "citation", "source"))
    assert all(("*" in folders.a) == ("*" in folders.b) for folders in row.folders)
    re.compile(row.scene)


@pytest.mark.parametrize("row", CATALOG.values(), ids=CATALOG)
def test_lists_have_each_name_once_and_do_not_meet(row):
    lists = {split: row.lists.get(split, []) for split in ("train", "val", "test")}
    assert all(count == 1 for count in Counter(name for names in lists.values() for name in names).values())
    for split, names in lists.items():
        others = [pattern for other in lists if other != split for pattern in lists[other]]
        assert not [name for name in names if any(fnmatchcase(name, pattern) for pattern in others)]


def test_validation_scenes_are_not_trained_on():
    for name in ("LLVIP", "M3SVD", "harvard-ct", "harvard-pet", "harvard-spect"):
        row = CATALOG[name]
        scenes = {
            s: {scene_of(row, n.replace("?", "0").replace("*", "0")) for n in row.lists[s]} for s in ("train", "val")
        }
        assert not scenes["train"] & scenes["val"]
        assert "" not in scenes["train"] | scenes["val"]


def test_counts_of_the_published_subsets():
    counts = {split: len(names) for split, names in CATALOG["RoadScene"].lists.items()}
    assert counts["train"] + counts["val"] + counts["test"] == 219  # two are misaligned
    assert (counts["test"], counts["DIDFuse-train180"], counts["U2-10"]) == (50, 180, 10)
    assert len(CATALOG["MSRS"].lists["test"]) == 321
    assert len(CATALOG["VIFB"].lists["test"]) == 21


def make(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, np.zeros((8, 8), np.uint8))


def test_both_layouts_of_a_data_set_are_found(tmp_path):
    name = CATALOG["RoadScene"].lists["train"][0]
    make(tmp_path / "x" / "RoadScene", [f"{side}/{name}.png" for side in ("cropinfrared", "crop_LR_visible")])
    make(tmp_path / "y" / "RoadScene", [f"train/{side}/{name}.png" for side in ("ir", "vi")])
    for root in (tmp_path / "x", tmp_path / "y", tmp_path / "y" / "RoadScene"):
        assert [pair.name for pair in pairs_of(CATALOG["RoadScene"], root, "train")] == [name]


def test_folders_of_which_there_are_many(tmp_path):
    files = [f"set0{n}/V00{n}/{side}/I00000.png" for n in (1, 7) for side in ("lwir", "visible")]
    make(tmp_path / "KAIST", files)
    row = CATALOG["KAIST"]
    assert [pair.name for pair in pairs_of(row, tmp_path, "train")] == ["set01/V001/I00000"]
    assert [pair.name for pair in pairs_of(row, tmp_path, "test")] == ["set07/V007/I00000"]
    assert scene_of(row, "set07/V007/I00000") == "set07/V007"


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no dataset 'foo'"):
        find_dataset("foo")
    assert find_dataset("roadscene").name == "RoadScene"
    assert dataset_root(CATALOG["TNO"], tmp_path) is None
    with pytest.raises(PairingError, match="Cannot find the dataset 'TNO' in"):
        pairs_of(CATALOG["TNO"], tmp_path, "train")
    with pytest.raises(ConfigError, match="no split 'val'"):
        pairs_of(CATALOG["VIFB"], tmp_path, "val")
    make(tmp_path / "TNO", ["train/ir/other.png", "train/vi/other.png"])
    with pytest.raises(PairingError, match="no pairs of the split 'train'"):
        pairs_of(CATALOG["TNO"], tmp_path, "train")
