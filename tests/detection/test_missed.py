"""Which labels are found, and what labeled objects look like."""

import numpy as np
import pytest

from refinefuse.detection.boxes import make_boxes
from refinefuse.detection.missed import match, objects_of

LABELS = make_boxes([(0, 0, 10, 10), (4, 0, 14, 10), (30, 30, 40, 50)], ["car", "car", "person"])


@pytest.mark.parametrize(
    ("boxes", "classes", "scores", "hit"),
    [
        ([(0, 0, 10, 10)], ["car"], [0.9], [True, False, False]),
        ([(0, 0, 10, 10)], ["person"], [0.9], [False, False, False]),  # of another class
        ([(0, 0, 10, 10)], ["car"], [0.2], [False, False, False]),  # not sure enough
        ([(1, 0, 11, 10), (0, 0, 10, 10)], ["car", "car"], [0.9, 0.8], [True, False, False]),  # the surest takes it
        ([(3, 0, 13, 10), (0, 0, 10, 10)], ["car", "car"], [0.9, 0.8], [True, True, False]),
        ([(30, 30, 40, 39)], ["person"], [0.9], [False, False, False]),  # less than half
        ([(30, 30, 40, 40)], ["person"], [0.9], [False, False, True]),  # half
        ([], [], [], [False, False, False]),
    ],
)
def test_a_box_finds_one_label(boxes, classes, scores, hit):
    assert match(LABELS, make_boxes(boxes, classes, scores), 0.3).tolist() == hit


def test_light_contrast_and_size_of_an_object():
    infrared, visible = np.full((64, 64), 20.0), np.full((64, 64), 100.0)
    infrared[30:50, 30:40] = 220
    visible[30:50, 30:40] = 90
    labels = make_boxes([(30, 30, 40, 50), (0, 0, 8, 8)], ["person", "person"], crowd=[False, True])
    found = {"infrared": make_boxes([(30, 30, 40, 50)], ["person"], [0.5]), "visible": make_boxes([], [])}
    (one,) = objects_of("1", labels, found, {"infrared": infrared, "visible": visible}, 0.3)
    assert one.found_in == {"infrared"}
    assert (one.light, one.size) == (90, pytest.approx(200**0.5))
    assert one.contrast == {"infrared": pytest.approx(200), "visible": pytest.approx(10)}


def test_an_object_that_fills_its_image_has_no_surroundings():
    luma = np.full((8, 8), 50.0)
    (one,) = objects_of("1", make_boxes([(0, 0, 8, 8)], ["car"]), {}, {"visible": luma}, 0.3)
    assert one.contrast["visible"] == 0
