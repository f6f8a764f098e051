"""A YOLOX of three convolutions per scale, with the operators of the real one, made on the spot."""

import numpy as np
import pytest


def write_trainable_yolox(path, classes=80, extra=()):
    onnx = pytest.importorskip("onnx", reason="needs onnx, to make a detector")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = np.random.default_rng(0)
    tensors, nodes, flat = {}, [], []
    for number, stride in enumerate((8, 16, 32)):
        parts = []
        for kind, count in (("reg", 4), ("obj", 1), ("cls", classes)):
            name = f"head.{kind}_preds.{number}"
            scale = 0.02 / stride**2 / 255 if kind != "cls" else 0.2 / stride**2 / 255
            tensors[f"{name}.weight"] = random.normal(0, scale, (count, 3, stride, stride)).astype(np.float32)
            tensors[f"{name}.bias"] = np.full(count, 0 if kind == "reg" else -2, np.float32)
            nodes.append(
                helper.make_node(
                    "Conv",
                    ["images", f"{name}.weight", f"{name}.bias"],
                    [name],
                    kernel_shape=[stride, stride],
                    strides=[stride, stride],
                )
            )
            if kind != "reg":
                nodes.append(helper.make_node("Sigmoid", [name], [f"{name}.p"]))
            parts.append(name if kind == "reg" else f"{name}.p")
        nodes.append(helper.make_node("Concat", parts, [f"scale{number}"], axis=1))
        nodes.append(helper.make_node("Reshape", [f"scale{number}", "shape"], [f"flat{number}"]))
        flat.append(f"flat{number}")
    tensors["shape"] = np.array([1, 5 + classes, -1])
    nodes += [
        helper.make_node("Concat", flat, ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["output"], perm=[0, 2, 1]),
        *(helper.make_node(kind, ["output"], [f"unused{kind}"]) for kind in extra),
    ]
    graph = helper.make_graph(
        nodes,
        "yolox",
        [helper.make_tensor_value_info("images", 1, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", 1, [1, 84, 5 + classes])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path
