"""Labels: every form, and what is refused."""

import json

import numpy as np
import pytest

from refinefuse.data.catalog import CATALOG
from refinefuse.detection.labels import Labels, Size
from refinefuse.detection.predictions import read_predictions
from refinefuse.errors import InputError, PairingError
from refinefuse.image.files import write_image

SIZES = {"1": Size(100, 200), "2": Size(100, 200)}
CLASSES = {"0": "person", "2": "car", "7": ""}
VOC = """<annotation><size><width>{w}</width><height>{h}</height></size>
<object><name>person</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object></annotation>"""
CORNERS = "<xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>60</ymax>"


def yolo(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name.removeprefix('_')}.txt").write_text(text)
    return Labels("yolo", folder, CLASSES)


def voc(folder, text, classes=None):
    (folder / "1.xml").write_text(text)
    return Labels("voc", folder, classes or {"person": "person"}).read(SIZES)["1"]


def test_yolo_is_relative_to_the_image_and_empty_files_are_images_without_objects(tmp_path):
    labels = yolo(tmp_path, _1="0 0.25 0.5 0.1 0.4\n2 0.5 0.5 1 1\n7 0.5 0.5 0.1 0.1\n", _2="", classes="x")
    found = labels.read(SIZES)
    assert found["1"].corners.tolist() == [pytest.approx([40, 30, 60, 70]), [0, 0, 200, 100]]
    assert found["1"].classes == ("person", "car")
    assert not found["1"].crowd.any()
    assert len(found["2"]) == 0
    assert found["2"].corners.shape == (0, 4)


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.1", "0 0.5 0.5 0.1 x", "0 0.5 0.5 0.1 0.1 0.9"])
def test_a_line_that_is_no_label_is_named(tmp_path, line):
    labels = yolo(tmp_path, _1=f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(InputError, match=r"Line 2 of '.*1\.txt' is not a YOLO label"):
        labels.read(SIZES)


@pytest.mark.parametrize("line", ["0 0.98 0.5 0.2 0.1", "0 0.5 0.5 0 0.1", "0 100 40 20 30", "0 nan 0.5 0.1 0.1"])
def test_a_box_outside_its_image_is_refused(tmp_path, line):
    with pytest.raises(InputError, match="lies outside its image"):
        yolo(tmp_path, _1=line).read(SIZES)


def test_a_box_that_rounding_moved_over_the_edge_is_cut(tmp_path):
    found = yolo(tmp_path, _1="0 0.955 0.5 0.1 0.1").read(SIZES)["1"]
    assert found.corners[0].tolist() == pytest.approx([181, 45, 200, 55])


def test_an_unknown_class_is_refused_and_the_known_ones_are_named(tmp_path):
    with pytest.raises(InputError, match=r"expected: 0 \(person\), 2 \(car\), 7 \(left out\)\n  got: 3"):
        yolo(tmp_path, _1="3 0.5 0.5 0.1 0.1").read(SIZES)


def test_labels_of_other_images_are_refused(tmp_path):
    with pytest.raises(PairingError, match="No label file has the name"):
        yolo(tmp_path, _9="").read(SIZES)


def test_images_without_a_label_are_left_out_and_a_missing_folder_is_said(tmp_path):
    assert list(yolo(tmp_path / "a", _2="").read(SIZES)) == ["2"]
    with pytest.raises(InputError, match="label folder"):
        Labels("yolo", tmp_path / "b", CLASSES).read(SIZES)


def test_voc_in_corners_scaled_and_as_in_kaist(tmp_path):
    found = voc(tmp_path, VOC.format(w=200, h=100, difficult=0, box=CORNERS))
    assert found.corners.tolist() == [[10, 20, 30, 60]]
    assert not found.crowd.any()
    halved = voc(tmp_path, VOC.format(w=400, h=200, difficult=1, box=CORNERS))
    assert halved.corners.tolist() == [[5, 10, 15, 30]]
    assert halved.crowd.all()
    kaist = voc(tmp_path, VOC.format(w=200, h=100, difficult=0, box="<x>10</x><y>20</y><w>20</w><h>40</h>"))
    assert kaist.corners.tolist() == [[10, 20, 30, 60]]
    assert len(voc(tmp_path, "")) == 0


def test_a_star_marks_regions_that_do_not_count(tmp_path):
    text = VOC.format(w=200, h=100, difficult=0, box=CORNERS).replace(">person<", ">people<")
    found = voc(tmp_path, text, CATALOG["KAIST"].classes["voc"])
    assert found.classes == ("person",)
    assert found.crowd.all()


@pytest.mark.parametrize("text", ["<annotation>", VOC.format(w=200, h=100, difficult=0, box="<xmin>1</xmin>")])
def test_voc_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="Pascal VOC"):
        voc(tmp_path, text)


