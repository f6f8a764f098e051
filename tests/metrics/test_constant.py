"""A constant image correlates with nothing, although its mean is rounded; what the tables hold cannot be changed."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
import torch
from images import tensors, triplet

from refinefuse.metrics import CONVENTIONS, METRICS, cc, scd


@pytest.mark.parametrize("level", [0.0, 0.1, 77.7, 255.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_correlation_is_zero(level, dtype):
    fused, a, b = (x.to(dtype) for x in tensors(*triplet(45, 51)))
    flat = torch.full_like(fused, level)
    assert float(cc(flat, a, b)) == 0
    assert float(cc(fused, flat, flat)) == 0
    assert float(cc(fused, flat, b)) == pytest.approx(float(cc(fused, b, b)) / 2)
    assert float(cc(fused, a, flat)) == pytest.approx(float(cc(fused, a, a)) / 2)


def test_a_low_contrast_image_is_not_a_constant_one():
    fused, _, b = tensors(*triplet(45, 51))
    assert float(cc(100 + fused / 1e6, b, b)) == pytest.approx(float(cc(fused, b, b)), rel=1e-5)


def test_what_a_copy_adds_is_nothing():
    b, a = triplet(45, 51)[2], triplet(45, 51)[1]
    expected = np.corrcoef((b - a).ravel(), b.ravel())[0, 1]
    assert float(scd(*tensors(b, a, b))) == pytest.approx(expected)


@pytest.mark.parametrize("row", [METRICS["VIF"], CONVENTIONS["li"], CONVENTIONS["li"].variants["VIF"]])
def test_rows_of_the_tables_are_values(row):
    with pytest.raises(FrozenInstanceError):
        setattr(row, fields(row)[0].name, None)
