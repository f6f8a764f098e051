"""`export_onnx` writes a file that computes what torch computes, and leaves the caller's network alone."""

import numpy as np
import pytest
import torch

from refinefuse.errors import InputError
from refinefuse.image.files import write_image
from refinefuse.inference.onnx_export import export_onnx
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return RefineFuse.from_config(NetworkConfig(channels=(4, 6), context_size=8, context_channels=8, num_heads=2))


def test_the_callers_network_is_left_as_it_is(network, tmp_path):
    network.double().train()
    network.license = "MIT"
    report = export_onnx(network, tmp_path / "net.onnx")
    assert network.training
    assert {p.dtype for p in network.parameters()} == {torch.float64}
    assert report.max_difference < 0.01
    assert report.num_bytes == report.path.stat().st_size
    assert report.quantization is None
    model = onnx.load(report.path)
    assert {entry.key: entry.value for entry in model.metadata_props}["refinefuse.license"] == "MIT"
    for output in model.graph.output:
        sides = [dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim]
        assert sides == [1, 1, "height", "width"]


def test_calibration_folders_of_any_name(network, tmp_path):
    noise = np.random.default_rng(0)
    for side in ("thermal", "rgb"):
        (tmp_path / side).mkdir()
        for index in range(3):
            write_image(tmp_path / side / f"{index}.png", noise.integers(0, 256, (32, 40), np.uint8))
    folders = tmp_path / "thermal", tmp_path / "rgb"
    report = export_onnx(network, tmp_path / "net.onnx", precision="int8", calibration_data=folders)
    assert report.quantization is not None
    assert report.quantization.num_pairs == 1
    assert "| VIF |" in report.quantization.to_markdown()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "float32 or int8"),
        ({"precision": "int8"}, "belong together"),
        ({"calibration_data": "pairs"}, "belong together"),
        ({"opset": 21}, "from 14 to 20"),
    ],
)
def test_options_that_cannot_be_used_are_refused(network, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export_onnx(network, tmp_path / "net.onnx", **options)
    assert not list(tmp_path.iterdir())
