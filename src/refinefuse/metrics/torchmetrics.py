"""Every metric as a class of torchmetrics: `Vif`, `EdgeRecall`, `MsSsim`, ... (extra `torchmetrics`).

The class name is the key of the metric in CamelCase. Each class averages over all images passed to `update`, in one
process or several, and can be part of a `MetricCollection`.

Example:
    >>> import torch
    >>> from torchmetrics import MetricCollection
    >>> from refinefuse.metrics.torchmetrics import EdgeRecall, Vif
    >>> scores = MetricCollection([Vif(), EdgeRecall()])
    >>> a, b = torch.rand(2, 4, 1, 64, 64).mul(255)
    >>> scores.update((a + b) / 2, a, b)
    >>> sorted(scores.compute())
    ['EdgeRecall', 'Vif']
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import torch
from torch import Tensor

from refinefuse.errors import optional
from refinefuse.metrics.conventions import convention_named
from refinefuse.metrics.evaluate import MetricInput, evaluate
from refinefuse.metrics.table import METRICS

with optional("torchmetrics", "The torchmetrics adapter"):
    import torchmetrics


class FusionMetric(torchmetrics.Metric):
    """The mean of one metric over images.

    Args:
        convention: whose definition; see `refinefuse.metrics.CONVENTIONS`.
        options: keyword arguments of `torchmetrics.Metric`.

    Raises:
        InputError: if the convention is unknown.
    """

    full_state_update = False
    is_differentiable = False
    key: ClassVar[str]
    total: Tensor
    num_images: Tensor

    def __init__(self, *, convention: str = "default", **options: Any) -> None:
        super().__init__(**options)
        self.convention = convention_named(convention).key
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, fused: MetricInput, a: MetricInput, b: MetricInput) -> None:
        """Score triplets as `refinefuse.metrics.evaluate` does; NaN values are excluded from the mean."""
        values = evaluate(fused, a, b, metrics=self.key, convention=self.convention)[self.key]
        self.total += values.nansum().to(self.total.device)
        self.num_images += (~values.isnan()).sum().to(self.num_images.device)

    def compute(self) -> Tensor:
        """The mean over all images; NaN before the first one."""
        return self.total / self.num_images


def _class_name(key: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"\W|_", key))


def _adapter(name: str, key: str) -> type[FusionMetric]:
    row = METRICS[key]
    attributes = {
        "__module__": __name__,
        "__doc__": f"{row.summary}\n\nThe mean over images; see `FusionMetric` and `refinefuse.metrics`.",
        "key": key,
        "higher_is_better": row.higher_is_better,
        "plot_lower_bound": row.lower_bound,
        "plot_upper_bound": row.upper_bound,
    }
    return type(name, (FusionMetric,), attributes)


_KEYS = {_class_name(key): key for key in METRICS}
globals().update({name: _adapter(name, key) for name, key in _KEYS.items()})

__all__ = ["FusionMetric", *_KEYS]  # one class per row of the table


def __getattr__(name: str) -> type[FusionMetric]:
    raise AttributeError(f"{__name__} has no metric {name!r}. It has: {', '.join(_KEYS)}")
