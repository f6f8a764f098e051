"""Small networks with the operators of real ones, made on the spot: a YOLOX and a segmentation network."""

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


def write_trainable_segmenter(path, extra=()):
    """A segmentation network of two classes, with the operators of ESPNet, and its settings."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, to make a segmentation network")
    helper, random = onnx.helper, np.random.default_rng(0)
    shapes = {"down": (4, 3, 3, 3), "wide": (4, 1, 3, 3), "up": (11, 2, 2, 2), "slope": (11, 1, 1)}
    tensors = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    tensors |= {name: random.uniform(0.5, 2, 11).astype(np.float32) for name in ("scale", "shift", "mean", "variance")}
    average = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        ("Conv", ["image", "down"], "half", {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Conv", ["half", "wide"], "dilated", {"dilations": [2, 2], "pads": [2, 2, 2, 2], "group": 4}),
        ("AveragePool", ["image"], "counted", average | {"count_include_pad": 1}),
        ("AveragePool", ["image"], "inner", average),
        ("Add", ["counted", "inner"], "pooled", {}),
        ("Concat", ["half", "dilated", "pooled"], "all", {"axis": 1}),
        ("BatchNormalization", ["all", "scale", "shift", "mean", "variance"], "normal", {"epsilon": 0.01}),
        ("PRelu", ["normal", "slope"], "active", {}),
        ("ConvTranspose", ["active", "up"], "full", {"strides": [2, 2]}),
        ("Relu", ["full"], "scores", {}),
        *((kind, ["scores"], f"unused{kind}", {}) for kind in extra),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes],
        "segmenter",
        [helper.make_tensor_value_info("image", 1, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("scores", 1, [1, 2, 64, 64])],
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    path.with_suffix(".yaml").write_text("classes: [street, vehicle]\nchannels: bgr\nmean: [90, 80, 70]\n")
    return path
