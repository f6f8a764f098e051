"""Color for looking at, and of several sources."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from refinefuse.image.color import (
    YCbCrImage,
    merge_color_sources,
    order_invariant_sum,
    to_rgb8,
    to_tensor,
    to_ycbcr,
    with_source_color,
)

GRAY = np.array([[0, 90, 255]], np.uint8)
COLOR = np.array([[[200, 60, 60], [60, 60, 200], [90, 90, 90]]], np.uint8)
ALPHA = np.array([[255, 128, 0]], np.uint8)


class TestForLookingAt:
    def test_gray_in_three_channels(self):
        np.testing.assert_array_equal(to_rgb8(GRAY), np.stack([GRAY] * 3, -1))
        np.testing.assert_array_equal(to_rgb8(np.stack([GRAY, ALPHA], -1)), np.stack([GRAY] * 3, -1))

    def test_color_without_alpha(self):
        np.testing.assert_array_equal(to_rgb8(COLOR), COLOR)
        np.testing.assert_array_equal(to_rgb8(np.dstack([COLOR, ALPHA])), COLOR)

    def test_one_row_of_three_pixels_is_no_color(self):
        assert to_rgb8(np.zeros((3, 1), np.uint8)).shape == (3, 1, 3)

    def test_16_bits_become_8(self):
        np.testing.assert_array_equal(to_rgb8(GRAY.astype(np.uint16) * 257), np.stack([GRAY] * 3, -1))


class TestWithSourceColor:
    def luma(self, pixels):
        return to_ycbcr(to_tensor(pixels)).luma

    def test_a_gray_result_gets_the_chroma_of_the_source(self):
        fused = np.array([[100, 100, 100]], np.uint8)
        shown = with_source_color(fused, COLOR)
        assert shown.dtype == np.uint8
        chroma, expected = (to_ycbcr(to_tensor(x)).chroma for x in (shown, COLOR))
        torch.testing.assert_close(chroma, expected, atol=0.01, rtol=0)
        torch.testing.assert_close(self.luma(shown), self.luma(fused), atol=0.01, rtol=0)

    def test_gray_stored_as_rgb_counts_as_gray(self):
        fused = np.full((1, 3, 3), 100, np.uint8)
        np.testing.assert_array_equal(with_source_color(fused, COLOR), with_source_color(fused[..., 0], COLOR))

    def test_a_colored_result_is_left_as_it_is(self):
        np.testing.assert_array_equal(with_source_color(COLOR[:, ::-1], COLOR), COLOR[:, ::-1])

    def test_a_gray_source_gives_none(self):
        np.testing.assert_array_equal(with_source_color(GRAY, GRAY), to_rgb8(GRAY))


class TestSeveralSources:
    def source(self, luma, chroma=None, alpha=None):
        def plane(values):
            return None if values is None else torch.tensor(values).reshape(1, -1, 1, 1)

        return YCbCrImage(plane([luma]), plane(chroma), plane(alpha))

    def test_gray_sources_have_no_chroma(self):
        merged = merge_color_sources([self.source(0.2), self.source(0.7)])
        assert merged.chroma is None
        assert merged.alpha is None
        assert merged.luma.item() == pytest.approx(0.2)

    def test_the_only_color_is_taken(self):
        merged = merge_color_sources([self.source(0.2), self.source(0.7, [0.1, -0.2]), self.source(0.4)])
        assert merged.chroma.flatten().tolist() == pytest.approx([0.1, -0.2])

    def test_colors_are_weighted_by_saturation(self):
        merged = merge_color_sources([self.source(0.2, [0.3, 0.0]), self.source(0.7, [0.1, 0.2])])
        assert merged.chroma.flatten().tolist() == pytest.approx([0.25, 0.2])

    def test_the_largest_alpha_is_taken(self):
        merged = merge_color_sources([self.source(0.2, None, [0.3]), self.source(0.7), self.source(0.1, None, [0.9])])
        assert merged.alpha.item() == pytest.approx(0.9)

    def test_the_order_changes_no_bit(self):
        generator = torch.Generator().manual_seed(0)
        terms = torch.rand(5, 40, generator=generator) * 10 ** torch.linspace(-4, 4, 5)[:, None]
        expected = order_invariant_sum(terms)
        torch.testing.assert_close(expected, terms.sum(0))
        for _ in range(10):
            assert torch.equal(order_invariant_sum(terms[torch.randperm(5, generator=generator)]), expected)


def test_an_image_in_parts_is_a_value():
    with pytest.raises(FrozenInstanceError):
        to_ycbcr(to_tensor(COLOR)).chroma = None
