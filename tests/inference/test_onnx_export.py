"""`export_onnx` writes files that compute what the package computes, and reports where they do not."""

import numpy as np
import pytest
import torch

from refinefuse.errors import ConfigError, InputError
from refinefuse.export import GraphForm, to_onnx
from refinefuse.image.files import write_image
from refinefuse.inference import runtimes
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.onnx_export import export_onnx
from refinefuse.inference.runtimes import RuntimeCheck, check_file, package_fused
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(autouse=True)
def _few_sizes(monkeypatch):
    monkeypatch.setattr(runtimes, "SIZES", ((65, 50), (33, 17), (1, 1)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = NetworkConfig(channels=(4, 6), context_size=8, context_channels=8, num_heads=2)
    model = RefineFuse.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root, noise = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for side in ("thermal", "rgb"):
        (root / side).mkdir()
        for index in range(3):
            write_image(root / side / f"{index}.png", noise.integers(0, 256, (32, 40), np.uint8))
    return root / "thermal", root / "rgb"


def shapes(path):
    graph = onnx.load(path).graph
    return {
        x.name: [side.dim_param or side.dim_value for side in x.type.tensor_type.shape.dim]
        for x in (*graph.input, *graph.output)
    }


def by(report, runtime) -> RuntimeCheck:
    return next(check for check in report.checks if check.runtime == runtime)


def test_the_callers_network_is_left_as_it_is(network, tmp_path):
    theirs = RefineFuse.from_config(network.config).double().train()
    theirs.license = "MIT"
    report = export_onnx(theirs, tmp_path / "net.onnx")
    assert theirs.training
    assert {p.dtype for p in theirs.parameters()} == {torch.float64}
    assert by(report, "onnxruntime").problem is None
    assert by(report, "onnxruntime").largest < 0.01
    assert report.num_bytes == report.path.stat().st_size
    assert report.quantization is None
    metadata = {entry.key: entry.value for entry in onnx.load(report.path).metadata_props}
    assert metadata["refinefuse.license"] == "MIT"
    assert set(map(tuple, shapes(report.path).values())) == {("batch", 1, "height", "width")}


def test_color_is_that_of_the_package(network, tmp_path):
    report = export_onnx(network, tmp_path / "net.onnx", color=True)
    assert shapes(report.path)["fused"] == ["batch", 3, "height", "width"]
    session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    a, b = torch.rand(2, 1, 37, 50), torch.rand(2, 3, 37, 50)
    fused, weight_map = session.run(None, {"a": a.numpy(), "b": b.numpy()})
    expected = Fuser(network).fuse(a, b, return_weight_map=True)
    torch.testing.assert_close(torch.from_numpy(fused), expected.fused, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.from_numpy(weight_map), expected.weight_map, atol=1e-5, rtol=0)


@pytest.mark.parametrize("color", [False, True])
def test_a_fixed_size_runs_in_opencv(network, tmp_path, color):
    pytest.importorskip("onnxslim", reason="the extra onnx is not installed")
    report = export_onnx(network, tmp_path / "net.onnx", size=(45, 62), color=color)
    channels = 3 if color else 1
    assert shapes(report.path) == {
        "a": [1, 1, 45, 62],
        "b": [1, channels, 45, 62],
        "fused": [1, channels, 45, 62],
        "weight_map": [1, 1, 45, 62],
    }
    assert by(report, "OpenCV DNN").problem is None
    assert by(report, "OpenCV DNN").largest < 0.01
    graph = onnx.load(report.path).graph
    assert not {"Shape", "Range", "Mod"} & {node.op_type for node in graph.node}
    # onnx2tf knows no shuffle of single pixels, and takes bounds up to 1e-6 for zero
    constants = [(one.name, one) for one in graph.initializer]
    constants += [(node.output[0], node.attribute[0].t) for node in graph.node if node.op_type == "Constant"]
    bounds = {name for node in graph.node if node.op_type == "Clip" for name in node.input[1:]}
    values = [float(onnx.numpy_helper.to_array(one)) for name, one in constants if name in bounds]
    assert values
    assert all(value == 0 or value > 1e-6 for value in values)
    shuffles = [node for node in graph.node if node.op_type == "DepthToSpace"]
    assert all(onnx.helper.get_node_attr_value(node, "blocksize") > 1 for node in shuffles)


@pytest.mark.parametrize("size", [(7, 33), (1, 1)])
def test_one_row_of_the_deepest_features_runs_in_opencv(network, tmp_path, size):
    pytest.importorskip("onnxslim", reason="the extra onnx is not installed")
    report = export_onnx(network, tmp_path / "net.onnx", size=size)
    assert by(report, "OpenCV DNN").problem is None


def test_a_batch_is_fixed_alone(network, tmp_path):
    report = export_onnx(network, tmp_path / "net.onnx", batch_size=3)
    assert shapes(report.path)["a"] == [3, 1, "height", "width"]


def test_half_the_digits_in_half_the_bytes(network, tmp_path):
    report = export_onnx(network, tmp_path / "net.onnx", precision="float16")
    floats = {x.data_type for x in onnx.load(report.path).graph.initializer if len(x.dims) == 4}
    assert onnx.TensorProto.FLOAT16 in floats
    assert 0.001 < by(report, "onnxruntime").largest < 8
    assert by(report, "onnxruntime").computes_in == "float16"


def test_bfloat16_is_checked_where_it_can_be_computed(network, tmp_path):
    pytest.importorskip("openvino", reason="only openvino computes bfloat16 files on a CPU")
    report = export_onnx(network, tmp_path / "net.onnx", precision="bfloat16")
    assert report.opset == 22
    assert by(report, "OpenVINO").problem is None
    assert "cannot run it" in by(report, "onnxruntime").problem


def test_contrast_is_part_of_the_file(network, tmp_path):
    a, b = torch.rand(2, 1, 1, 40, 40)
    images = []
    for contrast in (0.0, 1.0):
        path = export_onnx(network, tmp_path / "net.onnx", contrast=contrast, overwrite=True).path
        images.append(Fuser(path).fuse(a, b))
    assert (images[0] - images[1]).abs().max() > 0.01
    assert network.config.contrast == 0.5


def test_calibration_folders_of_any_name(network, folders, tmp_path):
    report = export_onnx(network, tmp_path / "net.onnx", precision="int8", calibration_data=folders)
    assert report.quantization is not None
    assert report.quantization.num_pairs == 1
    assert 0 < report.quantization.mean <= report.quantization.largest < 128
    assert "| VIF |" in report.quantization.to_markdown()
    model = onnx.load(report.path)
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) > 0
    assert [entry.domain for entry in model.opset_import] == [""]
    Fuser(report.path)


def test_int8_is_checked_with_a_scene_and_not_with_noise_that_no_scale_was_made_for(network, monkeypatch):
    seen = {"int8": [], "float32": []}
    for precision, sources in seen.items():

        def load(content, form, sources=sources):
            return lambda a, b: sources.append(a) or package_fused(network, a, b), "float32"

        monkeypatch.setattr(runtimes, "RUNTIMES", {"onnxruntime": ("onnxruntime", load)})
        check_file(b"", GraphForm(), precision, network)
    scenes, both = seen.values()
    assert all(torch.equal(one, other) for one, other in zip(scenes[:-1], both[:-1:2], strict=True))
    assert torch.equal(scenes[-1], both[-1][:1].expand(2, -1, -1, -1))
    assert not torch.equal(both[-1][0], both[-1][1])


def test_a_file_that_no_runtime_confirms_is_not_written(network):
    wrong = RefineFuse.from_config(network.config)
    with pytest.raises(InputError, match="(?s)nothing was written.*differs: at most 1 allowed"):
        check_file(to_onnx(wrong).SerializeToString(), GraphForm(), "float32", network)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "float32, float16, bfloat16, int8"),
        ({"precision": "int8"}, "go together"),
        ({"calibration_data": "pairs"}, "go together"),
        ({"opset": 21}, "from 14 to 20"),
        ({"opset": 18, "precision": "bfloat16"}, "needs opset 22"),
        ({"size": (0, 640)}, "height and width"),
        ({"size": (480, 100_000)}, "height and width"),
        ({"batch_size": 0}, "from 1 to 64"),
    ],
)
def test_options_that_cannot_be_used_are_refused(network, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export_onnx(network, tmp_path / "net.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_contrast_beyond_its_range_is_refused(network, tmp_path):
    with pytest.raises(ConfigError, match="contrast"):
        export_onnx(network, tmp_path / "net.onnx", contrast=2.0)
