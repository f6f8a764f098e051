"""Each term says what its name says, and can be descended."""

from dataclasses import asdict, replace

import pytest
import torch

from refinefuse.losses import (
    HOT_TARGET_MARGIN,
    TERMS,
    LossWeights,
    coarse_level_loss,
    fusion_loss,
    object_recall_loss,
)

NONE = LossWeights(**dict.fromkeys(asdict(LossWeights()), 0.0))


@pytest.fixture
def pair():
    """Two textures, smooth enough to have edges: levels 0..255, (2, 1, 64, 64)."""
    noise = torch.rand(2, 2, 1, 70, 70, generator=torch.Generator().manual_seed(0)).flatten(0, 1) * 255
    a, b = torch.nn.functional.avg_pool2d(noise, 7, 1).mul(3).sub(255).clamp(0, 255).unflatten(0, (2, 2))
    return a, b


def test_a_term_for_every_weight():
    assert TERMS.keys() | {"detection", "object_recall", "segmentation"} == asdict(LossWeights()).keys()


@pytest.mark.parametrize("name", TERMS)
def test_gradients_are_finite_on_images_and_on_flat_ones(name, pair):
    flat = torch.full_like(pair[0], 80.0)
    for a, b in (pair, (flat, flat), (flat, pair[1])):
        fused = ((a + b) / 2).requires_grad_()
        TERMS[name](fused, a, b).backward()
        assert torch.isfinite(fused.grad).all()


@pytest.mark.parametrize("name", TERMS)
def test_descending_a_term_makes_it_smaller(name, pair):
    a, b = pair
    too_much = name in (
        "overshoot",
        "spurious_edges",
        "spurious_curvature",
    )  # the other terms are not content with too little
    fused = (2 * (a + b) - 250 if too_much else (a + b) / 2 - 10).requires_grad_()
    before = TERMS[name](fused, a, b)
    before.backward()
    after = TERMS[name]((fused - fused.grad / fused.grad.abs().max()).detach(), a, b)
    assert after < before


def test_intensity_is_zero_at_the_maximum(pair):
    assert TERMS["intensity"](torch.maximum(*pair), *pair) == 0


@pytest.mark.parametrize("name", ["gradient", "edge_recall", "qabf", "vif"])
def test_a_copy_is_best_where_the_other_source_is_flat(name, pair):
    a, flat = pair[0], torch.full_like(pair[0], 128.0)
    copy, veiled = TERMS[name](a, a, flat), TERMS[name]((a + flat) / 2, a, flat)
    assert copy < veiled


def test_kept_forbids_the_copy_of_one_source(pair):
    a, b = pair
    both = a + b - b.mean()
    assert TERMS["edge_recall"](both, a, b) < TERMS["edge_recall"](a, a, b)
    assert TERMS["edge_recall"](both, a, b) < TERMS["edge_recall"](b, a, b)


def test_hot_sees_a_target_that_went_dark():
    a, b = torch.full((1, 1, 40, 40), 20.0), torch.full((1, 1, 40, 40), 60.0)
    a[..., 10:18, 10:18] = 250
    assert TERMS["hot_target"](torch.maximum(a, b), a, b) == 0
    torch.testing.assert_close(TERMS["hot_target"](b, a, b), torch.tensor(190 / 255))
    assert TERMS["hot_target"](b, b, b) == 0  # no target, nothing lost


def test_hot_wants_a_warm_target_over_the_middle_of_a_bright_scene():
    a, b = torch.full((1, 1, 40, 40), 20.0), torch.full((1, 1, 40, 40), 150.0)
    a[..., 10:18, 10:18] = 80
    b[..., 10:18, 10:18] = 60
    lifted = torch.where(a > 50, 150.0 + HOT_TARGET_MARGIN, b)
    assert TERMS["hot_target"](lifted, a, b) == 0
    torch.testing.assert_close(
        TERMS["hot_target"](torch.maximum(a, b), a, b), torch.tensor((70 + HOT_TARGET_MARGIN) / 255)
    )


def test_overshoot_sees_what_neither_source_shows_nearby(pair):
    for within in (torch.maximum(*pair), torch.minimum(*pair)):
        assert TERMS["overshoot"](within, *pair) == 0
    a, b = torch.full((1, 1, 40, 40), 20.0), torch.full((1, 1, 40, 40), 60.0)
    a[..., :20] = 100
    halo = torch.where(a > 50, 110.0, 10.0)  # 10 levels above the brighter source, 10 below the darker one
    halo[..., 13:27] = 50  # where 15 x 15 pixels see both sides
    torch.testing.assert_close(TERMS["overshoot"](halo, a, b), torch.tensor(26 / 40 * 7 / 255))


def test_the_sum_is_weighted_and_terms_of_weight_zero_are_left_out(pair):
    a, b = (x / 255 for x in pair)
    total, terms = fusion_loss((a + b) / 2, a, b, replace(NONE, intensity=2.0, hot_target=0.5))
    assert set(terms) == {"intensity", "hot_target"}
    torch.testing.assert_close(total, 2 * terms["intensity"] + 0.5 * terms["hot_target"])


def test_crops_of_one_pair_are_correlated_together():
    whole = torch.rand(3, 1, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    crops = [x.reshape(2, 1, 64, 64) for x in whole]
    _, together = fusion_loss(*crops, replace(NONE, scd=1.0), crops_per_pair=2)
    _, expected = fusion_loss(*whole, replace(NONE, scd=1.0))
    _, apart = fusion_loss(*crops, replace(NONE, scd=1.0))
    torch.testing.assert_close(together["scd"], expected["scd"])
    assert not torch.isclose(together["scd"], apart["scd"], rtol=1e-4)


def test_only_edges_of_objects_count():
    a = torch.zeros(1, 1, 64, 64)
    a[..., 16:48, 8:24] = 200
    a[..., 16:48, 40:56] = 200
    objects = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    objects[..., 16:48, 8:24] = True
    b = torch.zeros_like(a)
    fused = a.clone()
    fused[..., 32:] = 0  # the second is lost, and nobody labeled it
    assert object_recall_loss(fused, a, b, objects) == 0
    assert object_recall_loss(a - fused, a, b, objects) > 0.4


def test_the_coarse_level_is_the_mean_where_nothing_is_hot_and_brighter_where_it_is():
    a, b = torch.full((1, 1, 64, 64), 80.0), torch.full((1, 1, 64, 64), 120.0)
    assert coarse_level_loss((a + 3 * b) / 4, a, b) == pytest.approx(0, abs=1e-6)
    a[..., :8] = 220
    mean, hot = (a + b) / 2, (a + b) / 4 + torch.maximum(a, b) / 2
    assert coarse_level_loss(hot, a, b) < 1e-6 < coarse_level_loss(mean, a, b)
