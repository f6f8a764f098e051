"""What makes trained weights good and shows in no message: the average of the weights, the schedule of the rate, losses
of a pair as a whole, and the clean reference. Each of these tests fails if it is taken away."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.data import crops
from refinefuse.data.crops import Augmentation, PairCropDataset, collate
from refinefuse.losses import PER_PAIR_TERMS, TERMS, LossWeights, fusion_loss
from refinefuse.network.model import RefineFuse
from refinefuse.training import task as tasks
from refinefuse.training.task import FusionTask, warmed_cosine
from refinefuse.training.train import fit_recipe

pytestmark = pytest.mark.filterwarnings("default")  # Lightning warns of many things that a small run does


def flat(network):
    """All weights as one vector."""
    return torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])


@pytest.fixture
def steps(monkeypatch):
    """After each step of a run: the learning rate, and the weights that the optimizer made."""
    seen = []

    def record(self, outputs, batch, index):
        seen.append((self.trainer.optimizers[0].param_groups[0]["lr"], flat(self.network)))

    monkeypatch.setattr(FusionTask, "on_train_batch_end", record)
    return seen


def test_what_is_written_is_the_average_of_the_weights(data, tiny, tmp_path, steps):
    path = fit_recipe(replace(tiny, ema_decay=0.9), data, tmp_path / "run", num_workers=0)
    first, last, written = steps[0][1], steps[-1][1], flat(RefineFuse.from_pretrained(path))
    assert len(steps) == tiny.max_steps
    moved = (last - first).norm()
    assert moved > 0
    assert 0.01 * moved < (written - last).norm() < moved


def test_the_rate_changes_with_every_step(data, tiny, tmp_path, steps):
    fit_recipe(tiny, data, tmp_path / "run", num_workers=0)
    rates = [rate for rate, _ in steps]
    assert len(set(rates)) == tiny.max_steps
    assert 0 < max(rates) <= tiny.learning_rate


def test_the_rate_rises_and_falls_as_a_cosine():
    steps = 4000
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = warmed_cosine(optimizer, steps)["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    peak = int(np.argmax(rates))
    assert 100 <= peak < 400
    assert rates[0] < 0.02
    assert np.all(np.diff(rates[:peak]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)
    for part, expected in ((0.25, 1.7071), (0.5, 1.0), (0.75, 0.2929)):
        assert rates[int(part * steps)] == pytest.approx(expected, abs=0.01)
    assert rates[-1] < 1e-5


@pytest.mark.parametrize("name", TERMS)
def test_losses_of_the_whole_pair_see_all_of_its_crops_at_once(name):
    generator = torch.Generator().manual_seed(0)
    planes = [torch.rand(4, 1, 48, 48, generator=generator).cumsum(-1).cumsum(-2) % 1 for _ in range(3)]
    only = replace(LossWeights(**dict.fromkeys(asdict(LossWeights()), 0.0)), **{name: 1.0})
    found = fusion_loss(*planes, only, crops_per_pair=2)[1][name]
    by_pair = [torch.stack([torch.cat([*x[:2]], 1), torch.cat([*x[2:]], 1)]) * 255 for x in planes]
    by_crop = [x * 255 for x in planes]
    together, apart = TERMS[name](*by_pair), TERMS[name](*by_crop)
    torch.testing.assert_close(found, together if name in PER_PAIR_TERMS else apart)


def test_which_losses_are_of_the_whole_pair():
    assert set(PER_PAIR_TERMS) == {
        "vif",
        "coarse_level",
        "qabf",
        "scd",
        "hot_target",
        "spurious_edges",
        "spurious_curvature",
    }


ALL_DEGRADATIONS = dict(crops.DEGRADATIONS)


def degraded_batch(recipe, monkeypatch, degradation, **augmentation):
    """Crops of two pairs, all of whose visible images are degraded in one way."""
    monkeypatch.setattr(crops, "DEGRADATIONS", {degradation: ALL_DEGRADATIONS[degradation]})
    generator = np.random.default_rng(0)
    pairs = [tuple(generator.integers(0, 256, (2, 48, 64), np.uint8)) for _ in range(2)]
    dataset = PairCropDataset(
        pairs,
        [1.0, 1.0],
        size=recipe.crop_size,
        crops=recipe.crops_per_pair,
        context_size=recipe.network.context_size,
        augmentation=Augmentation(degrade_visible_p=1, **augmentation),
        length=2,
        seed=0,
    )
    return collate([dataset[0], dataset[1]])


@pytest.mark.parametrize("degradation", sorted(crops.NOT_OF_THE_SCENE))
def test_the_references_have_neither_noise_nor_rain(tiny, monkeypatch, degradation):
    batch = degraded_batch(tiny, monkeypatch, degradation, thermal_noise_p=1)
    assert (batch.reference_a - batch.a).abs().mean() > 0.002
    assert (batch.reference_b - batch.b).abs().mean() > 1e-4


@pytest.mark.parametrize("degradation", sorted(set(ALL_DEGRADATIONS) - crops.NOT_OF_THE_SCENE))
def test_the_references_have_every_other_change(tiny, monkeypatch, degradation):
    batch = degraded_batch(tiny, monkeypatch, degradation, degrade_infrared_p=1)
    assert torch.equal(batch.reference_a, batch.a)
    assert torch.equal(batch.reference_b, batch.b)


def test_misaligned_sources_are_a_few_pixels_apart():
    plane = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    apart = Augmentation(degrade_visible_p=0, max_scale=1, misaligned_p=1)
    dataset = PairCropDataset(
        [(plane, plane)], [1.0], size=32, crops=1, context_size=8, augmentation=apart, length=40, seed=0
    )
    batch = collate([dataset[index] for index in range(40)])
    assert torch.equal(batch.reference_a, batch.a)
    steps = range(-3, 4)
    moves = [
        next((d, r) for d in steps for r in steps if torch.equal(a[5:-5, 5:-5], b[5 - d : 27 - d, 5 - r : 27 - r]))
        for a, b in zip(batch.a[:, 0], batch.b[:, 0], strict=True)
    ]
    assert {abs(step) for move in moves for step in move} == {0, 1, 2, 3}


def test_training_compares_with_the_references_and_with_crops_by_pair(tiny, monkeypatch):
    batch = degraded_batch(tiny, monkeypatch, "sensor_noise", thermal_noise_p=1)
    task = FusionTask(tiny)
    monkeypatch.setattr(task, "log_dict", lambda *_, **__: None)
    asked = []

    def recorded(fused, a, b, *more):
        asked.append((fused, a, b, more))
        return fusion_loss(fused, a, b, *more)

    monkeypatch.setattr(tasks, "fusion_loss", recorded)
    loss = task.training_step(batch, 0)
    ((fused, a, b, more),) = asked
    assert torch.equal(a, batch.reference_a)
    assert torch.equal(b, batch.reference_b)
    assert more[:2] == (tiny.loss_weights, tiny.crops_per_pair)
    torch.testing.assert_close(loss, fusion_loss(fused, a, b, *more)[0])


def test_half_of_the_pairs_have_full_contrast_and_half_any(tiny):
    plane = np.zeros((48, 64), np.uint8)
    dataset = PairCropDataset(
        [(plane, plane)], [1.0], size=32, crops=2, context_size=8, augmentation=Augmentation(0, 0), length=400, seed=0
    )
    contrasts = torch.stack([dataset[index].contrast.flatten() for index in range(400)])
    assert torch.equal(contrasts[:, 0], contrasts[:, 1])  # one for all crops of a pair
    assert contrasts.max() == 1
    assert 0.4 < (contrasts == 1).double().mean() < 0.6
    below = contrasts[contrasts < 1]
    assert (below.min() < 0.1, below.max() > 0.9) == (True, True)
    assert 0.4 < below.mean() < 0.6


def test_crops_lie_anywhere_in_the_pair():
    plane = np.arange(48 * 64, dtype=np.float32).reshape(48, 64) / (48 * 64)
    dataset = PairCropDataset(
        [(np.zeros((48, 64), np.uint8),) * 2], [1.0], size=32, crops=1, context_size=8,
        augmentation=Augmentation(0, 0, 1), length=1, seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    corners = [divmod(round(float(dataset._cut((plane,), rng)[0][0, 0]) * 48 * 64), 64) for _ in range(3000)]
    assert {y for y, _ in corners} == set(range(17))
    assert {x for _, x in corners} == set(range(33))


@pytest.mark.parametrize(("steps", "rising"), [(5, 1), (100, 10), (1000, 100), (4000, 200), (20000, 400)])
def test_the_first_rates(steps, rising):
    """A tenth of a short run, 200 steps of a longer one, a fiftieth of a long one; the first step has a part of it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rate = warmed_cosine(optimizer, steps)["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert rate(0) == pytest.approx(1 / rising)
    if rising > 2:
        assert rate(1) == pytest.approx(2 / rising)
