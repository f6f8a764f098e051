"""Detectors of other families: every head finds the boxes that its outputs encode, in images of another shape."""

import json

import numpy as np
import pytest

from refinefuse.detection.detectors import open_detector
from refinefuse.errors import ConfigError, InputError

SIDE = 64
STRIDES = (8, 16, 32)
FOUND = {"car": [2, 16, 30, 32], "person": [16, 8, 32, 56]}
"""In pixels of the input; an image of 128 x 64 is halved and fills its left half."""
BOXES = {"car": [4, 32, 60, 64], "person": [32, 16, 64, 112]}


def write_detector(path, outputs, settings, image=(1, 3, SIDE, SIDE), from_image=None):
    """An ONNX file whose outputs are constant, or the mean of the image for the one that `from_image` names."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, to make a detector")
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    helper = onnx.helper
    nodes, tensors = [], []
    for number, output in enumerate(outputs):
        tensors.append(onnx.numpy_helper.from_array(output.astype(np.float32), f"value{number}"))
        if number == from_image:
            nodes.append(helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0))
            nodes.append(helper.make_node("Mul", [f"value{number}", "mean"], [f"out{number}"]))
        else:
            nodes.append(helper.make_node("Identity", [f"value{number}"], [f"out{number}"]))
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", 1, image)],
        [helper.make_tensor_value_info(f"out{n}", 1, output.shape) for n, output in enumerate(outputs)],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    path.with_suffix(".yaml").write_text(json.dumps(settings))
    return path


def check(path, height=128, width=64, boxes=BOXES):
    found = open_detector(path)(np.zeros((height, width, 3), np.uint8))
    assert dict(zip(found.classes, found.corners.tolist(), strict=True)) == {
        name: pytest.approx(corners, abs=0.05) for name, corners in boxes.items()
    }
    return found


def logit(p):
    return np.log(p / (1 - p))


def center_of(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def decoded_rows():
    rows = np.zeros((20, 6))
    for row, (name, box) in enumerate(FOUND.items()):
        rows[row] = [*center_of(box), box[2] - box[0], box[3] - box[1], name == "person", name == "car"]
    return rows


@pytest.mark.parametrize("rows_first", [True, False])
def test_decoded_boxes(tmp_path, rows_first):
    rows = decoded_rows()
    output = rows[None] if rows_first else rows.T[None]
    check(write_detector(tmp_path / "d.onnx", [output], {"head": "decoded", "classes": ["person", "car"]}))


def by_scale(channels):
    return [np.full((1, channels, SIDE // s, SIDE // s), -9.0) for s in STRIDES]


def cell_of(box, stride):
    x, y = center_of(box)
    return int(x // stride), int(y // stride)


@pytest.mark.parametrize(("scale", "bounded"), [(0, False), (1, True), (2, False)])
def test_anchors(tmp_path, scale, bounded):
    anchor = [[[10, 12], [24, 24]]] * 3
    outputs, stride = by_scale(2 * 7), STRIDES[scale]
    for name, box in FOUND.items():
        x, y = cell_of(box, stride)
        size = np.array([box[2] - box[0], box[3] - box[1]]) / 24
        offset = np.array(center_of(box)) / stride - (x, y)
        offset = offset.clip(0.0001, 0.9999)
        yolov5, yolov3 = [*logit((offset + 0.5) / 2), *logit(np.sqrt(size) / 2)], [*logit(offset), *np.log(size)]
        values = yolov5 if bounded else yolov3
        outputs[scale][0, 7:, y, x] = [*values, 9, *(9 if name == kind else -9 for kind in ("person", "car"))]
    settings = {
        "head": "anchors", "classes": ["person", "car"], "scores": "logits", "anchors": anchor, "bounded_sizes": bounded
    }  # fmt: skip
    found = check(write_detector(tmp_path / "d.onnx", outputs, settings))
    assert found.scores.min() > 0.99


@pytest.mark.parametrize("flat", [False, True])
def test_anchors_that_share_their_classes(tmp_path, flat):
    """As YOLO-FastestV2 has it: three boxes of each cell, three times objectness, the classes; after the sigmoid."""
    anchor, strides = [[[10, 12], [24, 24], [40, 40]]] * 2, [16, 32]
    outputs = [np.zeros((1, 3 * 5 + 2, SIDE // stride, SIDE // stride)) for stride in strides]
    for name, box in FOUND.items():
        x, y = cell_of(box, 16)
        offset = np.array(center_of(box)) / 16 - (x, y)
        size = np.array([box[2] - box[0], box[3] - box[1]]) / 24
        outputs[0][0, 4:8, y, x] = [*((offset + 0.5) / 2), *(np.sqrt(size) / 2)]
        outputs[0][0, 13, y, x] = 0.9
        outputs[0][0, 15:, y, x] = [0.8 * (name == kind) for kind in ("person", "car")]
    if flat:
        outputs = [np.concatenate([output[0].reshape(17, -1) for output in outputs], 1).T]
    settings = {
        "head": "anchors", "classes": ["person", "car"], "strides": strides, "anchors": anchor, "bounded_sizes": True
    }  # fmt: skip
    found = check(write_detector(tmp_path / "d.onnx", outputs, settings))
    assert found.scores == pytest.approx([0.72, 0.72], abs=1e-4)


def test_one_map_of_centers(tmp_path):
    """As FastestDet has it."""
    output, cell = np.zeros((1, 5 + 2, 4, 4)), SIDE / 4
    for name, box in FOUND.items():
        x, y = cell_of(box, cell)
        offset = np.arctanh(np.array(center_of(box)) / cell - (x, y))
        size = logit(np.array([box[2] - box[0], box[3] - box[1]]) / SIDE)
        output[0, :, y, x] = [0.9, *offset, *size, *(0.8 * (name == kind) for kind in ("person", "car"))]
    found = check(write_detector(tmp_path / "d.onnx", [output], {"head": "center", "classes": ["person", "car"]}))
    assert found.scores == pytest.approx([0.9**0.6 * 0.8**0.4] * 2, abs=1e-4)


def distribution_outputs(bins, scale, classes_first):
    outputs, stride = by_scale(4 * bins + 2), STRIDES[scale]
    for name, box in FOUND.items():
        x, y = cell_of(box, stride)
        left, top = x + 0.5 - box[0] / stride, y + 0.5 - box[1] / stride
        right, bottom = box[2] / stride - x - 0.5, box[3] / stride - y - 0.5
        sides = []
        for side in (left, top, right, bottom):
            if bins == 1:
                sides.append(side)
                continue
            low = int(side)
            weights = np.full(bins, 1e-9)
            weights[low] += low + 1 - side
            weights[low + 1] += side - low
            sides += np.log(weights).tolist()
        kinds = [9 if name == kind else -9 for kind in ("person", "car")]
        outputs[scale][0, :, y, x] = [*kinds, *sides] if classes_first else [*sides, *kinds]
    return outputs


@pytest.mark.parametrize(
    ("bins", "scale", "classes_first"), [(8, 0, False), (8, 1, True), (1, 2, False), (16, 0, True)]
)
def test_distributions_of_distances(tmp_path, bins, scale, classes_first):
    outputs = distribution_outputs(bins, scale, classes_first)
    settings = {
        "head": "distribution", "classes": ["person", "car"], "scores": "logits", "classes_first": classes_first
    }  # fmt: skip
    check(write_detector(tmp_path / "d.onnx", outputs, settings))
    flat = np.concatenate([output.reshape(1, output.shape[1], -1) for output in outputs], 2).transpose(0, 2, 1)
    check(write_detector(tmp_path / "flat.onnx", [flat], settings))


def test_boxes_and_classes_in_outputs_of_their_own(tmp_path):
    outputs = distribution_outputs(8, 0, False)
    apart = [part for output in outputs for part in (output[:, :32], output[:, 32:])]
    settings = {"head": "distribution", "classes": ["person", "car"], "scores": "logits"}
    check(write_detector(tmp_path / "d.onnx", apart, settings))
    lists = [part.reshape(1, part.shape[1], -1).transpose(0, 2, 1) for part in apart]
    check(write_detector(tmp_path / "lists.onnx", lists, settings))
    check(write_detector(tmp_path / "flat.onnx", [part[0] for part in lists], settings))
    with pytest.raises(ConfigError, match="no output has the stride 32"):
        check(write_detector(tmp_path / "less.onnx", lists[:4], settings))


@pytest.mark.parametrize("with_offset", [True, False])
def test_peaks_of_a_heat_map(tmp_path, with_offset):
    stride = 4
    heat = np.full((1, 2, SIDE // stride, SIDE // stride), -9.0)
    sizes, offset = np.zeros((2, 1, 2, SIDE // stride, SIDE // stride))
    for name, box in FOUND.items():
        x, y = cell_of(box, stride)
        kind = ("person", "car").index(name)
        heat[0, kind, y - 1 : y + 2, x - 1 : x + 2] = 0  # the slope of the peak is no object
        heat[0, kind, y, x] = 6
        sizes[0, :, y, x] = np.array([box[2] - box[0], box[3] - box[1]]) / stride
        offset[0, :, y, x] = np.array(center_of(box)) / stride - (x, y)
    settings = {"head": "heat-map", "classes": ["person", "car"], "scores": "logits"}
    path = write_detector(tmp_path / "d.onnx", [heat, sizes, offset] if with_offset else [heat, sizes], settings)
    half_a_cell = 0 if with_offset else 4  # in pixels of the image
    moved = {
        name: [min(edge + half_a_cell, 64 if i % 2 == 0 else 128) for i, edge in enumerate(box)]
        for name, box in BOXES.items()
    }
    found = check(path, boxes=moved)
    assert len(found) == 2


@pytest.mark.parametrize("with_priors", [True, False])
def test_boxes_and_scores_of_priors(tmp_path, with_priors):
    priors = [[0.5, 0.5, 0.25, 0.25]] * 5
    boxes, scores = np.zeros((1, 5, 4)), np.zeros((1, 5, 3))
    scores[..., 0] = 9
    for row, (name, box) in enumerate(FOUND.items()):
        part = np.array(box) / SIDE
        center, size = (part[:2] + part[2:]) / 2, part[2:] - part[:2]
        change = [*((center - 0.5) / 0.25 / 0.1), *(np.log(size / 0.25) / 0.2)]
        boxes[0, row] = change if with_priors else part
        scores[0, row] = [0, 9 * (name == "person"), 9 * (name == "car")]
    settings = {"head": "priors", "classes": ["person", "car"], "scores": "softmax", "letterbox": True}
    settings |= {"priors": priors} if with_priors else {}
    check(write_detector(tmp_path / "d.onnx", [boxes, scores], settings))
    check(write_detector(tmp_path / "swapped.onnx", [scores, boxes], settings))


def test_without_a_letterbox_the_image_is_stretched(tmp_path):
    settings = {"head": "decoded", "classes": ["person", "car"], "letterbox": False}
    path = write_detector(tmp_path / "d.onnx", [decoded_rows()[None]], settings)
    stretched = {name: [box[0], 2 * box[1], box[2], 2 * box[3]] for name, box in FOUND.items()}
    check(path, boxes=stretched)


def test_what_goes_in_is_ordered_and_normalized(tmp_path):
    settings = {"head": "decoded", "classes": ["person", "car"], "channels": "bgr"}
    settings |= {"mean": [0, 0, 100], "std": [1e6, 1e6, 100]}
    path = write_detector(tmp_path / "d.onnx", [decoded_rows()[None]], settings, from_image=0)
    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[..., 0] = 190  # the last channel of the input: (190 - 100) / 100 = 0.9, a third of it on average
    boxes = open_detector(path)(red)
    assert boxes.scores == pytest.approx([0.3, 0.3], abs=1e-4)
    assert len(open_detector(path)(red[..., ::-1].copy())) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head": "transformer", "classes": ["car"]}, "head"),
        ({"head": "decoded", "classes": []}, "classes"),
        ({"head": "anchors", "classes": ["car"], "anchors": [[[1, 2]]]}, "anchors"),
        ({"head": "decoded", "classes": ["car"], "std": [0, 1, 1]}, "std"),
        ({"head": "priors", "classes": ["car"], "priors": [[1, 2]]}, "priors"),
        ({"head": "decoded", "classes": ["car"], "size": [64]}, "size"),
    ],
)
def test_settings_that_say_nothing_sound_are_refused(tmp_path, settings, said):
    path = write_detector(tmp_path / "d.onnx", [decoded_rows()[None]], settings)
    with pytest.raises(ConfigError, match=said):
        open_detector(path)


@pytest.mark.parametrize("head", ["decoded", "distribution", "priors", "heat-map", "anchors", "center"])
def test_outputs_that_do_not_fit_their_settings_are_refused(tmp_path, head):
    settings = {"head": head, "classes": ["a", "b", "c"], "anchors": [[[1, 2]]] * 3}
    path = write_detector(tmp_path / "d.onnx", [np.zeros((1, 5, 9))], settings)
    with pytest.raises(ConfigError, match=r"(?s)do not fit its settings.*\(1, 5, 9\)"):
        open_detector(path)(np.zeros((SIDE, SIDE, 3), np.uint8))


def test_a_network_without_one_image_as_input_is_refused(tmp_path):
    settings = {"head": "decoded", "classes": ["person", "car"]}
    path = write_detector(tmp_path / "d.onnx", [decoded_rows()[None]], settings, image=(1, 1, SIDE, SIDE))
    with pytest.raises(InputError, match="one image of fixed size"):
        open_detector(path)


def test_a_network_that_leaves_its_size_open_gets_it_from_the_settings(tmp_path):
    settings, rows = {"head": "decoded", "classes": ["person", "car"]}, decoded_rows()[None]
    with pytest.raises(InputError, match="`size` in its settings"):
        open_detector(write_detector(tmp_path / "open.onnx", [rows], settings, image=(1, 3, "h", "w")))
    check(write_detector(tmp_path / "d.onnx", [rows], {**settings, "size": [SIDE, SIDE]}, image=(1, 3, "h", "w")))
    other = write_detector(tmp_path / "other.onnx", [rows], {**settings, "size": [SIDE, 2 * SIDE]})
    with pytest.raises(InputError, match=r"(?s)input size of.*expected: 64 x 64.*got: 64 x 128"):
        open_detector(other)
