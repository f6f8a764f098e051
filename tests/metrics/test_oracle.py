"""The default definition of every metric against the literal version in `oracle.py`."""

import numpy as np
import oracle
import pytest
import torch
from images import tensors, triplet
from oracle_conventions import default, vif_steerable

from refinefuse.metrics import CONVENTIONS, METRICS, steerable
from refinefuse.metrics.statistics import quantile


@pytest.mark.parametrize("size", [(46, 61), (64, 48)])
@pytest.mark.parametrize("key", METRICS)
def test_equals_the_literal_formula(key, size):
    metric = METRICS[key]
    if metric.min_size > min(size):
        size = tuple(metric.min_size + n % 5 for n in size)
    images = triplet(*size)
    assert float(metric.function(*tensors(*images))) == pytest.approx(default(key)(*images), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("key", "literal"), [("SD", oracle.sd_uint8), ("VIF", oracle.vif_uint8)])
def test_eight_bit_arithmetic_of_tang2022(key, literal):
    images = triplet(50, 64)
    found = CONVENTIONS["tang2022"].function(key)(*tensors(*images))
    assert float(found) == pytest.approx(literal(*images), rel=1e-9)
    assert float(found) != pytest.approx(float(METRICS[key].function(*tensors(*images))), rel=0.01)


def test_fidelity_of_wavelets():
    images = triplet(78, 90)
    found = steerable.vif_steerable(*tensors(*images))
    assert float(found) == pytest.approx(vif_steerable(*images), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0, 0.25, 0.5, 0.95, 1])
def test_quantile(q, dtype):
    random = np.random.default_rng(3)
    for values in (random.integers(0, 256, (3, 1, 7, 9)), random.normal(0, 5, (2, 1, 40, 50)), np.zeros((1, 1, 3, 4))):
        found = quantile(torch.from_numpy(values).to(dtype), q)
        expected = np.quantile(values.astype(str(dtype)[6:]).astype(float), q, axis=(1, 2, 3), keepdims=True)
        np.testing.assert_allclose(
            found.numpy(), expected, rtol=4 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps
        )
