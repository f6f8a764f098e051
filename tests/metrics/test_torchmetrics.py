"""The adapters for torchmetrics give what `evaluate` gives."""

import doctest
import pickle

import pytest
import torch
from images import tensors, triplet
from torchmetrics import MetricCollection

from refinefuse import metrics
from refinefuse.errors import InputError
from refinefuse.metrics import METRICS, evaluate
from refinefuse.metrics import torchmetrics as adapters

NAMES = [name for name in adapters.__all__ if name != "FusionMetric"]


def test_the_example_runs():
    found = doctest.testmod(adapters)
    assert found.attempted
    assert not found.failed


def test_an_adapter_per_metric():
    assert [getattr(adapters, name).key for name in NAMES] == list(METRICS)
    assert metrics.torchmetrics.Vif is adapters.Vif


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_two_updates(name):
    adapter = getattr(adapters, name)()
    side = max(24, METRICS[adapter.key].min_size)
    batches = [tensors(*triplet(side, side, seed)) for seed in (0, 1)]
    for batch in batches:
        adapter.update(*batch)
    expected = sum(float(evaluate(*batch, metrics=adapter.key)[adapter.key]) for batch in batches) / 2
    assert float(adapter.compute()) == pytest.approx(expected, rel=1e-12)
    assert adapter.higher_is_better is METRICS[adapter.key].higher_is_better


def test_reset_pickle_and_collection():
    batch = tensors(*triplet(24, 24))
    both = MetricCollection([adapters.Vif(convention="vifb"), adapters.MsSsim()])
    with pytest.warns(UserWarning, match="MS-SSIM"):
        both.update(*batch)
    copy = pickle.loads(pickle.dumps(both))  # noqa: S301  # its own bytes
    assert float(copy.compute()["Vif"]) == float(both.compute()["Vif"])
    assert torch.isnan(both.compute()["MsSsim"])
    both["Vif"].reset()
    assert float(both["Vif"].total) == 0


def test_unknown_names():
    with pytest.raises(InputError, match="Unknown convention"):
        adapters.Vif(convention="mine")
    with pytest.raises(AttributeError, match="EdgeRecall"):
        adapters.Kept  # noqa: B018
