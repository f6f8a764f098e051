"""Segmentation networks: what they say of every pixel, how that agrees with masks, and what is refused."""

import numpy as np
import pytest
from segmenters import street, write_segmenter

from refinefuse.errors import ConfigError, InputError
from refinefuse.segmentation.evaluation import IGNORED, OTHER, count_pixels, evaluate_segmentation
from refinefuse.segmentation.onnx_segmenter import OnnxSegmenter


@pytest.mark.parametrize("output", ["scores", "class-numbers"])
@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("scale", [1, 4])
def test_every_pixel_gets_its_class(tmp_path, output, letterbox, scale):
    path = write_segmenter(tmp_path / "n.onnx", {"letterbox": letterbox}, scale=scale, output=output)
    image, mask = street(128, 128)  # of other proportions than the input
    found = OnnxSegmenter(path)(image)
    assert found.shape == mask.shape
    assert found.dtype == np.uint8
    assert (found != mask).mean() < 0.03 * scale  # edges of classes, at the resolution of the output


def test_channels_are_ordered_and_normalized(tmp_path):
    image, mask = street(32, 64)
    swapped = write_segmenter(tmp_path / "n.onnx", {"channels": "bgr"})
    found = OnnxSegmenter(swapped)(image)
    assert set(found[mask == 1].tolist()) == {2}
    assert set(found[mask == 2].tolist()) == {1}
    bright = write_segmenter(tmp_path / "b.onnx", {"mean": [-255, 0, 0]})
    assert set(OnnxSegmenter(bright)(image)[mask == 0].tolist()) == {1}


def test_a_network_that_leaves_its_size_open(tmp_path):
    image, mask = street(32, 64)
    path = write_segmenter(tmp_path / "n.onnx", {"size": [32, 64]}, size=("h", "w"))
    np.testing.assert_array_equal(OnnxSegmenter(path)(image), mask)
    with pytest.raises(InputError, match="`size` in its settings"):
        OnnxSegmenter(write_segmenter(tmp_path / "n.onnx", size=("h", "w")))


@pytest.mark.parametrize(
    ("settings", "output", "said"),
    [
        ({"classes": ["road", "person"]}, "scores", r"(?s)one map per class.*got: \(1, 3, 32, 64\)"),
        ({"classes": ["road", "person"]}, "class-numbers", "class numbers without a name"),
        ({"output": "class-numbers"}, "scores", r"(?s)expected: \(1, h, w\)"),
        ({"output": "masks"}, "scores", "output"),
        ({"std": [1, 0, 1]}, "scores", "std"),
        ({"anchors": []}, "scores", "is not a key"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, output, said):
    path = write_segmenter(tmp_path / "n.onnx", settings, output=output)
    with pytest.raises(ConfigError, match=said):
        OnnxSegmenter(path)(street(32, 64)[0])


def test_a_network_without_settings_or_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        OnnxSegmenter(tmp_path / "n.onnx")
    path = write_segmenter(tmp_path / "n.onnx")
    path.with_suffix(".yaml").unlink()
    with pytest.raises(ConfigError, match="Cannot read the settings"):
        OnnxSegmenter(path)


def test_pixels_are_counted_class_by_class():
    truth = np.array([[0, 0, 1, OTHER, IGNORED, IGNORED]], np.uint8)
    found = np.array([[0, 1, 1, 1, 0, OTHER]], np.uint8)
    assert count_pixels(truth, found, 2).tolist() == [[1, 2, 1], [1, 1, 3]]


def test_intersection_over_union_is_of_all_pixels_and_of_classes_that_are_there():
    counts = np.array([[[3, 4, 3], [0, 0, 2], [0, 0, 0]], [[1, 2, 5], [1, 1, 1], [0, 0, 0]]])
    found = evaluate_segmentation(counts)
    np.testing.assert_allclose(found.iou, [4 / (6 + 8 - 4), 1 / 3, np.nan])
    assert found.mean_iou == pytest.approx((0.4 + 1 / 3) / 2)


def test_intervals_are_those_of_images_drawn_anew():
    generator = np.random.default_rng(5)
    counts = generator.integers(10, 99, (7, 2, 3))
    counts[..., 1:] += counts[..., :1]
    found = evaluate_segmentation(counts)
    drawn = np.random.default_rng(0)
    for sample in found.bootstrap_samples[:20]:
        chosen = counts[drawn.integers(0, 7, 7)]
        shared, asked, said = chosen.sum(0).T
        assert sample == pytest.approx((shared / (asked + said - shared)).mean())
    np.testing.assert_array_equal(found.bootstrap_samples, evaluate_segmentation(counts).bootstrap_samples)
