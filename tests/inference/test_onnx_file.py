"""Only files that `export` wrote, unchanged, are used as weights."""

import numpy as np
import pytest
import torch

from refinefuse.errors import InputError, WeightsError
from refinefuse.export import GraphForm, _sealed, to_onnx
from refinefuse.inference.backend import load_backend
from refinefuse.inference.onnx_file import read_onnx
from refinefuse.network.config import NetworkConfig
from refinefuse.network.model import RefineFuse

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
TINY = NetworkConfig(channels=(4, 6), context_size=8, context_channels=8, num_heads=2)


@pytest.fixture(scope="module")
def content():
    torch.manual_seed(0)
    return to_onnx(RefineFuse.from_config(TINY)).SerializeToString()


def sealed(model):
    """With a checksum that is right, as an attacker would write it."""
    return _sealed(model, {entry.key: entry.value for entry in model.metadata_props})


def with_node(model, op_type, **options):
    branch = onnx.helper.make_graph([], "branch", [], [])
    attributes = {"body": branch} if op_type in ("Loop", "Scan") else {}
    attributes = {"then_branch": branch, "else_branch": branch} if op_type == "If" else attributes
    model.graph.node.append(onnx.helper.make_node(op_type, ["a"], ["more"], **attributes, **options))


def to_external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


def add_function(model):
    model.functions.append(onnx.helper.make_function("here", "Relu", ["x"], ["y"], [], []))


def flip_a_weight(model):
    tensor = max(model.graph.initializer, key=lambda x: len(x.raw_data))
    values = np.frombuffer(tensor.raw_data, np.float32).copy()
    values[7] += 1
    tensor.raw_data = values.tobytes()


def with_nan(model):
    for tensor in model.graph.initializer:
        if tensor.data_type == 1 and tensor.raw_data:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()


def reshape_a_weight(model):
    tensor = next(x for x in model.graph.initializer if len(x.dims) == 4)
    tensor.dims[0] += 1


def another_config(model):
    for entry in model.metadata_props:
        entry.value = entry.value.replace("[4, 6]", "[4, 6, 8]").replace('"context_size": 8', '"context_size": 16')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: with_node(m, "Loop"), "does not write.*Loop"),
        (lambda m: with_node(m, "If"), "does not write.*If"),
        (lambda m: with_node(m, "Scan", num_scan_inputs=1), "does not write.*Scan"),
        (lambda m: with_node(m, "Gelu", domain="com.microsoft"), "does not write.*com.microsoft:Gelu"),
        (lambda m: with_node(m, "NoSuchOperator"), "damaged or not an ONNX"),
        (to_external, "data in another file"),
        (add_function, "the function Relu"),
        (flip_a_weight, None),
        (with_nan, "not a fused image"),
        (reshape_a_weight, "damaged|cannot be"),
        (another_config, "Cannot run"),
        (lambda m: m.graph.initializer.pop(), "damaged or not an ONNX|cannot be"),
        (lambda m: m.graph.output.pop(), "exported for other programs"),
        (lambda m: m.graph.node.pop(3), "damaged or not an ONNX"),
        (lambda m: m.graph.node.reverse(), "damaged or not an ONNX"),
        (lambda m: m.ClearField("metadata_props"), "not written by `refinefuse export`"),
        (lambda m: m.ClearField("opset_import"), "damaged or not an ONNX"),
    ],
)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_what_export_did_not_write_is_refused(content, tmp_path, damage, message, is_sealed):
    model = onnx.load_from_string(content)
    damage(model)
    if is_sealed and message is None:
        pytest.skip("weights like any other")
    if is_sealed and model.metadata_props:
        model = sealed(model)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises((WeightsError, InputError), match=f"(?s){message if is_sealed else ''}"):
        load_backend(path, "onnxruntime")


@pytest.mark.parametrize("bytes_left", [0, 1, 5000, -1])
def test_cut_files_are_refused(content, tmp_path, bytes_left):
    (tmp_path / "net.onnx").write_bytes(content[:bytes_left])
    with pytest.raises(WeightsError, match="damaged or not an ONNX file|not written by|was changed"):
        read_onnx(tmp_path / "net.onnx")


def test_other_files_are_named(tmp_path):
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(WeightsError, match="damaged or not an ONNX file"):
        read_onnx(tmp_path / "text.onnx")
    with pytest.raises(WeightsError, match="Cannot read the ONNX file .*: No such file"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(WeightsError, match="Cannot read the ONNX file .*: Is a directory"):
        read_onnx(tmp_path)


@pytest.mark.parametrize("form", [GraphForm(color=True), GraphForm(batch_size=1)])
def test_files_for_other_programs_are_named(tmp_path, form):
    (tmp_path / "net.onnx").write_bytes(to_onnx(RefineFuse.from_config(TINY), None, form).SerializeToString())
    with pytest.raises(WeightsError, match="exported for other programs"):
        read_onnx(tmp_path / "net.onnx")
