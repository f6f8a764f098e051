"""Upsampling in exported graphs, which is made of sums alone, against the operator of torch."""

import pytest
import torch

from refinefuse.network.refinement import _doubled, interpolate, upsample


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (4, 1), (6, 9)])
def test_the_sums_of_exported_graphs_are_bilinear_upsampling(height, width):
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(_doubled(x), interpolate(x, 2), rtol=0, atol=1e-15)


def test_only_exported_graphs_are_made_of_sums(monkeypatch):
    x = torch.rand(1, 2, 3, 4)
    assert torch.equal(upsample(x, 2), interpolate(x, 2))
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert torch.equal(upsample(x, 2), _doubled(x))
    assert torch.equal(upsample(x, 4), interpolate(x, 4))
