"""Every defect that a folder can have is found and named."""

import json
import shutil
from dataclasses import replace

import pytest
from made import jpeg, scene

from refinefuse.data import verify
from refinefuse.data.catalog import CATALOG
from refinefuse.data.near_duplicates import find_near_duplicates, thumbnail
from refinefuse.data.pairs import Pair
from refinefuse.data.verify import verify_folders, verify_root
from refinefuse.errors import InputError
from refinefuse.image.files import read_image, write_image


@pytest.fixture
def vifb(tmp_path):
    """A whole and sound VIFB, with images made here."""
    for index, name in enumerate(CATALOG["VIFB"].lists["test"]):
        for side, seed in (("ir", index), ("vi", 100 + index)):
            (tmp_path / "VIFB" / "test" / side).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "VIFB" / "test" / side / f"{name}.png", scene(seed, (60, 80)))
    return tmp_path


def kinds(report):
    return [finding.kind for finding in report.findings]


def test_a_sound_data_set(vifb):
    report = verify_root(vifb)
    assert report.pairs == {"VIFB test": 21}
    assert report.findings == []
    assert verify_root(vifb / "VIFB", "vifb").findings == []


def test_missing_pairs_are_named(vifb):
    for side in ("ir", "vi"):
        (vifb / "VIFB" / "test" / side / "fight.png").unlink()
    report = verify_root(vifb)
    assert kinds(report) == ["missing", "missing"]
    assert "20 pairs, but its authors publish 21" in report.findings[0].what
    assert report.findings[1].items == ["fight"]


def test_a_counterpart_under_a_similar_name_is_misnamed(vifb):
    folder = vifb / "VIFB" / "test" / "ir"
    (folder / "peopleshadow.png").rename(folder / "peopleShadow.png")
    (folder / "man.png").rename(folder / "man_ir.png")
    (folder / "fight.png").unlink()
    findings = verify_root(vifb).findings
    assert findings[0].kind == "misnamed"
    assert sorted(findings[0].items) == ["man_ir.png and man.png", "peopleShadow.png and peopleshadow.png"]
    assert (findings[1].kind, findings[1].items) == ("missing", ["fight.png"])


def test_unreadable_files_and_pairs_of_two_sizes(vifb):
    folder = vifb / "VIFB" / "test" / "vi"
    (folder / "man.png").write_bytes((folder / "man.png").read_bytes()[:99])
    write_image(folder / "snow.png", scene(7, (60, 90)), overwrite=True)
    report = verify_root(vifb)
    assert kinds(report) == ["unreadable", "size"]
    assert "man.png" in report.findings[0].items[0]
    assert report.findings[1].items == ["VIFB/snow: 60 x 80 and 60 x 90"]


def test_another_size_than_the_authors(tmp_path):
    for side in ("near", "far"):
        (tmp_path / "Lytro" / side).mkdir(parents=True)
        for name in CATALOG["Lytro"].lists["test"]:
            write_image(tmp_path / "Lytro" / side / f"{name}.png", scene(1, (52, 52)))
    findings = verify_root(tmp_path).findings
    assert [(finding.kind, finding.items) for finding in findings] == [("size", ["52 x 52"])]
    assert "520 x 520" in findings[0].what


def test_a_test_image_in_training_is_found_whatever_it_is_called(vifb):
    train = CATALOG["RoadScene"].lists["train"][:3]
    for index, name in enumerate(train):
        for side in ("ir", "vi"):
            (vifb / "RoadScene" / "train" / side).mkdir(parents=True, exist_ok=True)
            write_image(vifb / "RoadScene" / "train" / side / f"{name}.png", scene(200 + index, (60, 80)))
    leaked = read_image(vifb / "VIFB" / "test" / "vi" / "snow.png")
    write_image(vifb / "RoadScene" / "train" / "vi" / f"{train[1]}.png", jpeg(leaked)[:, ::-1].copy(), overwrite=True)
    leak = [finding for finding in verify_root(vifb).findings if finding.kind == "leak"]
    assert len(leak) == 1
    assert leak[0].items[0].startswith(f"VIFB/snow is like RoadScene/{train[1]} (")


def test_scenes_on_both_sides_are_found_by_their_names(tmp_path):
    seeds = iter(range(100))
    for number in (0, 6):
        for side in ("lwir", "visible"):
            folder = tmp_path / "KAIST" / f"set0{number}" / "V000" / side
            folder.mkdir(parents=True)
            write_image(folder / "I00000.png", scene(next(seeds), (60, 80)))
    assert "leak" not in kinds(verify_root(tmp_path))
    row = replace(CATALOG["KAIST"], scene=r"/(V\d+)/")  # as if a video were in several sets
    found = [verify._Found(row, split, Pair(f"{split}/V000/I0", tmp_path, tmp_path)) for split in ("train", "test")]
    assert [finding.items for finding in verify._leaks(found)] == [["V000"]]


def test_own_folders(tmp_path):
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        for index in range(4):
            write_image(tmp_path / side / f"{index}.png", scene(index + 10 * (side == "b"), (60, 80)))
    assert verify_folders(tmp_path / "a", tmp_path / "b").findings == []
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "a" / "3.png")
    findings = verify_folders(tmp_path / "a", tmp_path / "b").findings
    assert [finding.kind for finding in findings] == ["leak"]
    assert findings[0].items[0].startswith("0 is like 3 (1.00)")


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no dataset of the catalog"):
        verify_root(tmp_path)


@pytest.mark.slow
def test_the_documented_overlaps_of_the_medical_sets_are_found(data_folder):
    """Slices of CDDFuse's test sets that other copies of the atlas have too, by a published comparison."""
    documented = json.loads((data_folder / "splits" / "harvard_cddfuse_overlap.json").read_text())
    hit, false, total = 0, 0, 0
    for kind, test, function in (
        ("CT-MRI", "MRI_CT", "CT"),
        ("PET-MRI", "MRI_PET", "PET"),
        ("SPECT-MRI", "MRI_SPECT", "SPECT"),
    ):
        known = {row["cdd"].removesuffix(".png") for row in documented[kind] if row["corr"] > 0.95}
        found = set()
        for role in ("MRI", function):
            ours = sorted((data_folder / "harvard_cddfuse" / test / role).iterdir())
            theirs = [
                path for part in ("train", "test") for path in (data_folder / "harvard" / kind / part / role).iterdir()
            ]
            matches = find_near_duplicates(
                [thumbnail(read_image(path)) for path in ours], [thumbnail(read_image(path)) for path in theirs]
            )
            found |= {ours[match.left].stem for match in matches}
        there = {path.stem for path in (data_folder / "harvard_cddfuse" / test / "MRI").iterdir()}
        hit, false, total = hit + len(found & known), false + len(found - known), total + len(known & there)
    assert (hit, false, total) == (81, 0, 81)
