"""The default definition of every metric against the literal version in `oracle.py`."""

import numpy as np
import oracle
import pytest
import torch
from images import tensors, triplet

from refinefuse.metrics import CONVENTIONS, METRICS, steerable
from refinefuse.metrics.features import _LOW
from refinefuse.metrics.statistics import quantile

PETROVIC = {"Qabf_p": 0, "Labf": 1, "Nabf": 2, "Nabf_p": 3}
FEATURES = {
    "FMI_pixel": lambda x: x,
    "FMI_gradient": lambda x: np.gradient(x, axis=1),
    "FMI_edge": oracle.edge_map,
    "FMI_dct": oracle.dct,
    "FMI_wavelet": lambda x: oracle.meyer(x, _LOW[::-1]),
}


def expected(key, *images):
    if key in PETROVIC:
        return oracle.petrovic(*images)[PETROVIC[key]]
    if key in FEATURES:
        return oracle.fmi(FEATURES[key])(*images)
    return getattr(oracle, key.lower().replace("-", "_"))(*images)


@pytest.mark.parametrize("size", [(46, 61), (64, 48)])
@pytest.mark.parametrize("key", METRICS)
def test_equals_the_literal_formula(key, size):
    metric = METRICS[key]
    if metric.min_size > min(size):
        size = tuple(metric.min_size + n % 5 for n in size)
    images = triplet(*size)
    assert float(metric.function(*tensors(*images))) == pytest.approx(expected(key, *images), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("key", "literal"), [("SD", oracle.sd_uint8), ("VIF", oracle.vif_uint8)])
def test_eight_bit_arithmetic_of_tang2022(key, literal):
    images = triplet(50, 64)
    found = CONVENTIONS["tang2022"].function(key)(*tensors(*images))
    assert float(found) == pytest.approx(literal(*images), rel=1e-9)
    assert float(found) != pytest.approx(float(METRICS[key].function(*tensors(*images))), rel=0.01)


def test_fidelity_of_wavelets():
    def whole(quarter, sign):
        upper = np.array(quarter)
        upper = np.hstack((upper, sign * upper[:, -2::-1]))
        return np.vstack((upper, upper[-2::-1]))

    filters = whole(steerable._FIRST, 1), whole(steerable._LOW, 1), whole(steerable._BAND, -1)
    images = triplet(78, 90)
    found = steerable.vif_steerable(*tensors(*images))
    assert float(found) == pytest.approx(oracle.vif_steerable(*images, *filters), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0, 0.25, 0.5, 0.95, 1])
def test_quantile(q, dtype):
    random = np.random.default_rng(3)
    for values in (random.integers(0, 256, (3, 1, 7, 9)), random.normal(0, 5, (2, 1, 40, 50)), np.zeros((1, 1, 3, 4))):
        found = quantile(torch.from_numpy(values).to(dtype), q)
        expected = np.quantile(values.astype(str(dtype)[6:]), q, axis=(1, 2, 3), keepdims=True)
        np.testing.assert_allclose(
            found.numpy(), expected, rtol=4 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps
        )
