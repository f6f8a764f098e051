"""The default definition of every metric against the literal version in `oracle.py`."""

import oracle
import pytest
from pictures import tensors, triplet

from refinefuse.metrics import METRICS
from refinefuse.metrics.features import _LOW

PETROVIC = {"Qabf_p": 0, "Labf": 1, "Nabf": 2, "Nabf_p": 3}
FEATURES = {
    "FMI_pixel": lambda x: x,
    "FMI_gradient": lambda x: oracle.np.gradient(x, axis=1),
    "FMI_edge": oracle.edge_map,
    "FMI_dct": oracle.dct,
    "FMI_wavelet": lambda x: oracle.meyer(x, _LOW[::-1]),
}


def expected(key, *pictures):
    if key in PETROVIC:
        return oracle.petrovic(*pictures)[PETROVIC[key]]
    if key in FEATURES:
        return oracle.fmi(FEATURES[key])(*pictures)
    return getattr(oracle, key.lower().replace("-", "_"))(*pictures)


@pytest.mark.parametrize("size", [(46, 61), (64, 48)])
@pytest.mark.parametrize("key", METRICS)
def test_equals_the_literal_formula(key, size):
    metric = METRICS[key]
    if metric.smallest > min(size):
        size = tuple(metric.smallest + n % 5 for n in size)
    pictures = triplet(*size)
    assert float(metric.function(*tensors(*pictures))) == pytest.approx(expected(key, *pictures), rel=1e-9, abs=1e-12)
