"""The frozen detector in training: the same numbers as its runtime, gradients, and what it asks."""

from dataclasses import replace

import pytest
import torch
from torch import nn

pytest.importorskip("onnx", reason="detectors in training need the extra `onnx`")
pytest.importorskip("lightning", reason="training needs the extra `train`")

import onnx
from little_yolox import SIDE, export

from refinefuse.errors import ConfigError, InputError
from refinefuse.losses import LossWeights
from refinefuse.training.detector import FrozenDetector, detection_loss
from refinefuse.training.task import FusionTask
from refinefuse.training.train import fit_recipe


class Dividing(nn.Module):
    def forward(self, x):
        return torch.erf(x)


def edited(yolox, kind, change):
    """Change the first node of a kind, in the file."""
    model = onnx.load(yolox)
    change(next(node for node in model.graph.node if node.op_type == kind))
    onnx.save(model, yolox)


def test_the_scores_are_those_of_onnxruntime(yolox):
    runtime = pytest.importorskip("onnxruntime")
    luma = torch.rand(1, 1, SIDE, SIDE)
    session = runtime.InferenceSession(str(yolox), providers=["CPUExecutionProvider"])
    (rows,) = session.run(None, {"images": (luma.expand(-1, 3, -1, -1) * 255).numpy()})
    classes = torch.from_numpy(rows[..., 5:] * rows[..., 4:5])
    expected = torch.stack([classes[..., 0], classes[..., [2, 5, 7]].amax(-1)], -1)
    torch.testing.assert_close(FrozenDetector(yolox).scores(luma), expected)


def test_other_sizes_and_batches(yolox):
    detector = FrozenDetector(yolox)
    luma = torch.rand(2, 1, 70, 130)
    scores = detector.scores(luma)
    assert scores.shape == (2, 16 * 32 + 8 * 16, 2)
    torch.testing.assert_close(detector.scores(luma[1:, :, :64, :128]), scores[1:])


def test_what_the_better_source_shows_is_asked_of_the_fused_image(yolox):
    detector = FrozenDetector(yolox)
    a, b = torch.rand(2, 2, 1, 64, 64)
    fused = (a * b).requires_grad_()
    loss = detection_loss(fused, a, b, detector)
    loss.backward()
    assert loss > 0
    assert torch.isfinite(fused.grad).all()
    assert fused.grad.any()
    assert detection_loss(a, a, a, detector) == 0


class Brightness:
    """Each pixel is a cell, as sure as it is bright."""

    def scores(self, luma):
        return luma.flatten(1)[..., None].expand(-1, -1, 2)


def test_the_loss_is_the_weighted_shortfall():
    a, b, fused = (
        torch.tensor(row).reshape(1, 1, 1, 4) for row in ([0.8, 0, 0.2, 0], [0, 0.6, 0, 0], [0.3, 0.9, 0, 1.0])
    )
    # In each of two groups: wanted 0.8, 0.6, 0.2, 0; short by 0.5, 0, 0.2, 0.
    torch.testing.assert_close(detection_loss(fused, a, b, Brightness()), torch.tensor(2 * (0.4 + 0.04) / (2 * 1.6)))
    assert detection_loss(torch.maximum(a, b) + 0.1, a, b, Brightness()) == 0
    assert detection_loss(fused, 0 * a, 0 * b, Brightness()) == 0


class MiddleGray:
    """Each pixel is a cell, as sure as it is neither black nor white."""

    def scores(self, luma):
        return (1 - 2 * (luma - 0.5).abs()).flatten(1)[..., None]


def test_what_is_seen_in_the_mean_of_the_sources_is_asked_for():
    black, white = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert detection_loss((black + white) / 2, black, white, MiddleGray()) == 0
    assert detection_loss(white, black, white, MiddleGray()) == 1


def test_another_network_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"not a YOLOX(.|\n)*got also: Erf"):
        FrozenDetector(export(Dividing(), tmp_path / "other.onnx"))
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="Cannot read the detector"):
        FrozenDetector(tmp_path / "broken.onnx")
    with pytest.raises(InputError, match="Cannot read the detector"):
        FrozenDetector(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Resize", "mode", "linear"),
        ("Resize", "nearest_mode", "ceil"),
        ("Conv", "pads", [0, 0, 2, 2]),
        ("MaxPool", "ceil_mode", 1),
    ],
)
def test_an_operation_that_would_be_computed_otherwise_is_refused(yolox, kind, name, value):
    def change(node):
        kept = [item for item in node.attribute if item.name != name]
        node.ClearField("attribute")
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    edited(yolox, kind, change)
    with pytest.raises(InputError, match=f"got also: {kind} of another kind"):
        FrozenDetector(yolox)


def test_attributes_that_a_file_leaves_out_have_their_defaults(yolox):
    luma = torch.rand(1, 1, SIDE, SIDE)
    before = FrozenDetector(yolox).scores(luma)

    def change(node):
        kept = [item for item in node.attribute if item.name not in ("dilations", "auto_pad")]
        node.ClearField("attribute")
        node.attribute.extend(kept)

    edited(yolox, "Conv", change)
    torch.testing.assert_close(FrozenDetector(yolox).scores(luma), before)


def test_other_classes_than_those_of_coco_are_refused(yolox):
    model = onnx.load(yolox)
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 7
    onnx.save(model, yolox)
    with pytest.raises(InputError, match=r"got also: an output of \[7\] columns"):
        FrozenDetector(yolox)


def test_a_crop_in_which_the_detector_sees_nothing_is_refused(tiny):
    with pytest.raises(ConfigError, match="crop.* 32 or more with a detection loss"):
        replace(tiny, crop_size=16, loss_weights=LossWeights(detection=1.0), detector="d.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_weights": LossWeights(detection=1.0)},
        {"detector": "d.onnx"},
        {"loss_weights": LossWeights(detection=-1.0)},
    ],
)
def test_a_weight_needs_a_detector_and_the_other_way_round(tiny, changes):
    with pytest.raises(ConfigError, match="detect"):
        replace(tiny, **changes)


@pytest.mark.filterwarnings("default")  # Lightning warns of many things that a small run does
def test_training_asks_the_detector_and_leaves_it_as_it_is(tiny, data, yolox):
    recipe = replace(
        tiny, max_steps=20, val_check_interval=20, loss_weights=LossWeights(detection=1.0), detector=yolox.name
    )
    task = FusionTask(recipe, yolox.parent)
    assert not any("detector" in name for name in task.state_dict())
    assert fit_recipe(recipe, data, data / "run", num_workers=0).is_file()
    assert "loss/detection" in (data / "run" / "csv" / "metrics.csv").read_text()
