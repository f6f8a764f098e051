"""What must hold for any image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from images import pair, tensors, triplet

from refinefuse.filters import blur, gaussian
from refinefuse.metrics import METRICS, caching, evaluate, labf, nabf, qabf_p

FAST = [key for key in METRICS if not key.startswith("FMI") and key not in ("MS-SSIM", "QP")]
STEPS = (
    "EN",
    "MI",
    "QMI",
    "QNCIE",
    "QTE",
    "CE",
    "QP",
    "QCV",
    "QCB",
    "edge_recall",
    "missed_targets",
    "gradient_reversal",
    "overshoot",
)
SMOOTH = [key for key in METRICS if key not in STEPS and not key.startswith("FMI")]
seeds = st.integers(0, 10_000)


def values(key, *images):
    return METRICS[key].function(*images)


@settings(max_examples=10)
@given(seed=seeds)
def test_symmetric_in_the_sources_where_the_table_says_so(seed):
    fused, a, b = tensors(*triplet(45, 50, seed))
    with caching():
        for key in FAST:
            one, other = values(key, fused, a, b), values(key, fused, b, a)
            if METRICS[key].symmetric:
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@settings(max_examples=10)
@given(seed=seeds)
def test_within_its_range(seed):
    scores = evaluate(*tensors(*triplet(45, 50, seed)), metrics=FAST)
    for key, value in scores.items():
        assert METRICS[key].lower_bound - 1e-9 <= float(value) <= METRICS[key].upper_bound + 1e-9, key


@settings(max_examples=5)
@given(first=seeds, second=seeds)
def test_a_batch_is_a_loop(first, second):
    one, other = tensors(*triplet(45, 50, first)), tensors(*triplet(45, 50, second))
    both = evaluate(*(torch.cat(x) for x in zip(one, other, strict=True)), metrics=FAST)
    alone = [evaluate(*x, metrics=FAST) for x in (one, other)]
    for key in FAST:
        torch.testing.assert_close(both[key], torch.cat([x[key] for x in alone]), rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=10)
@given(seed=seeds)
def test_petrovic_fractions_sum_to_one(seed):
    images = tensors(*triplet(20, 25, seed))
    total = qabf_p(*images) + labf(*images) + nabf(*images)
    torch.testing.assert_close(total, torch.ones_like(total))


BEST = {"MSE": 0, "RMSE": 0, "CC": 1, "SSIM": 2, "MS-SSIM": 2, "VIF": 2, "QMI": 2, "CE": 0, "QM": 3, "QS": 1, "QW": 1,
        "QE": 1, "QC": 1, "QY": 1, "QCV": 0, "QCB": 1, "QSF": 0, "VIFF": 1, "FMI_pixel": 1, "FMI_edge": 1, "QP": 1,
        "MEF-MS-SSIM": 1, "overshoot": 0, "noise_gain": 1, "Nabf": 0, "spurious_edges": 0,
        "spurious_curvature": 0}  # fmt: skip


@pytest.mark.parametrize(("key", "best"), BEST.items())
def test_three_equal_images_score_best(key, best):
    (image,) = tensors(pair(170, 165)[1])
    slack = 5e-3 if key == "QP" else 1e-6  # QP masks the sources and not the fused image
    assert float(values(key, image, image, image)) == pytest.approx(best, abs=slack)


def test_psnr_of_three_equal_images_is_infinite():
    (image,) = tensors(pair(20, 20)[1])
    assert float(values("PSNR", image, image, image)) == np.inf


@pytest.mark.parametrize("key", ["SSIM", "VIF", "Qabf", "QS", "QC", "QY", "FMI_pixel", "QP"])
def test_falls_with_noise(key):
    a, b = pair(64, 70)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, a.shape)
    images = [np.clip(np.round((a + b) / 2 + s * noise), 0, 255) for s in (0, 8, 30)]
    scores = [float(evaluate(*tensors(x, a, b), metrics=[key])[key]) for x in images]
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("key", ["SF", "AG", "EI", "VIF", "Qabf", "Qabf_p", "QM", "FMI_gradient", "QSF"])
def test_falls_with_blur(key):
    fused, a, b = tensors(*triplet(64, 70))
    blurred = [fused, *(blur(fused, gaussian(9, s), "replicate") for s in (0.8, 2.0))]
    scores = [float(evaluate(x, a, b, metrics=[key])[key]) for x in blurred]
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("key", SMOOTH)
@pytest.mark.parametrize("case", ["mixture", "copy", "flat", "black"])
def test_gradients_are_finite_in_float32(key, case):
    side = max(44, METRICS[key].min_size)
    fused, a, b = (x.float() for x in tensors(*triplet(side, side)))
    if case == "copy":
        fused = b.clone()
    if case == "flat":
        fused = torch.full_like(fused, 90.0)
    if case == "black":
        fused, a, b = fused * 0, a * 0, b * 0
    fused.requires_grad_()
    (gradient,) = torch.autograd.grad(values(key, fused, a, b).sum(), fused, allow_unused=True)
    assert gradient is None or torch.isfinite(gradient).all()


@pytest.mark.parametrize("key", METRICS)
@pytest.mark.parametrize("level", [0.0, 90.0])
def test_constant_images_have_a_value(key, level):
    side = max(44, METRICS[key].min_size)
    _, a, b = tensors(*triplet(side, side))
    flat = torch.full_like(a, level)
    for images in ((flat, a, b), (a, flat, b), (flat, flat, flat), (flat, flat, b)):
        assert not torch.isnan(values(key, *images)).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("key", METRICS)
def test_gpu_equals_cpu(key):
    side = max(64, METRICS[key].min_size)
    images = tensors(*triplet(side, side))
    on_gpu = values(key, *(x.cuda() for x in images)).cpu()
    torch.testing.assert_close(on_gpu, values(key, *images), rtol=1e-6, atol=1e-9)
