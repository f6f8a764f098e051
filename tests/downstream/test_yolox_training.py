"""A detector from an ONNX file: the same numbers as the file gives, a loss that falls, and the right cells."""

import numpy as np
import pytest
import torch
from trainable import write_trainable_segmenter, write_trainable_yolox

from refinefuse.detection.cells import cells_of, decode
from refinefuse.detection.coco import COCO_CLASSES
from refinefuse.downstream.onnx_module import OnnxModule
from refinefuse.downstream.yolox_training import (
    DetectionTargets,
    assign,
    detection_loss,
    open_trainable,
    overlaps,
)
from refinefuse.errors import InputError

CELLS = cells_of(64, 64)


def predicting(boxes, sure=0.99):
    """The output of a network whose cells predict these boxes and nothing else, of one class."""
    output = torch.zeros(len(CELLS.strides), 6)
    output[:, 4:] = 0.001
    for cell, (left, top, right, bottom) in boxes.items():
        stride, center = CELLS.strides[cell], CELLS.centers[cell]
        middle = torch.tensor([(left + right) / 2, (top + bottom) / 2])
        output[cell, :2] = (middle - center) / stride + 0.5
        output[cell, 2:4] = (torch.tensor([right - left, bottom - top]) / stride).log()
        output[cell, 4:] = sure
    return output


def targets(*corners, crowd=(), padding=1):
    """The objects of one image, then padding."""
    boxes = torch.tensor([*corners, *crowd, *[(0, 0, 0, 0)] * padding]).float()[None]
    number = torch.arange(boxes.shape[1])[None]
    counted = number < len(corners)
    return DetectionTargets(boxes, torch.zeros_like(number), counted, ~counted & (number < len(corners) + len(crowd)))


def assigned(objects, output):
    """Which cell is responsible for which object, with which overlap."""
    output = output[None]
    taken, of_object, overlap = assign(objects, decode(output, CELLS), output[..., 4:5] * output[..., 5:], CELLS)
    return {n: (of_object[0, n].item(), overlap[0, n].item()) for n in torch.nonzero(taken[0]).flatten().tolist()}


@pytest.mark.parametrize(("write", "name"), [(write_trainable_yolox, "images"), (write_trainable_segmenter, "image")])
def test_the_module_gives_what_the_file_gives(tmp_path, write, name):
    ort = pytest.importorskip("onnxruntime", reason="needs the extra `detection`")
    path = write(tmp_path / "network.onnx")
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 64, 64)).astype(np.float32)
    session = ort.InferenceSession(path)
    expected = np.concatenate([session.run(None, {name: image[None]})[0] for image in images])
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(
        OnnxModule(path)(torch.from_numpy(images)).detach(), expected, rtol=1e-4, atol=1e-6 * np.ptp(expected)
    )


def test_the_chosen_classes_keep_their_weights(tmp_path):
    path = write_trainable_yolox(tmp_path / "yolox.onnx")
    images = torch.rand(1, 3, 64, 64) * 255
    whole, part = OnnxModule(path)(images), open_trainable(path, ["car", "person"])(images)
    columns = [0, 1, 2, 3, 4, *(5 + COCO_CLASSES.index(name) for name in ("car", "person"))]
    torch.testing.assert_close(part, whole[..., columns])


@pytest.mark.parametrize(
    ("classes", "extra", "chosen", "said"),
    [(80, (), ["unicorn"], "unicorn"), (3, (), ["car"], "80 classes"), (80, ("Erf",), ["car"], "Erf")],
)
def test_what_cannot_be_trained_is_refused(tmp_path, classes, extra, chosen, said):
    with pytest.raises(InputError, match=said):
        open_trainable(write_trainable_yolox(tmp_path / "yolox.onnx", classes, extra), chosen)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "yolox.onnx"
    path.write_bytes(b"\x08\x99damaged")
    with pytest.raises(InputError, match="Cannot open"):
        OnnxModule(path)


def test_boxes_come_back_from_the_offsets_of_cells():
    box = (10.0, 20.0, 30.0, 28.0)
    for cell in (0, 25, 70, 83):  # of every stride
        torch.testing.assert_close(decode(predicting({cell: box}), CELLS)[cell], torch.tensor(box))


def test_overlaps_of_known_boxes():
    one, two = torch.tensor([0.0, 0, 4, 4]), torch.tensor([[2.0, 0, 6, 4], [0, 0, 4, 4], [8, 8, 9, 9]])
    torch.testing.assert_close(overlaps(one, two), torch.tensor([1 / 3, 1.0, 0]))


def test_the_cell_that_finds_an_object_is_responsible_for_it():
    boxes = (8.0, 8.0, 24.0, 24.0), (40.0, 40.0, 56.0, 56.0)
    found = assigned(targets(*boxes), predicting(dict(zip((9, 45), boxes, strict=True))))  # beside their centers
    assert found[9] == (0, pytest.approx(1))
    assert found[45] == (1, pytest.approx(1))


def test_no_cell_is_responsible_for_two_objects_or_for_padding():
    objects = (2.0, 50, 12, 60), (20, 20, 44, 44), (26, 20, 50, 44)
    output = torch.rand(len(CELLS.strides), 6, generator=torch.Generator().manual_seed(0))
    found = assigned(targets(*objects), output)
    assert {number for number, _ in found.values()} == {0, 1, 2}
    assert found == assigned(targets(*objects, padding=9), output)
    assert assigned(targets(crowd=objects), output) == {}


def test_objects_are_mirrored_with_their_image():
    one, other = targets((2, 4, 12, 20)), targets((40, 0, 64, 8))
    both = DetectionTargets(*(torch.cat(pair) for pair in zip(one, other, strict=True)))
    chosen = both.select(torch.tensor([1, 0, 0]), torch.tensor([False, True, False]), 64)
    assert chosen.corners[:, 0].tolist() == [[40, 0, 64, 8], [52, 4, 62, 20], [2, 4, 12, 20]]


def test_the_loss_prefers_the_object_that_is_there():
    box = (8.0, 8.0, 24.0, 24.0)
    there = targets(box)
    right, beside, nothing = (
        detection_loss(predicting(boxes)[None], there, CELLS) for boxes in ({9: box}, {9: (12, 8, 28, 24)}, {})
    )
    assert right < beside < nothing


def test_what_is_found_where_nobody_separated_objects_costs_nothing():
    box = (8.0, 8.0, 24.0, 24.0)
    found = predicting({9: box})[None]
    uncounted = detection_loss(found, targets(crowd=[box]), CELLS)
    wrong = detection_loss(found, targets(), CELLS)
    assert uncounted < wrong / 2


def test_training_finds_a_bright_block(tmp_path):
    network = open_trainable(write_trainable_yolox(tmp_path / "yolox.onnx"), ["car"])
    images = torch.zeros(2, 3, 64, 64)
    images[0, :, 16:32, 16:32] = 1
    images[1, :, 32:48, 16:32] = 1
    pair = targets((16, 16, 32, 32)), targets((16, 32, 32, 48))
    objects = DetectionTargets(*(torch.cat(parts) for parts in zip(*pair, strict=True)))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = detection_loss(network(images), objects, CELLS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
