"""What a step of training adds up, and what a validation step measures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.data.crops import UNLABELED, Augmentation, PairCropDataset, collate
from refinefuse.losses import LossWeights, fusion_loss, object_recall_loss
from refinefuse.metrics import evaluate
from refinefuse.training.detector import detection_loss
from refinefuse.training.segmenter import segmentation_loss
from refinefuse.training.task import VALIDATION_METRICS, FusionTask

WEIGHTS = LossWeights(detection=0.5, object_recall=2.0, segmentation=3.0)


@pytest.fixture
def recipe(tiny, yolox):
    """The small recipe with every loss that needs labels or a detector."""
    labeled = [replace(part, labels="labels") for part in tiny.datasets]
    return replace(tiny, datasets=labeled, loss_weights=WEIGHTS, detector=yolox.name)


@pytest.fixture
def batch(recipe):
    """Crops of two pairs whose sources are noisy, and with pixels of background, of an object, and without a label."""
    generator = np.random.default_rng(0)
    pairs = [tuple(generator.integers(0, 256, (2, 6, 8), np.uint8).repeat(8, 1).repeat(8, 2)) for _ in range(2)]
    labels = generator.choice(np.array([0, 1, UNLABELED], np.uint8), (6, 8)).repeat(8, 0).repeat(8, 1)
    dataset = PairCropDataset(
        pairs, [1.0, 1.0], size=recipe.crop_size, crops=recipe.crops_per_pair, context_size=8,
        augmentation=Augmentation(thermal_noise_p=1), length=2, seed=0, labels=[labels, labels],
    )  # fmt: skip
    batch = collate([dataset[0], dataset[1]])
    assert set(batch.labels.unique().tolist()) == {0, 1, UNLABELED}
    return batch


@pytest.fixture
def logged(monkeypatch):
    """What a task logs."""
    logged = {}
    monkeypatch.setattr(FusionTask, "log", lambda self, name, value, **_: logged.update({name: value}))
    monkeypatch.setattr(FusionTask, "log_dict", lambda self, values, **_: logged.update(values))
    return logged


def step(task, batch):
    """The loss of one step, and the fused crops that it is of."""
    predict, fused = task.network.predict_padded, []

    def recorded(*arguments):
        output = predict(*arguments)
        fused.append(output.fused)
        return output

    task.network.predict_padded = recorded
    return task.training_step(batch, 0), fused[0].float()


def test_each_term_counts_by_its_weight_and_is_logged(recipe, batch, yolox, logged):
    task = FusionTask(recipe, yolox.parent)
    loss, fused = step(task, batch)
    a, b = batch.reference_a, batch.reference_b
    of_images, terms = fusion_loss(fused, a, b, recipe.loss_weights, recipe.crops_per_pair)
    expected = {
        "detection": detection_loss(fused, a, b, task.detector),
        "object_recall": object_recall_loss(255 * fused, 255 * a, 255 * b, batch.labels == 1),
        "segmentation": segmentation_loss(task.segmenter(fused), batch.labels),
    }
    assert all(term > 0 for term in expected.values())
    of_tasks = 0.5 * expected["detection"] + 2 * expected["object_recall"] + 3 * expected["segmentation"]
    torch.testing.assert_close(loss, of_images + of_tasks)
    assert logged.keys() == {"loss", *(f"loss/{name}" for name in [*terms, *expected])}
    for name, term in [("", loss), *((f"/{name}", term) for name, term in (terms | expected).items())]:
        torch.testing.assert_close(logged[f"loss{name}"], term)


@pytest.mark.parametrize("name", ["detection", "object_recall", "segmentation"])
def test_a_term_without_a_weight_is_not_computed(recipe, batch, yolox, logged, name):
    weights = replace(WEIGHTS, **{name: 0.0})
    without = replace(recipe, loss_weights=weights, detector=None if name == "detection" else yolox.name)
    step(FusionTask(without, yolox.parent), batch)
    others = {"detection", "object_recall", "segmentation"} - {name}
    assert {f"loss/{other}" for other in others} <= logged.keys()
    assert f"loss/{name}" not in logged


def test_the_gradient_reaches_the_fusion_network_and_the_segmenter(recipe, batch, yolox, logged):
    task = FusionTask(recipe, yolox.parent)
    step(task, batch)[0].backward()
    for network in (task.network, task.segmenter):
        assert sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None) > 0


def test_validation_measures_whole_pairs(tiny, logged):
    task = FusionTask(tiny)
    a, b = (
        torch.rand(2, 1, 1, 6, 8, generator=torch.Generator().manual_seed(0))
        .repeat_interleave(8, 3)
        .repeat_interleave(8, 4)
    )
    with torch.no_grad():
        fused = task.validation_step((a, b), 0)
        torch.testing.assert_close(fused, task.network(a, b))
    scores = evaluate(255 * fused, 255 * a, 255 * b, metrics=VALIDATION_METRICS)
    assert logged.keys() == {f"validation/{name}" for name in VALIDATION_METRICS}
    for name, value in scores.items():
        assert logged[f"validation/{name}"] == pytest.approx(float(value.mean()), abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_its_terms(tiny, batch, logged, bad):
    with pytest.raises(FloatingPointError, match=r"the loss is not finite.*'intensity'"):
        FusionTask(tiny).training_step(batch._replace(a=batch.a * bad), 0)
