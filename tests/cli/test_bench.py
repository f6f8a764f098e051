"""`refinefuse bench`, as a user calls it."""

import json

import pytest

from refinefuse.benchmark.speed import setups_of
from refinefuse.errors import InputError
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tiny.safetensors"
    RefineFuse.from_config(
        NetworkConfig(channels=(4, 6), context_size=8, context_channels=8, num_heads=2)
    ).save_weights(path)
    return path


def test_every_combination_is_timed_and_written(run, weights, tmp_path):
    words = ["--weights", weights, "--backends", "torch", "--precisions", "float32,bfloat16", "--sizes", "32x48,64x64"]
    code, said, _ = run(
        "bench", *words, "--threads", "1", "--repeats", "2", "--reference", "--json", tmp_path / "b.json"
    )
    assert code == 0
    assert said.startswith("1 thread, medians of interleaved repeats")
    found = json.loads((tmp_path / "b.json").read_text())
    assert [(row["precision"], row["height"], row["width"]) for row in found["results"]] == [
        ("float32", 32, 48), ("bfloat16", 32, 48), ("float32", 64, 64), ("bfloat16", 64, 64),
    ]  # fmt: skip
    for row in found["results"]:
        assert row["fps"] == pytest.approx(1000 / row["latency_ms"])
        assert row["relative_time"] > 0
        assert 0 < row["peak_fraction"] < 1
        assert row["parameters"] > 0
    assert found["results"][2]["gflops"] > found["results"][0]["gflops"]


def test_without_calibration_nothing_is_made_up(run, weights, tmp_path):
    words = ["--weights", weights, "--backends", "torch", "--sizes", "32x32", "--repeats", "1"]
    code, said, _ = run("bench", *words, "--json", tmp_path / "b.json")
    assert code == 0
    assert "relative_time" not in said
    (row,) = json.loads((tmp_path / "b.json").read_text())["results"]
    assert row["relative_time"] is None
    assert row["peak_fraction"] is None


def test_other_backends_compute_in_their_own_precision_and_onnx_files_are_theirs():
    setups = setups_of(["w", "f.onnx"], ["torch", "openvino"], ["float32", "bfloat16"], [(8, 8)], "cpu", 1)
    assert [(s.weights, s.backend, s.precision) for s in setups] == [
        ("w", "torch", "float32"), ("w", "torch", "bfloat16"),
        ("w", "openvino", "float32"), ("f.onnx", "openvino", "float32"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="an ONNX file needs"):
        setups_of(["f.onnx"], ["torch"], ["auto"], [(8, 8)], "cpu", 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "0x4"], "HEIGHTxWIDTH"),
        (["--backends", "foo"], "`backend` must be"),
        (["--precisions", "half"], "`precision` must be"),
        (["--repeats", "0"], "--repeats"),
        (["--threads", "-1"], "--threads"),
        (["--json", "x.txt"], "expected: .json"),
    ],
)
def test_wrong_use_is_refused(run, weights, words, message):
    code, _, error = run("bench", "--weights", weights, "--sizes", "32x32", *words)
    assert code == 2
    assert message in error
