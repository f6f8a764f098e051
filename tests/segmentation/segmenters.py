"""Segmentation networks that are made on the spot, and what they look at."""

import json

import numpy as np
import pytest

COLORS = {"road": (0, 0, 0), "person": (255, 0, 0), "car": (0, 0, 255)}


def write_segmenter(path, settings=None, size=(32, 64), scale=1, output="scores"):
    """A network that takes red for person, blue for car, dark for road; its output is smaller by `scale`."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, to make a network")
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    weight = np.array([[-1, -1, -1], [2, -1, -1], [-1, -1, 2]], np.float32)[..., None, None]
    tensors = {"w": weight, "b": np.array([0.5, 0, 0], np.float32)}
    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[scale] * 2, strides=[scale] * 2),
        helper.make_node("Conv", ["pooled", "w", "b"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["class-numbers"], axis=1, keepdims=0),
    ]
    kind = onnx.TensorProto.FLOAT if output == "scores" else onnx.TensorProto.INT64
    graph = helper.make_graph(
        nodes,
        "segmenter",
        [helper.make_tensor_value_info("image", 1, (1, 3, *size))],
        [helper.make_tensor_value_info(output, kind, None)],
        [array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    settings = {"classes": list(COLORS), "output": output, **(settings or {})}
    path.with_suffix(".yaml").write_text(json.dumps(settings))
    return path


def street(height, width):
    """An image with a person on the left and a car on the right, and its class numbers."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, : width // 4] = 1
    mask[height // 2 :, width // 2 :] = 2
    return np.array(list(COLORS.values()), np.uint8)[mask], mask
