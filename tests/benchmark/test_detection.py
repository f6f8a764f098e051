"""The detection study of a config: what it gives, what it keeps, and what it refuses."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "detection"))

pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
pytest.importorskip("faster_coco_eval", reason="needs the extra `detection`")

from networks import bright_blocks, write_yolox

from refinefuse.benchmark.config import load_benchmark_config
from refinefuse.cli.benchmark import run
from refinefuse.errors import ConfigError, InputError, PairingError
from refinefuse.image.files import write_image

CONFIG = """
title: A small study
methods:
  - {spec: maximum}
  - {spec: average}
  - {spec: "folder:{data_root}/results/{dataset}/*"}
datasets:
  - {name: Set, a: ir, b: vi}
metrics: []
scenes: 1
detection:
  detector: "{data_root}/yolox.onnx"
  labels:
    - {dataset: Set, format: yolo, path: labels, classes: {"0": truck, "1": vehicle}}
  classes: [vehicle]
  class_aliases: {car: vehicle}
  subsets: {day: "*D", night: "*N"}
"""
NAMES = ("1D", "2D", "3N", "4N")


@pytest.fixture
def study(tmp_path):
    """A block that only the infrared shows by night, and one that only the visible shows by day, each labeled."""
    data = tmp_path / "data"
    for folder in ("ir", "vi", "labels", "results/Set/Mine"):
        (data / folder).mkdir(parents=True)
    write_yolox(data / "yolox.onnx")
    for index, name in enumerate(NAMES):
        shows = {"D": "vi", "N": "ir"}[name[-1]]
        for folder in ("ir", "vi"):
            image = bright_blocks(64, 64, *([(24, 40)] if folder == shows else []))
            image[0, index] = 9 if folder == "vi" else 5  # no two are the same
            write_image(data / folder / f"{name}.png", image if folder == "vi" else image[..., 0])
        (data / "labels" / f"{name}.txt").write_text("1 0.4375 0.6875 0.25 0.125\n")
        mine = np.zeros((64, 64), np.uint8)
        mine[1, index] = 1
        write_image(data / "results/Set/Mine" / f"{name}.png", mine)
    return data


def start(data, text=CONFIG, num_workers=1):
    config = data.parent / "config.yaml"
    config.write_text(text)
    return run(config, output=data.parent / "out", data_root=data, num_workers=num_workers)


def table(data, name):
    lines = (data.parent / "out" / "tables" / f"{name}.csv").read_text().splitlines()
    keys = lines[0].split(",")
    rows = (dict(zip(keys, line.split(","), strict=True)) for line in lines[1:])
    return {
        row[""]: {key: float(value) for key, value in row.items() if "AP" in key and value and "to" not in value}
        for row in rows
    }


def test_each_sensor_misses_what_the_other_shows_and_the_maximum_nothing(study, capsys):
    assert start(study) == 0
    out = capsys.readouterr().out
    assert "A detector looked at 20 images; 0 reused" in out
    rows = table(study, "Set-detection")
    assert list(rows)[:3] == ["infrared", "visible", "maximum"]
    assert (rows["infrared"]["day: AP50 ↑"], rows["infrared"]["night: AP50 ↑"]) == pytest.approx((0, 1))
    assert (rows["visible"]["day: AP50 ↑"], rows["visible"]["night: AP50 ↑"]) == pytest.approx((1, 0))
    assert rows["maximum"]["all: AP50:95 ↑"] == pytest.approx(1)
    assert rows["Mine"]["all: AP50 ↑"] == 0
    folder = study.parent / "out"
    boxes = json.loads((folder / "boxes" / "Set" / "maximum.json").read_text())
    assert len(boxes["images"]) == 4
    assert {entry["name"] for entry in boxes["categories"]} == {"vehicle"}
    assert list((folder / "grids").glob("Set-*-boxes.png"))
    assert "Set, detection" in (folder / "report.html").read_text(encoding="utf-8")


def test_what_is_missed_is_counted_and_shown(study, capsys):
    start(study)
    folder = study.parent / "out"
    lines = (folder / "tables" / "Set-missed.csv").read_text().splitlines()
    assert lines[0].startswith(",all 4 ↓,")
    missed = {line.split(",")[0]: line.split(",")[1] for line in lines[1:]}
    assert missed == {
        "infrared": "0.5",
        "visible": "0.5",
        "maximum": "0.0",
        "average": missed["average"],
        "Mine": "1.0",
    }
    page = (folder / "missed-Set.html").read_text(encoding="utf-8")
    assert "4 of 4 labeled objects are missed in at least one of infrared, visible, maximum" in page
    cards = re.findall(r"data-missed='(.*?)' data-values='(.*?)'.*?</div>\s*(\w+),", page, re.DOTALL)
    assert {name: json.loads(rows) for rows, _, name in cards} == {
        "1D": ["infrared"], "2D": ["infrared"], "3N": ["visible"], "4N": ["visible"]
    }  # fmt: skip
    values = {name: json.loads(text) for _, text, name in cards}
    assert values["1D"]["size"] == pytest.approx(128**0.5, abs=0.1)
    assert values["1D"]["light"] > 100 > 20 > values["3N"]["light"]
    assert values["1D"]["contrast in visible"] > 50 > 10 > values["1D"]["contrast in infrared"]
    assert "missed-Set.html" in (folder / "report.html").read_text(encoding="utf-8")


def test_nothing_is_looked_at_twice(study, capsys):
    start(study)
    before = table(study, "Set-detection")
    write_image(study / "results/Set/Mine/1D.png", bright_blocks(64, 64, (24, 40)), overwrite=True)
    capsys.readouterr()
    start(study)
    assert "A detector looked at 1 images; 19 reused" in capsys.readouterr().out
    after = table(study, "Set-detection")
    assert {name for name in before if before[name] != after[name]} == {"Mine"}
    start(study, CONFIG + "  gray: true\n")
    assert "A detector looked at 20 images; 20 reused" in capsys.readouterr().out
    assert "maximum" in table(study, "Set-gray")


@pytest.mark.slow
def test_several_processes_give_the_same(study, capsys):
    start(study, num_workers=2)
    several = table(study, "Set-detection")
    start(study)
    assert "0 images; 20 reused" in capsys.readouterr().out
    assert table(study, "Set-detection") == several


def test_boxes_that_were_found_elsewhere(study, capsys):
    start(study)
    looked = table(study, "Set-detection")
    text = CONFIG.replace("{data_root}/yolox.onnx", f"{study.parent}/out/boxes/{{dataset}}/{{method}}.json")
    (study.parent / "out" / "boxes" / "Set" / "average.json").unlink()
    assert start(study, text) == 0
    read = table(study, "Set-detection")
    assert read == {name: row for name, row in looked.items() if name != "average"}
    with pytest.raises(PairingError, match="No method has boxes"):
        start(study, CONFIG.replace("yolox.onnx", "{method}.json"))


def test_several_detectors_are_compared(study, capsys):
    write_yolox(study / "second.onnx", decoded=True)
    (study / "second.txt").write_text("\n".join(f"class{n}" if n != 2 else "car" for n in range(80)))
    text = CONFIG.replace('"{data_root}/yolox.onnx"', '["{data_root}/*.onnx", "found/{dataset}/{method}.json"]')
    boxes = study.parent / "out" / "boxes"
    with pytest.raises(PairingError, match="No method has boxes"):
        start(study, text)
    start(study)
    text = text.replace("found/", f"{boxes}/")
    capsys.readouterr()
    assert start(study, text) == 0
    assert "A detector looked at 0 images; 60 reused" in capsys.readouterr().out
    rows = {name: list(row.values()) for name, row in table(study, "Set-detectors").items()}
    assert rows["maximum"][0] == rows["maximum"][1] == rows["maximum"][2] == rows["maximum"][3] == pytest.approx(1)
    header = (study.parent / "out" / "tables" / "Set-detectors.md").read_text().splitlines()[2]
    assert header == "|  | second: AP50 ↑ | yolox: AP50 ↑ | boxes: AP50 ↑ | mean: AP50 ↑ | mean rank ↓ |"
    assert table(study, "Set-second-detection") == table(study, "Set-yolox-detection")
    assert (boxes / "second" / "Set" / "maximum.json").is_file()
    assert (study.parent / "out" / "missed-Set-second.html").is_file()


def test_a_method_that_lacks_images_is_said_and_left_out(study, capsys):
    (study / "results/Set/Mine/1D.png").unlink()
    assert start(study) == 0
    assert "Mine lacks 1 of 4 labeled images" in capsys.readouterr().out
    assert "Mine" not in table(study, "Set-detection")


def test_images_without_labels_are_no_part_of_it(study, capsys):
    (study / "labels" / "1D.txt").unlink()
    (study / "labels" / "2D.txt").write_text("")
    assert start(study) == 0
    text = (study.parent / "out" / "tables" / "Set-detection.md").read_text()
    assert "3 images with 2 of vehicle" in text
    rows = table(study, "Set-detection")
    assert "day: AP50 ↑" not in rows["maximum"]  # no label asks: nothing to say


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ('"{data_root}/yolox.onnx"', "[]", ConfigError, "at least one"),
        ("yolox.onnx", "*.pt", InputError, "detector '.*' does not exist"),
        ("classes: [vehicle]", "classes: []", ConfigError, "at least one class"),
        ("{dataset: Set, format: yolo", "{dataset: Other, format: yolo", ConfigError, "of the datasets Set"),
        ("format: yolo", "format: pascal", ConfigError, "pascal"),
        (', classes: {"0": truck, "1": vehicle}', "", ConfigError, "got: neither"),
        (', classes: {"0": truck, "1": vehicle}', ", classes_from: TNO", ConfigError, "got: TNO, with neither"),
        ('"1": vehicle', '"2": vehicle', InputError, "contains an unknown class"),
        ("path: labels", "path: vi", PairingError, "No label file has the name"),
        ("path: labels", "path: nowhere", InputError, "label folder"),
        ("{data_root}/yolox.onnx", "{data_root}/no.onnx", InputError, "does not exist"),
        ("{spec: average}", "{spec: average, name: visible}", ConfigError, "are the names of the sources"),
        ("metrics: []", "metrics: []\ngrids: [{dataset: Set, image: 9}]", ConfigError, "image"),
        ("metrics: []", "metrics: []\ngrids: [{dataset: Set, image: '9'}]", InputError, "names the pair '9'"),
    ],
)  # fmt: skip
def test_refusals(study, old, new, error, said, capsys):
    assert old in CONFIG
    with pytest.raises(error, match=said):
        start(study, CONFIG.replace(old, new))


def test_a_config_without_metrics_needs_a_study(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.partition("detection:")[0])
    with pytest.raises(ConfigError, match="at least one metric"):
        load_benchmark_config(path)
