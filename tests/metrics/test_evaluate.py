"""Many metrics at once, conventions, and bad input."""

import doctest
import sys

import numpy as np
import pytest
import torch
from images import tensors, triplet

from refinefuse.errors import InputError
from refinefuse.metrics import COMMON, CONVENTIONS, DIAGNOSTICS, METRICS, evaluate
from refinefuse.metrics.conventions import convention_named


def test_the_example_runs():
    found = doctest.testmod(sys.modules["refinefuse.metrics.evaluate"])
    assert found.attempted
    assert not found.failed


def test_shared_work_changes_nothing():
    images = tensors(*triplet(46, 50))
    together = evaluate(*images, metrics=[*COMMON, *DIAGNOSTICS, "QS", "QW", "VIFF"])
    for key, value in together.items():
        torch.testing.assert_close(value, METRICS[key].function(*images), rtol=1e-12, atol=0)


def test_fused_is_rounded_half_up():
    fused, a, b = tensors(*triplet(20, 20))
    assert torch.equal(
        evaluate(fused - 0.5, a, b, metrics=["MSE"])["MSE"], evaluate(fused, a, b, metrics=["MSE"])["MSE"]
    )


def test_conventions_differ_as_documented():
    images = tensors(*triplet(165, 170))
    default = evaluate(*images, metrics=["MI", "EN", "PSNR", "MSE", "SF", "AG", "SD", "SSIM"])
    other = {key: evaluate(*images, metrics="convention", convention=key) for key in CONVENTIONS if key != "default"}
    h, w = 165, 170
    ratio = {
        ("cddfuse", "MI"): 0.6931471805599453,
        ("tang", "AG"): h * w / ((h - 1) * (w - 1)),
        ("tang", "MSE"): 1 / 255**2,
        ("tang2022", "SF"): 1 / 255,
        ("li", "SD"): (h * w) ** 0.5 / 255,
    }
    for (convention, key), factor in ratio.items():
        assert float(other[convention][key] / default[key]) == pytest.approx(factor)
    assert float(other["li"]["MI"]) == pytest.approx(2 * float(default["EN"]))
    assert float(other["tang"]["PSNR"] - default["PSNR"]) == pytest.approx(48.1308036)
    assert float(other["vifb"]["VAR"]) == pytest.approx(float(default["SD"]))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_variant_is_computed(convention):
    scores = evaluate(*tensors(*triplet(161, 161)), metrics="convention", convention=convention)
    assert list(scores) == list(CONVENTIONS[convention].variants)


def test_metrics_outside_of_a_convention_are_the_default_ones():
    images = tensors(*triplet(46, 50))
    found = evaluate(*images, metrics=["edge_recall", "QS"], convention="cddfuse")
    assert found == evaluate(*images, metrics=["edge_recall", "QS"])


def test_color_is_scored_by_channel():
    triplets = [tensors(*triplet(30, 33, seed)) for seed in range(3)]
    color = [torch.cat(x, 1) for x in zip(*triplets, strict=True)]
    keys = ["EN", "SSIM", "SF"]
    alone = [evaluate(*x, metrics=keys, convention="vifb") for x in triplets]
    together = evaluate(*color, metrics=keys, convention="vifb")
    for key in ("EN", "SSIM"):
        assert float(together[key]) == pytest.approx(sum(float(x[key]) for x in alone) / 3)
    wide = evaluate(*(torch.cat(x, -1) for x in zip(*triplets, strict=True)), metrics=["SF"], convention="vifb")
    assert float(together["SF"]) == pytest.approx(float(wide["SF"]))


def test_small_images_are_nan_with_a_warning():
    with pytest.warns(UserWarning, match=r"MS-SSIM \(161\).*got: 30 pixels"):
        scores = evaluate(*tensors(*triplet(30, 200)), metrics=["MS-SSIM", "SSIM"])
    assert torch.isnan(scores["MS-SSIM"]).all()
    assert not torch.isnan(scores["SSIM"]).any()


@pytest.mark.parametrize("key", METRICS)
def test_smallest_size(key):
    side = METRICS[key].min_size
    assert not torch.isnan(METRICS[key].function(*tensors(*triplet(side, side)))).any()


def test_a_image_smaller_than_the_window_is_refused():
    with pytest.raises(InputError, match="at least 11 x 11"):
        METRICS["SSIM"].function(*tensors(*triplet(10, 40)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, a, b: (f[..., 1:], a, b), "of the same size"),
        (lambda f, a, b: (f, a[:, :, 0], b), "of the same size"),
        (lambda f, a, b: ("fused.png", a, b), "numpy arrays or torch tensors"),
        (lambda f, a, b: (f.numpy().astype(str), a, b), "numpy arrays or torch tensors"),
        (lambda f, a, b: (f * 257, a, b), "8-bit levels"),
        (lambda f, a, b: (f / 255, a / 255, b / 255), "Multiply images"),
        (lambda f, a, b: (f * float("nan"), a, b), "8-bit levels"),
        (lambda f, a, b: (f[..., :0], a[..., :0], b[..., :0]), "of the same size"),
    ],
)
def test_bad_images(change, message):
    with pytest.raises(InputError, match=message):
        evaluate(*change(*tensors(*triplet(20, 20))))


def test_the_common_metrics_by_default():
    assert list(evaluate(*tensors(*triplet(20, 20)))) == list(COMMON)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_score_as_tensors(dtype, channels):
    images = [np.stack([image] * channels, -1).squeeze(-1 if channels == 1 else ()) for image in triplet(24, 30)]
    images = [image[::-1].astype(dtype)[::-1] for image in images]
    images[0].setflags(write=False)
    expected = evaluate(*tensors(*triplet(24, 30)), metrics=["EN", "SSIM"])
    found = evaluate(*images, metrics=["EN", "SSIM"])
    assert {key: float(value) for key, value in found.items()} == pytest.approx(
        {key: float(value) for key, value in expected.items()}
    )


def test_gray_infrared_with_color_visible_is_scored_in_luma():
    fused, a, b = tensors(*triplet(24, 30))
    color = torch.cat([b, b / 2, 255 - b], 1)
    luma = 0.299 * b + 0.587 * (b / 2) + 0.114 * (255 - b)
    found = evaluate(fused, a[0], color, metrics=["VIF", "MI"])
    expected = evaluate(fused, a, luma, metrics=["VIF", "MI"])
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


@pytest.mark.parametrize("key", METRICS)
def test_a_value_per_triplet(key):
    side = max(24, METRICS[key].min_size)
    images = [x.expand(2, -1, -1, -1) for x in tensors(*triplet(side, side))]
    assert METRICS[key].function(*images).shape == (2,)


def test_unknown_names():
    images = tensors(*triplet(20, 20))
    with pytest.raises(InputError, match="Unknown metrics"):
        evaluate(*images, metrics=["ENT"])
    with pytest.raises(InputError, match="Unknown convention"):
        evaluate(*images, convention="mine")


def test_conventions_in_any_case():
    assert convention_named("CDDFuse") is convention_named("cddfuse")


def test_names_in_any_case():
    assert list(evaluate(*tensors(*triplet(20, 20)), metrics=["en", "QABF", "en"])) == ["EN", "Qabf"]


def test_every_row_has_a_source_and_a_warning():
    for metric in METRICS.values():
        assert metric.source
        assert metric.caveat
        assert metric.summary.endswith(".")