def test_labels_of_a_image_of_other_proportions_are_refused(tmp_path):
    with pytest.raises(InputError, match="label: 200 x 300\n  image: 100 x 200"):
        voc(tmp_path, VOC.format(w=300, h=200, difficult=0, box=CORNERS))


def coco(path, **changes):
    content = {
        "images": [{"id": 5, "file_name": "x/1.jpg", "width": 400, "height": 200}, {"id": 6, "file_name": "9.jpg"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 5, "category_id": 1, "bbox": [20, 40, 40, 80], "iscrowd": 1},
            {"image_id": 6, "category_id": 1, "bbox": [0, 0, 9999, 9]},
        ],
        **changes,
    }
    path.write_text(json.dumps(content))
    return Labels("coco", path, {"person": "person"})


def test_coco_json(tmp_path):
    found = coco(tmp_path / "l.json").read(SIZES)
    assert list(found) == ["1"]
    assert found["1"].corners.tolist() == [[10, 20, 30, 60]]
    assert found["1"].crowd.all()
    assert len(coco(tmp_path / "l.json", annotations=[]).read(SIZES)["1"]) == 0
    with pytest.raises(InputError, match="not COCO JSON"):
        coco(tmp_path / "l.json", annotations={}).read(SIZES)
    with pytest.raises(InputError, match="not valid COCO JSON"):
        coco(tmp_path / "l.json", annotations=[{"image_id": 5, "category_id": 2, "bbox": [1, 2, 3, 4]}]).read(SIZES)


def test_masks_become_boxes(tmp_path):
    mask = np.zeros((100, 200), np.uint8)
    mask[20:40, 30:50] = 2
    mask[43:60, 30:50] = 2  # three rows below: the same person behind a rail
    mask[70:75, 100:120] = 2  # too low to be asked for
    mask[80:90, 150:159] = 2  # of too few pixels
    mask[20:40, 50:90] = 1  # touches the person, but is of another class
    write_image(tmp_path / "1.png", mask)
    classes = CATALOG["MSRS"].classes["mask"]
    found = Labels("mask", tmp_path, classes).read(SIZES)["1"]
    messages = {
        (name, *map(int, box), bool(c)) for name, box, c in zip(found.classes, found.corners, found.crowd, strict=True)
    }
    assert messages == {
        ("person", 30, 20, 50, 60, False),
        ("person", 100, 70, 120, 75, True),
        ("person", 150, 80, 159, 90, True),
        ("car", 50, 20, 90, 40, False),
    }
    mask[0, 0] = 77
    write_image(tmp_path / "1.png", mask, overwrite=True)
    with pytest.raises(InputError, match="got: 77"):
        Labels("mask", tmp_path, classes).read(SIZES)
    write_image(tmp_path / "1.png", mask[:50], overwrite=True)
    with pytest.raises(InputError, match="expected: 100 x 200"):
        Labels("mask", tmp_path, classes).read(SIZES)


