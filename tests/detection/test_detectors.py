"""Detectors: YOLOX in ONNX files, transformers in folders, boxes of others, and what is refused."""

import json

import numpy as np
import pytest
from networks import bright_blocks, write_transformer, write_yolox

from refinefuse.detection.boxes import coco_json, make_boxes
from refinefuse.detection.detectors import locate_detector, merge_classes, open_detector
from refinefuse.detection.drawing import draw_boxes
from refinefuse.detection.predictions import read_predictions
from refinefuse.errors import InputError, PairingError


@pytest.fixture
def yolox(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    return write_yolox(tmp_path / "yolox.onnx")


@pytest.mark.parametrize("decoded", [False, True])
def test_boxes_lie_where_the_image_shows_them(tmp_path, decoded):
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    find = open_detector(write_yolox(tmp_path / "y.onnx", decoded=decoded))
    boxes = find(bright_blocks(64, 64, (24, 40), (48, 8)))
    assert boxes.classes == ("car", "car")
    assert boxes.scores == pytest.approx([1, 1])
    assert sorted(boxes.corners.tolist()) == [[20, 40, 36, 48], [44, 8, 60, 16]]


def test_large_images_are_reduced_and_boxes_end_at_the_edge(yolox):
    find = open_detector(yolox)
    image = bright_blocks(32, 64, (0, 8)).repeat(2, 0).repeat(2, 1)
    (corners,) = find(image).corners.tolist()
    assert corners == [0, 16, 24, 32]  # the block at 0..16, the box twice as wide, cut at the left
    for size in ((64, 64), (64, 16), (5, 3)):  # what is beside an image is gray, and no object
        boxes = find(np.zeros((*size, 3), np.uint8))
        assert ((boxes.corners[:, 2:] - boxes.corners[:, :2]) > 0).all()


def test_suppression_is_within_a_class():
    corners = [[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [30, 0, 40, 10]]
    boxes = make_boxes(corners, ["car", "truck", "person", "bus"], [0.5, 0.9, 0.4, 0.3])
    assert merge_classes(boxes, {"tree": "car"}) is boxes
    found = merge_classes(boxes, {"truck": "car", "bus": "car"})
    assert found.classes == ("car", "person", "car")
    assert found.scores == pytest.approx([0.9, 0.4, 0.3])


def test_other_classes_need_their_names(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    path = write_yolox(tmp_path / "two.onnx", classes=2)
    with pytest.raises(InputError, match=r"2 names, one per line, in '.*two\.txt'"):
        open_detector(path)
    (tmp_path / "two.txt").write_text("lamp\nsheep\n")
    assert set(open_detector(path)(bright_blocks(64, 64, (24, 40))).classes) == {"sheep"}


@pytest.mark.parametrize("wrong", [{"rows": 70}, {"outputs": 2}])
def test_another_layout_is_refused_with_what_was_expected(tmp_path, wrong):
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    with pytest.raises(InputError, match=r"is not a YOLOX detector.\n  expected: one input(.|\n)*got: inputs"):
        open_detector(write_yolox(tmp_path / "y.onnx", **wrong))


def test_what_is_no_detector_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    (tmp_path / "x.onnx").write_text("x")
    with pytest.raises(InputError, match="cannot be loaded"):
        open_detector(tmp_path / "x.onnx")
    for source, said in (("no.onnx", "not exist"), ("boxes.json", "Unknown kind"), ("nowhere", "not exist")):
        with pytest.raises(InputError, match=said):
            locate_detector(source)


def test_transformers_from_a_folder(tmp_path):
    folder = write_transformer(tmp_path / "rtdetr")
    find = open_detector(locate_detector(str(folder)))
    assert find.names == ("person", "car")
    boxes = find(bright_blocks(48, 80, (24, 16)))
    assert len(boxes) > 0
    assert set(boxes.classes) <= {"person", "car"}
    assert (np.diff(boxes.scores) <= 0).all()
    assert (boxes.corners >= 0).all()
    assert (boxes.corners <= [80, 48, 80, 48]).all()
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="Cannot load a detector"):
        type(find)(folder)


def test_boxes_that_were_written_are_read_again(tmp_path):
    boxes = make_boxes([[1, 2, 30, 40], [5, 5, 9, 9]], ["person", "car"], [0.5, 0.25])
    path = tmp_path / "boxes.json"
    path.write_text(coco_json({"vi/1.png": boxes, "vi/2.png": make_boxes([], [])}))
    found = read_predictions(path, ["1", "2", "3"])
    assert found["1"].corners.tolist() == boxes.corners.tolist()
    assert (found["1"].classes, found["1"].scores.tolist()) == (boxes.classes, [0.5, 0.25])
    assert [len(found[name]) for name in ("2", "3")] == [0, 0]
    with pytest.raises(PairingError, match="belong to other images"):
        read_predictions(path, ["4"])


def test_results_as_a_list(tmp_path):
    path = tmp_path / "boxes.json"
    rows = [
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": "00012N", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": "elsewhere", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
    ]
    path.write_text(json.dumps(rows))
    found = read_predictions(path, ["007", "00012N"])
    assert found["007"].classes == ("car",)
    assert found["00012N"].corners.tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    "text", ["", "3", '{"images": []}', '[{"image_id": 1}]',
             '[{"image_id": "1", "category_id": 99, "bbox": [], "score": 1}]',
             '[{"image_id": "1", "category_id": 1, "bbox": [1, 2, 3], "score": 1}]']
)  # fmt: skip
def test_boxes_that_are_none_are_refused(tmp_path, text):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match="Cannot read the boxes"):
        read_predictions(path, ["1"])


def test_boxes_are_drawn_into_a_copy():
    image = np.zeros((60, 80, 3), np.uint8)
    boxes = make_boxes([[10, 20, 40, 50]], ["person"], [0.5])
    canvas = draw_boxes(image, boxes, make_boxes([[60, 5, 70, 15]], ["car"]))
    assert not image.any()
    assert canvas[50, 20].tolist() == [255, 176, 0]
    assert canvas[15, 65].tolist() == [255, 255, 255]
    assert not canvas[30:45, 15:35].any()


def test_class_names_that_are_no_utf8(tmp_path):
    path = write_yolox(tmp_path / "two.onnx", classes=2)
    path.with_suffix(".txt").write_bytes(b"c\xfcr\nbus\n")
    with pytest.raises(InputError, match="expected: UTF-8"):
        open_detector(path)
