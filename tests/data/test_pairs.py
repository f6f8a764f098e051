from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse.data.pairs import Pair, check_distinct, pair_folders
from refinefuse.data.timestamps import seconds_of
from refinefuse.errors import PairingError


@pytest.fixture
def folders(tmp_path):
    """Makes two folders of (empty) files: the names alone matter."""

    def make(a, b):
        for folder, names in (("a", a), ("b", b)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name in names:
                (tmp_path / folder / name).touch()
        return tmp_path / "a", tmp_path / "b"

    return make


def names(pairing):
    return [pair.name for pair in pairing.pairs]


def test_by_name_without_extension(folders):
    a, b = folders(["1.png", "x.y.TIF"], ["1.jpg", "x.y.png"])
    pairing = pair_folders(a, b)
    assert pairing.pairs == (Pair("1", a / "1.png", b / "1.jpg"), Pair("x.y", a / "x.y.TIF", b / "x.y.png"))
    assert pairing.only_a == pairing.only_b == ()


def test_natural_order(folders):
    files = ["f10.png", "f9.png", "f1.png", "10.png", "f1b2.png", "f01.png", "g.png", "2.png"]
    expected = ["2", "10", "f01", "f1", "f1b2", "f9", "f10", "g"]
    assert names(pair_folders(*folders(files, files))) == expected


def test_what_is_left_over(folders):
    pairing = pair_folders(*folders(["1.png", "10.png", "9.png"], ["1.png", "x.bmp"]))
    assert names(pairing) == ["1"]
    assert pairing.only_a == ("9.png", "10.png")
    assert pairing.only_b == ("x.bmp",)


def test_other_files_are_passed_over(folders):
    a, b = folders(["1.png", ".1.jpg", "1.txt", "Thumbs.db", ".refinefuse-0.tmp"], ["1.webp", "1.json"])
    (a / "folder.png").mkdir()
    pairing = pair_folders(str(a), str(b))
    assert names(pairing) == ["1"]
    assert pairing.only_a == pairing.only_b == ()


def test_one_folder_twice(folders):
    a, _ = folders(["1.png"], [])
    assert names(pair_folders(a, a)) == ["1"]


def test_case_matters_for_names_but_not_for_extensions(folders):
    pairing = pair_folders(*folders(["A.PNG", "b.png"], ["A.jpeg", "B.png"]))
    assert names(pairing) == ["A"]
    assert pairing.only_a == ("b.png",)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
def test_numbers_are_in_order(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("numbers")
    for number in numbers:
        (folder / f"frame{number}.png").touch()
    assert names(pair_folders(folder, folder)) == [f"frame{number}" for number in sorted(numbers)]


def test_a_name_twice_in_one_folder(folders):
    a, b = folders(["1.png"], ["1.png", "1.jpg"])
    with pytest.raises(PairingError, match="differ only in the extension") as caught:
        pair_folders(a, b)
    assert str(b) in str(caught.value)
    assert "'1.jpg'" in str(caught.value)
    assert "'1.png'" in str(caught.value)


def test_no_name_in_common_shows_both_sides(folders):
    a, b = folders([f"left{i}.png" for i in range(9)], ["right0.png"])
    with pytest.raises(PairingError, match="share no file name") as caught:
        pair_folders(a, b)
    message = str(caught.value)
    assert all(part in message for part in (str(a), str(b), "(9)", "(1)", "'left0.png'", "'right0.png'", "and 4 more"))


def test_folder_without_images(folders):
    with pytest.raises(PairingError, match="contains no images"):
        pair_folders(*folders(["1.png"], ["1.txt"]))
    with pytest.raises(PairingError, match="contains no images"):
        pair_folders(*folders([], []))


@pytest.mark.parametrize(("name", "reason"), [("missing", "does not exist"), ("a/1.png", "it is a file")])
def test_no_folder(folders, tmp_path, name, reason):
    a, _ = folders(["1.png"], [])
    with pytest.raises(PairingError, match=reason) as caught:
        pair_folders(a, Path(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("in_a", "in_b", "expected"),
    [
        (["00001_ir", "00002_ir"], ["00001_vis", "00002_vis"], ["00001", "00002"]),
        (["IR1", "IR10"], ["VIS1", "VIS10"], ["1", "10"]),
        (["thermal-7", "thermal-8"], ["RGB-8"], ["8"]),
        (["scene.infrared"], ["scene.visible"], ["scene"]),
    ],
)
def test_words_that_name_a_sensor_are_left_out(folders, in_a, in_b, expected):
    pairing = pair_folders(*folders([f"{name}.png" for name in in_a], [f"{name}.jpg" for name in in_b]))
    assert names(pairing) == expected


@pytest.mark.parametrize(
    ("in_a", "in_b"),
    [
        (["ir_1", "1_ir"], ["vis_1"]),  # two files of one name then
        (["first"], ["visfirst"]),  # no word of its own
        (["ir"], ["vis"]),  # nothing is left of them
        (["ir_1"], ["vis_2"]),
    ],
)
def test_ambiguous_sensor_words_pair_nothing(folders, in_a, in_b):
    with pytest.raises(PairingError, match="share no file name"):
        pair_folders(*folders([f"{name}.png" for name in in_a], [f"{name}.png" for name in in_b]))


def test_pairs_by_a_pattern(folders):
    a, b = folders(["cam-000010-9f3a.png", "cam-000011-77aa.png", "x.png"], ["cam-000010-c0de.png"])
    pairing = pair_folders(a, b, pair_by=r"-(\d{6})-")
    assert pairing.pairs == (Pair("000010", a / "cam-000010-9f3a.png", b / "cam-000010-c0de.png"),)
    assert pairing.only_a == ("cam-000011-77aa.png",)
    assert names(pair_folders(a, b, pair_by=r"\d{6}")) == ["000010"]
    with pytest.raises(PairingError, match="same key 'cam'"):
        pair_folders(a, b, pair_by="cam")
    with pytest.raises(PairingError, match="not a regular expression"):
        pair_folders(a, b, pair_by="(")


def test_images_in_sub_folders_only(folders):
    a, b = folders([], ["1.png"])
    (a / "day").mkdir()
    (a / "day" / "1.png").touch()
    with pytest.raises(PairingError, match="only in its subfolders:\n  'day'"):
        pair_folders(a, b)


def test_the_same_source_twice(folders, tmp_path):
    a, b = folders(["1.png"], ["1.png"])
    check_distinct(a, b)
    check_distinct(tmp_path / "none", b)
    (tmp_path / "link").symlink_to(a)
    for other in (a, a / ".." / "a", tmp_path / "link"):
        with pytest.raises(PairingError, match="Both sources are"):
            check_distinct(a, other)


def test_images_in_sub_folders_with_recursive(folders):
    a, b = folders([], [])
    for folder, extension in ((a, "png"), (b, "jpg")):
        for name in ("day", "night/late", ".hidden"):
            (folder / name).mkdir(parents=True)
            (folder / name / f"1.{extension}").touch()
    (a / "day/loop").symlink_to(a)
    (a / "day/2.png").touch()
    pairing = pair_folders(a, b, recursive=True)
    assert pairing.pairs[0] == Pair("day/1", a / "day/1.png", b / "day/1.jpg")
    assert names(pairing) == ["day/1", "night/late/1"]
    assert pairing.only_a == ("day/2.png",)


def test_pairs_by_time(folders):
    a, b = folders(["ir_10.00.png", "ir_10.10.png", "ir_11.00.png"], ["vi_10.02.png", "vi_10.11.png", "vi_12.00.png"])
    pairing = pair_folders(a, b, pair_by="time:0.05")
    assert [(pair.a.name, pair.b.name) for pair in pairing.pairs] == [
        ("ir_10.00.png", "vi_10.02.png"),
        ("ir_10.10.png", "vi_10.11.png"),
    ]
    assert pairing.only_a == ("ir_11.00.png",)
    assert pairing.only_b == ("vi_12.00.png",)


def test_two_files_near_to_one_are_not_both_its_pair(folders):
    pairing = pair_folders(*folders(["1.00.png", "1.02.png"], ["1.03.png"]), pair_by="time:1")
    assert [(pair.a.name, pair.b.name) for pair in pairing.pairs] == [("1.02.png", "1.03.png")]
    assert pairing.only_a == ("1.00.png",)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("ir_20240506_070809_250", 1714979289.25),
        ("2024-05-06T07-08-09", 1714979289.0),
        ("frame_1714979289123456789", 1714979289.123456789),
        ("frame_1714979289123456", 1714979289.123456),
        ("cam1_1714979289123", 1714979289.123),
        ("cam1_20.5", 20.5),
        ("20249999_999999", 20249999),
        ("none", None),
    ],
)
def test_times_of_names(name, seconds):
    assert seconds_of(name) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "message"), [("time:soon", "tolerance"), ("time:-1", "tolerance"), ("time:1", "x.png")]
)
def test_times_that_cannot_be_used(folders, rule, message):
    with pytest.raises(PairingError, match=message):
        pair_folders(*folders(["x.png"], ["1.png"]), pair_by=rule)