def test_masks_agree_with_drawn_boxes(data_folder):
    folder = data_folder / "MSRS" / "test"
    drawn = Labels("yolo", folder / "detection_labels", CATALOG["MSRS"].classes["yolo"])
    sizes = {name: Size(480, 640) for name in drawn.names()}
    by_hand = drawn.read(sizes)
    derived = Labels("mask", folder / "Segmentation_labels", CATALOG["MSRS"].classes["mask"]).read(sizes)
    near = total = 0
    for name, boxes in by_hand.items():
        for box, kind in zip(boxes.corners, boxes.classes, strict=True):
            others = derived[name].select_classes([kind]).corners
            low, high = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
            shared = (high - low).clip(0).prod(1)
            areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
            near += bool((shared / (areas - shared) >= 0.5).any())
            total += 1
    assert (near, total) == (43, 50)


def test_a_yolo_polygon_counts_as_the_box_around_it(tmp_path):
    found = yolo(tmp_path, _1="0 0.1 0.2 0.3 0.1 0.2 0.6\n").read(SIZES)["1"]
    assert found.corners[0].tolist() == pytest.approx([20, 10, 60, 60])


def test_text_in_utf16_and_xml_in_a_declared_encoding_are_read(tmp_path):
    folder = tmp_path / "yolo"
    folder.mkdir()
    (folder / "1.txt").write_bytes("0 0.5 0.5 0.1 0.1\n".encode("utf-16"))
    assert Labels("yolo", folder, CLASSES).read(SIZES)["1"].classes == ("person",)
    text = VOC.format(w=200, h=100, difficult=0, box=CORNERS).replace("person", "Stra\u00dfe")
    (tmp_path / "1.xml").write_bytes(f'<?xml version="1.0" encoding="ISO-8859-1"?>{text}'.encode("latin-1"))
    assert Labels("voc", tmp_path, {"Stra\u00dfe": "street"}).read(SIZES)["1"].classes == ("street",)


def coco_file(path, **changes):
    document = {
        "images": [{"id": "7", "file_name": "C:\\data\\1.png"}],
        "categories": [{"id": 1.0, "name": "person"}],
        "annotations": [{"image_id": 7, "category_id": "1", "bbox": [10, 20, 30, 40]}],
    }
    path.write_text(json.dumps(document | changes))
    return Labels("coco", path, {"person": "person"})


def test_coco_ids_may_be_text_and_paths_those_of_another_system(tmp_path):
    found = coco_file(tmp_path / "a.json").read(SIZES)["1"]
    assert found.corners.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize(
    "annotation",
    [
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 10**400, 1]},
        {"image_id": [7], "category_id": 1, "bbox": [0, 0, 1, 1]},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, float("nan"), 1]},
        {"image_id": 7, "category_id": 1, "bbox": "abcd"},
        {"image_id": 7, "category_id": 1},
        7,
    ],
)
def test_one_bad_annotation_is_an_error_and_never_a_trace(tmp_path, annotation):
    with pytest.raises(InputError, match=r"a\.json"):
        coco_file(tmp_path / "a.json", annotations=[annotation]).read(SIZES)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": ' + "[" * 100_000, "9" * 5000, "\ufeff{}", "{}"])
def test_json_that_is_deep_or_huge_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="COCO JSON"):
        Labels("coco", path, CLASSES).read(SIZES)
    with pytest.raises((InputError, PairingError)):
        read_predictions(path, ["1"])


def test_predictions_take_ids_as_text_and_refuse_what_is_not_finite(tmp_path):
    path = tmp_path / "p.json"
    row = {"image_id": "1", "category_id": "3", "bbox": [1, 2, 3, 4], "score": 0.5}
    path.write_text(json.dumps([row]))
    assert read_predictions(path, ["1"])["1"].classes == ("car",)
    path.write_text(json.dumps([row | {"score": float("inf")}]))
    with pytest.raises(InputError, match="finite"):
        read_predictions(path, ["1"])
