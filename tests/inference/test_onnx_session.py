"""Networks of other programs as ONNX files."""

import pytest

from refinefuse.errors import InputError
from refinefuse.inference.onnx_session import onnx_session

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
helper, FLOAT, BOOL, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64
INFO = helper.make_tensor_value_info


def endless_loop():
    """A node that adds `x` to itself 2^62 times."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Add", ["v", "v"], ["more"])],
        "body",
        [INFO("i", INT64, []), INFO("go", BOOL, []), INFO("v", FLOAT, None)],
        [INFO("going", BOOL, []), INFO("more", FLOAT, None)],
    )
    return helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], name="again", body=body)


def in_an_if():
    """A branch with an endless loop."""
    branch = helper.make_graph([endless_loop()], "branch", [], [INFO("y", FLOAT, None)])
    return helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)


def network(node, functions=()):
    constants = [helper.make_tensor("rounds", INT64, [], [2**62]), helper.make_tensor("yes", BOOL, [], [True])]
    graph = helper.make_graph([node], "network", [INFO("x", FLOAT, [1])], [INFO("y", FLOAT, None)], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)


def in_a_function():
    """A function of the model's own with an endless loop."""
    return helper.make_function(
        "own", "forever", ["rounds", "yes", "x"], ["y"], [endless_loop()], [helper.make_opsetid("", 17)]
    )


@pytest.mark.parametrize(
    "model",
    [
        network(endless_loop()),
        network(in_an_if()),
        network(helper.make_node("forever", ["rounds", "yes", "x"], ["y"], domain="own"), [in_a_function()]),
    ],
    ids=["in the graph", "in a branch", "in a function"],
)
def test_a_loop_that_may_never_end_is_refused(model, tmp_path):
    path = tmp_path / "loop.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"loop.onnx' has a Loop \('again'\)"):
        onnx_session(path, 1, "A test")


def test_a_branch_is_no_loop():
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "branch", [], [INFO("y", FLOAT, None)])
    model = network(helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch))
    assert onnx_session(model.SerializeToString(), 1, "A test").get_inputs()[0].name == "x"
