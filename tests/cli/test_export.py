"""`refinefuse export`, as a user calls it."""

import cv2
import numpy as np
import pytest

from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tiny.safetensors"
    RefineFuse.from_config(
        NetworkConfig(channels=(4, 6), context_size=8, context_channels=8, num_heads=2)
    ).save_weights(path)
    return path


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0)
    for side in ("ir", "vi"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for index in range(4):
            image = noise.integers(0, 256, (32, 48), np.uint8)
            cv2.imwrite(str(tmp_path / "pairs" / side / f"{index}.png"), image)
    return tmp_path / "pairs"


def test_a_file_is_written_and_its_parity_said(run, weights, tmp_path):
    code, said, _ = run("export", weights, "-o", tmp_path / "net.onnx")
    assert code == 0
    assert "| onnxruntime" in said
    assert "| checked |" in said
    assert (tmp_path / "net.onnx").stat().st_size > 1000
    code, _, error = run("export", weights, "-o", tmp_path / "net.onnx")
    assert code == 2
    assert "--overwrite" in error


def test_integers_say_what_they_lose(run, weights, folder, tmp_path):
    code, said, _ = run(
        "export", weights, "-o", tmp_path / "net.onnx", "--precision", "int8", "--calibration-data", folder
    )
    assert code == 0
    assert "over 2 pairs" in said
    assert "| Qabf |" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "net.txt"], "expected: .onnx"),
        (["-o", "net.onnx", "--precision", "int8"], "int8 and --calibration-data go together"),
        (["-o", "net.onnx", "--opset", "13"], "from 14 to 20"),
        (["-o", "net.onnx", "--size", "480"], "--size must be HEIGHTxWIDTH"),
        (["-o", "net.onnx", "--batch-size", "0"], "from 1 to 64"),
        (["-o", "net.onnx", "--precision", "int8", "--calibration-data", "a,b,c"], "or two: A,B"),
        (["-o", "net.onnx", "--precision", "int8", "--calibration-data", "."], "two folders of pairs"),
    ],
)
def test_wrong_use_is_refused(run, weights, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = run("export", weights, *options)
    assert code == 2
    assert message in error
    assert not list(tmp_path.glob("*.onnx"))
