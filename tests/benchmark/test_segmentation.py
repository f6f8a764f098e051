"""The segmentation study of a config, and several networks side by side."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "segmentation"))

pytest.importorskip("onnxruntime", reason="needs the extra `detection`")

from segmenters import write_segmenter

from refinefuse.benchmark.side_by_side import Measured, side_by_side
from refinefuse.cli.benchmark import run
from refinefuse.errors import ConfigError, InputError, PairingError
from refinefuse.image.files import write_image

CONFIG = """
title: A small study
methods:
  - {spec: average}
  - {spec: "folder:{data_root}/results/{dataset}/*"}
datasets:
  - {name: Set, a: ir, b: vi}
metrics: []
segmentation:
  network: ["{data_root}/first.onnx", "{data_root}/second.onnx"]
  labels:
    - {dataset: Set, format: mask, path: masks, classes: {"0": "", "1": pedestrian, "2": car, "9": "*"}}
  classes: [person, car]
  class_aliases: {pedestrian: person}
  subsets: {day: "*D", night: "*N"}
"""
NAMES = ("1D", "2D", "3N", "4N")


@pytest.fixture
def study(tmp_path):
    """Persons are red and cars are blue in the visible images, by night there are no persons; `Mine` is perfect."""
    data = tmp_path / "data"
    for folder in ("ir", "vi", "masks", "results/Set/Mine"):
        (data / folder).mkdir(parents=True)
    write_segmenter(data / "first.onnx")
    write_segmenter(data / "second.onnx", {"classes": ["road", "other", "car"]})
    for index, name in enumerate(NAMES):
        mask = np.zeros((32, 64), np.uint8)
        mask[8:24, 40:60] = 2
        mask[8:24, 4:14] = 1 if name[-1] == "D" else 0
        mine = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)], np.uint8)[mask]
        visible = mine.copy()
        visible[16:24] = 0  # half of everything is in the dark
        visible[2, 2] = mine[2, 2] = index  # no two are the same
        mask[0] = 9  # nobody knows what is there: the network says person
        visible[0] = mine[0] = (255, 0, 0)
        write_image(data / "vi" / f"{name}.png", visible)
        write_image(data / "ir" / f"{name}.png", np.full((32, 64), 20 + index, np.uint8))
        write_image(data / "masks" / f"{name}.png", mask)
        write_image(data / "results/Set/Mine" / f"{name}.png", mine)
    return data


def start(data, text=CONFIG):
    config = data.parent / "config.yaml"
    config.write_text(text)
    return run(config, output=data.parent / "out", data_root=data, num_workers=1)


def table(data, name):
    text = (data.parent / "out" / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row.pop(rows.fieldnames[0]): row for row in rows}


def test_what_networks_say_is_compared_with_masks(study, capsys):
    assert start(study) == 0
    out = capsys.readouterr().out
    assert "A segmentation network looked at 32 images; 0 reused" in out
    assert "second has no class person, so the mean is over the other classes" in out
    rows = table(study, "Set-first-segmentation")
    assert list(rows) == ["infrared", "visible", "Mine", "average"]
    assert float(rows["Mine"]["all: mIoU ↑"]) == 1
    assert float(rows["visible"]["day: person ↑"]) == pytest.approx(0.5)
    assert float(rows["visible"]["all: car ↑"]) == pytest.approx(0.5)
    assert rows["visible"]["night: person ↑"] == ""  # nothing to ask for
    assert float(rows["infrared"]["all: mIoU ↑"]) == 0
    assert float(rows["Mine"]["mIoU against average"]) == pytest.approx(1 - float(rows["average"]["all: mIoU ↑"]))
    both = table(study, "Set-networks")
    assert both["Mine"]["mean rank ↓"] == "1.0"
    assert "Set, segmentation by 2 networks" in (study.parent / "out" / "report.html").read_text(encoding="utf-8")


def test_no_image_is_segmented_twice(study, capsys):
    start(study)
    write_image(study / "masks" / "1D.png", np.full((32, 64), 2, np.uint8), overwrite=True)
    before = table(study, "Set-first-segmentation")
    capsys.readouterr()
    start(study)
    assert "A segmentation network looked at 8 images; 24 reused" in capsys.readouterr().out
    assert table(study, "Set-first-segmentation") != before


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("first.onnx", "nowhere.onnx", InputError, "segmentation network '.*' does not exist"),
        ("first.onnx", "*.pth", InputError, "network '.*' does not exist"),
        ('["{data_root}/first.onnx", "{data_root}/second.onnx"]', "[]", ConfigError, "at least one"),
        ("second.onnx", "first.onnx", ConfigError, "same name 'first'"),
        ("classes: [person, car]", "classes: [bus]", ConfigError, "do not contain bus"),
        ('"2": car', '"2": tree', ConfigError, "do not contain car"),
        ('"1": pedestrian', '"7": pedestrian', InputError, "contains an unknown class"),
        ("{pedestrian: person}", "{pedestrian: person, car: person, road: x}", ConfigError, "do not contain car"),
        ("format: mask", "format: yolo", ConfigError, "mask, for segmentation"),
        ("path: masks", "path: nowhere", InputError, "label folder"),
        ("{dataset: Set, format", "{dataset: Other, format", ConfigError, "of the datasets Set"),
    ],
)  # fmt: skip
def test_refusals(study, old, new, error, said):
    assert old in CONFIG
    with pytest.raises(error, match=said):
        start(study, CONFIG.replace(old, new))


def test_masks_of_other_images_or_sizes_are_refused(study):
    write_image(study / "masks" / "1D.png", np.zeros((32, 32), np.uint8), overwrite=True)
    with pytest.raises(InputError, match="does not fit its image"):
        start(study)
    for name in NAMES:
        (study / "masks" / f"{name}.png").rename(study / "masks" / f"other-{name}.png")
    with pytest.raises(PairingError, match="No label file has the name"):
        start(study)


def test_networks_side_by_side_rank_methods_and_pair_their_differences():
    def measured(value, *samples):
        return Measured(value, np.array(samples))

    networks = {
        "one": {"visible": measured(0.2, 0.2, 0.2), "ours": measured(0.5, 0.5, 0.6), "other": measured(0.4, 0.4, 0.5)},
        "two": {"visible": measured(0.1, 0.1, 0.1), "ours": measured(0.3, 0.3, 0.3), "other": measured(0.7, 0.7, 0.7),
                "absent": measured(1.0, 1.0, 1.0)},
    }  # fmt: skip
    first, differences = side_by_side("k", "t", "AP50", networks, ["ours", "absent"])
    assert [name for name, _ in first.rows] == ["visible", "other", "ours"]
    cells = dict(first.rows)
    assert [cell.text for cell in cells["ours"]] == ["0.500", "0.300", "0.400", "1.50"]
    assert [cell.mark for cell in cells["other"]] == ["second", "best", "best", "best"]
    assert [cell.text for cell in dict(differences.rows)["other"]] == [
        "+0.100 (+0.100 to +0.100)", "-0.400 (-0.400 to -0.400)", "-0.150 (-0.150 to -0.150)"
    ]  # fmt: skip
    assert [cell.mark for cell in dict(differences.rows)["other"]] == ["best", "second", "second"]
