"""Average precision against a literal slow version and against pycocotools, and its intervals."""

import contextlib
import io

import numpy as np
import pytest
from slow_coco import average_precision

pytest.importorskip("faster_coco_eval", reason="needs the extra `detection`")

from refinefuse.detection.boxes import make_boxes
from refinefuse.detection.evaluation import _annotations, evaluate_detections, interval

CLASSES = ("person", "car")
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def scenes(seed=0, images=12, empty=()):
    """Labels, and boxes that are near them, far from them, and double."""
    random = np.random.default_rng(seed)
    labels, found = {}, {}
    for image in range(images):
        count = 0 if image in empty else int(random.integers(0, 6))
        corner, size = random.uniform(0, 300, (count, 2)), random.uniform(8, 150, (count, 2))
        boxes = np.hstack([corner, corner + size])
        kinds = random.choice(CLASSES, count)
        labels[str(image)] = make_boxes(boxes, list(kinds), crowd=random.random(count) < 0.2)
        again = np.vstack([boxes + random.normal(0, 6, boxes.shape) for _ in range(2)]) if count else boxes
        false = random.uniform(0, 300, (3, 2))
        again = np.vstack([again, np.hstack([false, false + random.uniform(5, 99, (3, 2))])])
        again[:, 2:] = np.maximum(again[:, 2:], again[:, :2] + 2)
        names = [*kinds, *kinds, *random.choice(CLASSES, 3)]
        found[str(image)] = make_boxes(again, names, random.permutation(len(again)) / len(again) + image * 1e-4)
    return labels, found


def of_class(labels, found, kind):
    def of(boxes, values):
        return [
            (box.tolist(), value.item())
            for box, value, name in zip(boxes.corners, values, boxes.classes, strict=True)
            if name == kind
        ]

    return [(of(found[k], found[k].scores), of(labels[k], labels[k].crowd)) for k in labels]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_definition_says(seed):
    labels, found = scenes(seed, empty=(3, 4))
    result = evaluate_detections(labels, found, CLASSES, bootstrap_samples=0)
    for kind in CLASSES:
        images = of_class(labels, found, kind)
        expected = [average_precision(images, threshold) for threshold in THRESHOLDS]
        assert result.ap50_by_class[kind] == pytest.approx(expected[0], abs=1e-6)
        assert result.ap_by_class[kind] == pytest.approx(np.mean(expected), abs=1e-6)
    assert result.ap50 == pytest.approx(np.mean(list(result.ap50_by_class.values())))


def test_it_is_what_pycocotools_says():
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    labels, found = scenes(7, 30)
    truth, results = coco.COCO(), coco.COCO()
    categories = {name: k for k, name in enumerate(CLASSES, 1)}
    frame = {"images": [{"id": i} for i in range(1, 31)], "categories": [{"id": k} for k in categories.values()]}
    truth.dataset = {**frame, "annotations": _annotations(list(labels.values()), categories)}
    results.dataset = {**frame, "annotations": _annotations(list(found.values()), categories)}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results.createIndex()
        theirs = evaluation.COCOeval(truth, results, "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    ours = evaluate_detections(labels, found, CLASSES, bootstrap_samples=0)
    assert (ours.ap, ours.ap50) == pytest.approx(tuple(theirs.stats[:2]), abs=1e-9)
    recall = theirs.eval["recall"][0, :, 1:, -1]
    assert list(ours.recall_by_size.values()) == pytest.approx(list(recall.mean(0)), abs=1e-9)


def test_perfect_boxes_and_none():
    labels, _ = scenes(1)
    labels = {name: boxes.select(~boxes.crowd) for name, boxes in labels.items()}
    nothing = {name: make_boxes([], []) for name in labels}
    assert evaluate_detections(labels, labels, CLASSES, bootstrap_samples=0).ap == pytest.approx(1)
    assert evaluate_detections(labels, nothing, CLASSES, bootstrap_samples=0).ap == 0
    assert np.isnan(evaluate_detections(nothing, labels, CLASSES, bootstrap_samples=0).ap50)


def test_draws_are_those_of_resampled_images_and_the_same_for_every_method():
    labels, found = scenes(2, 8)
    result = evaluate_detections(labels, found, CLASSES, bootstrap_samples=20)
    chosen = np.random.default_rng(0).integers(0, 8, 8)
    names = list(labels)
    again = {str(i): names[k] for i, k in enumerate(chosen)}
    resampled = evaluate_detections(
        {i: labels[k] for i, k in again.items()}, {i: found[k] for i, k in again.items()}, CLASSES, bootstrap_samples=0
    )
    assert result.bootstrap_samples[:, 0] == pytest.approx([resampled.ap50, resampled.ap], abs=1e-9)
    low, high = interval(result.bootstrap_samples[0])
    assert low < result.ap50 < high
    assert np.array_equal(
        evaluate_detections(labels, found, CLASSES, bootstrap_samples=20).bootstrap_samples, result.bootstrap_samples
    )
