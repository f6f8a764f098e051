"""Neighborhood arithmetic against direct sums."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from refinefuse.errors import InputError
from refinefuse.filters import blur, box, dilate, erode, gaussian, magnitude, root, sobel

MODES = {"zero": "constant", "replicate": "edge", "mirror": "reflect"}


def image(h, w):
    return torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (2, 1, h, w)))


def direct(x, window, border):
    margins = [(0, 0), (0, 0), *((n // 2, n // 2) for n in window.shape)]
    padded = x.numpy() if border == "valid" else np.pad(x.numpy(), margins, mode=MODES[border])
    return np.einsum("ncijkl,kl->ncij", sliding_window_view(padded, window.shape, axis=(2, 3)), window)


@pytest.mark.parametrize("border", ["valid", "zero", "replicate", "mirror"])
@pytest.mark.parametrize("size", [(20, 31), (230, 17), (210, 260)])
def test_blur_is_correlation_with_the_window(border, size):
    down, across = gaussian(7, 1.3), tuple(float(i) for i in range(7))
    expected = direct(image(*size), np.outer(down, across), border)
    np.testing.assert_allclose(blur(image(*size), down, border, across=across).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("step", [2, 3])
def test_blur_of_every_second_or_third_position(step):
    for size in ((20, 31), (410, 17)):
        whole = blur(image(*size), gaussian(7, 1.3), "mirror")
        torch.testing.assert_close(
            blur(image(*size), gaussian(7, 1.3), "mirror", step=step), whole[..., ::step, ::step]
        )


def test_windows_sum_to_one():
    assert sum(gaussian(11, 1.5)) == pytest.approx(1)
    assert sum(box(7)) == pytest.approx(1)


@pytest.mark.parametrize("border", ["valid", "zero", "replicate", "mirror"])
def test_sobel(border):
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    across, down = sobel(image(9, 12), border)
    np.testing.assert_allclose(across.numpy(), direct(image(9, 12), kernel, border), atol=1e-9)
    np.testing.assert_allclose(down.numpy(), direct(image(9, 12), kernel.T, border), atol=1e-9)


@pytest.mark.parametrize("size", [1, 3, 15])
def test_dilate_and_erode(size):
    x = image(20, 9)
    margins = [(0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)]
    for function, fill, pick in ((dilate, -np.inf, np.max), (erode, np.inf, np.min)):
        padded = np.pad(x.numpy(), margins, constant_values=fill)
        expected = pick(sliding_window_view(padded, (size, size), axis=(2, 3)), axis=(4, 5))
        np.testing.assert_array_equal(function(x, size).numpy(), expected)


def test_a_window_that_does_not_fit():
    with pytest.raises(InputError, match="at least 11 x 11"):
        blur(image(8, 20), gaussian(11, 1.5))


def test_slopes_are_finite_at_zero():
    x = torch.zeros(3, requires_grad=True)
    (root(x).sum() + magnitude(x, x).sum()).backward()
    assert torch.equal(x.grad, torch.zeros(3))


@pytest.mark.parametrize("side", [12, 205])
def test_blur_can_be_differentiated(side):
    x = image(side, 14).requires_grad_()
    blur(x, gaussian(5, 1.0), "mirror").pow(2).sum().backward()
    step = 1e-4 * torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        change = (
            blur(x + step, gaussian(5, 1.0), "mirror").pow(2) - blur(x - step, gaussian(5, 1.0), "mirror").pow(2)
        ).sum()
    assert float((x.grad * step).sum() * 2) == pytest.approx(float(change), rel=1e-6)
