"""`refinefuse detect`: one pair from files to a montage, and what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "detection"))

from networks import bright_blocks, write_yolox

from refinefuse.image.files import read_image, write_image

pytest.importorskip("onnxruntime", reason="needs the extra `detection`")


@pytest.fixture
def pair(tmp_path):
    """An infrared image with one bright block, a visible one with another, and a detector."""
    write_image(tmp_path / "ir.png", bright_blocks(64, 64, (24, 40))[..., 0])
    write_image(tmp_path / "vi.png", bright_blocks(64, 64, (48, 8)))
    write_yolox(tmp_path / "yolox.onnx")
    return tmp_path


def test_a_montage_and_boxes(pair, run):
    words = ("detect", pair / "ir.png", pair / "vi.png", "--detector", pair / "yolox.onnx", "-o", pair / "montage.png")
    code, out, err = run(*words, "--json", pair / "boxes.json", "--classes", "car")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith("ir.png: 1 car")
    assert lines[1].endswith("vi.png: 1 car")
    assert lines[2] == "fused: 2 car"
    assert read_image(pair / "montage.png").shape == (64 + 22, 3 * 64 + 12, 3)
    content = json.loads((pair / "boxes.json").read_text())
    assert [Path(image["file_name"]).name for image in content["images"]] == ["ir.png", "vi.png", "fused"]
    assert [entry["name"] for entry in content["categories"]] == ["car"]
    assert content["annotations"][0]["bbox"] == [20, 40, 16, 8]
    code, _, err = run(*words)
    assert code == 2
    assert "the file already exists" in err


def test_a_fused_image_that_is_given_gets_the_color_of_b(pair, run):
    write_image(pair / "fused.png", np.zeros((64, 64), np.uint8))
    words = ("detect", pair / "ir.png", pair / "vi.png", "--detector", pair / "yolox.onnx", "-o", pair / "s.png")
    code, out, _ = run(*words, "--fused", pair / "fused.png")
    assert code == 0
    assert "fused.png: nothing" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--detector", "no.onnx"), "does not exist"),
        (("--detector", "yolox.onnx", "--classes", "unicorn"), "has no class 'unicorn'"),
        (("--detector", "yolox.onnx", "--threshold", "2"), "0 to 1"),
        (("--detector", "yolox.onnx", "--fused", "small.png"), "same height and width"),
        (("--detector", "yolox.onnx", "--fused", "vi.png", "--weights", "x"), "exclude each other"),
        (("--detector", "boxes.json"), "Unknown kind of detector"),
        (("--detector", "yolox.onnx", "-o", "montage.xyz"), "extension"),
    ],
)
def test_refusals(pair, run, monkeypatch, words, said):
    monkeypatch.chdir(pair)
    write_image(pair / "small.png", np.zeros((32, 64), np.uint8))
    code, _, err = run("detect", "ir.png", "vi.png", "-o", "montage.png", *words)
    assert code == 2
    assert said in err
    assert not (pair / "montage.png").exists()
