"""The statistics of the whole image: digits and gradients where a cell is flat, or nearly."""

import pytest
import torch

from refinefuse.network.context import StreamingGridStatistics, area_weights, cell_samples, grid_statistics

SIZES = pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 70), (48, 64), (61, 33)])


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("length", "cells"), [(1, 8), (5, 8), (16, 8), (100, 8), (641, 64)])
def test_samples_of_a_cell_weigh_what_the_area_says(length, cells):
    samples, weights = cell_samples(length, cells)
    dense = torch.zeros(cells, length, dtype=torch.float64).scatter_add_(1, samples, weights)
    torch.testing.assert_close(dense, area_weights(length, cells))


@pytest.mark.parametrize(("length", "cells", "samples"), [(16, 8, 3), (100, 8, 15), (4000, 32, 126)])
def test_a_cell_takes_no_more_samples_than_it_may_cover(length, cells, samples):
    assert cell_samples(length, cells)[0].shape == (cells, samples)


@SIZES
def test_by_strips_it_is_the_same(height, width):
    x = image(height, width)
    by_strips = StreamingGridStatistics(height, width, 8)
    for start in range(0, height, 7):
        by_strips.add(x[:, :, start : start + 7])
    torch.testing.assert_close(by_strips.result(), grid_statistics(x, 8), rtol=0, atol=1e-7)


def test_gradients_are_finite_where_a_cell_is_flat():
    x = image(64, 64)
    x[..., :32] = 0.3
    x.requires_grad_()
    grid_statistics(x, 8).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_a_bright_cell_with_little_contrast_keeps_its_digits_in_float32():
    x = 0.9 + 1e-5 * image(64, 64)
    exact = grid_statistics(x, 8)[0, 1]
    torch.testing.assert_close(grid_statistics(x.float(), 8)[0, 1].double(), exact, rtol=0.02, atol=0)


def test_a_flat_image_has_no_deviation_in_bfloat16():
    x = torch.full((1, 1, 64, 64), 0.71, dtype=torch.bfloat16)
    assert grid_statistics(x, 8)[0, 1].max() < 0.01
