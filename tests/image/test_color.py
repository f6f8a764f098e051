from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refinefuse.errors import InputError
from refinefuse.image.color import YCbCrImage, restore_color, to_array, to_tensor, to_ycbcr

IMAGES = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        st.one_of(
            st.tuples(st.integers(1, 9), st.integers(1, 9)),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 4)),
        ),
    )
)


def unchanged(pixels, color="b"):
    """An image taken apart and put together again with its own luma."""
    planes = to_ycbcr(to_tensor(pixels))
    gray = YCbCrImage(planes.luma)
    pair = (planes, gray) if color == "a" else (gray, planes)
    return to_array(restore_color(planes.luma, *pair, color), pixels.dtype)


def rgb(*colors):
    """One row of colors, each (r, g, b) in 0..255, as a tensor."""
    return to_tensor(np.uint8([colors]))


class TestTensors:
    @pytest.mark.parametrize(("shape", "channels"), [((5, 7), 1), ((5, 7, 2), 2), ((5, 7, 3), 3), ((5, 7, 4), 4)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_shape_type_and_range(self, shape, channels, dtype):
        full = 1 if dtype == np.float32 else np.iinfo(dtype).max
        pixels = np.zeros(shape, dtype)
        pixels[0, 1] = full
        tensor = to_tensor(pixels)
        assert tensor.shape == (1, channels, 5, 7)
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert tensor[0, :, 0, 1].eq(1).all()
        assert tensor.sum() == channels

    @given(IMAGES)
    def test_back_and_forth(self, pixels):
        np.testing.assert_array_equal(to_array(to_tensor(pixels), pixels.dtype), pixels, strict=True)

    def test_every_level(self):
        for dtype in (np.uint8, np.uint16):
            levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)[None]
            np.testing.assert_array_equal(to_array(to_tensor(levels), dtype), levels)

    def test_float_as_is(self):
        pixels = np.random.default_rng(0).random((5, 7, 3), np.float32)
        np.testing.assert_array_equal(to_array(to_tensor(pixels), np.float32), pixels, strict=True)

    def test_views_and_foreign_byte_order(self):
        pixels = np.random.default_rng(0).integers(0, 65536, (6, 8, 3)).astype(">u2")
        np.testing.assert_array_equal(to_array(to_tensor(pixels[::-1, ::2]), "uint16"), pixels[::-1, ::2])

    def test_the_array_is_not_shared(self):
        pixels = np.zeros((2, 2), np.float32)
        to_tensor(pixels).fill_(1)
        assert pixels.sum() == 0

    def test_rounds_half_up_and_clips(self):
        image = torch.tensor([-1.0, 0.0, 0.5, 1.5, 2.4999, 254.5, 255.0, 300.0]).div(255)[None, None, None]
        np.testing.assert_array_equal(to_array(image, np.uint8), [[0, 0, 1, 2, 2, 255, 255, 255]])
        np.testing.assert_array_equal(to_array(image * 255, np.float32), [[0, 0, 0.5, 1, 1, 1, 1, 1]])

    @pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2), np.uint8)])
    def test_refused(self, pixels):
        with pytest.raises(InputError, match="got"):
            to_tensor(pixels)


class TestSplit:
    def test_luma_is_bt601(self):
        planes = to_ycbcr(rgb((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)))
        assert planes.luma.flatten().tolist() == pytest.approx([0.299, 0.587, 0.114, 1, 0])

    def test_chroma_is_zero_centered_and_spans_one(self):
        blue, red = to_ycbcr(rgb((0, 0, 255), (255, 255, 0), (255, 0, 0), (0, 255, 255), (90, 90, 90))).chroma[0, :, 0]
        assert blue.tolist()[:2] == pytest.approx([0.5, -0.5])
        assert red.tolist()[2:4] == pytest.approx([0.5, -0.5])
        assert [blue[4].item(), red[4].item()] == pytest.approx([0, 0], abs=1e-7)

    @pytest.mark.parametrize(
        ("channels", "chroma", "alpha"), [(1, False, False), (2, False, True), (3, True, False), (4, True, True)]
    )
    def test_what_each_image_has(self, channels, chroma, alpha):
        image = torch.rand(2, channels, 5, 7)
        planes = to_ycbcr(image)
        assert planes.luma.shape == (2, 1, 5, 7)
        assert (planes.chroma is not None) == chroma
        assert (planes.alpha is not None) == alpha
        if chroma:
            assert planes.chroma.shape == (2, 2, 5, 7)
        if alpha:
            assert torch.equal(planes.alpha, image[:, -1:])


class TestExactColor:
    def test_every_8_bit_color(self):
        green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
        for start in range(0, 256, 8):
            slabs = [np.stack([np.full_like(green, red), green, blue], -1) for red in range(start, start + 8)]
            pixels = np.concatenate(slabs).astype(np.uint8)
            np.testing.assert_array_equal(unchanged(pixels), pixels)

    def test_random_16_bit_colors(self):
        pixels = np.random.default_rng(0).integers(0, 65536, (1000, 1000, 3)).astype(np.uint16)
        np.testing.assert_array_equal(unchanged(pixels), pixels)

    @given(IMAGES, st.sampled_from(["a", "b", "both"]))
    def test_any_image_and_any_source(self, pixels, color):
        np.testing.assert_array_equal(unchanged(pixels, color), pixels, strict=True)

    def test_a_new_luma_leaves_the_chroma(self):
        image = to_tensor(np.random.default_rng(0).integers(100, 156, (9, 9, 3)).astype(np.uint8))
        planes = to_ycbcr(image)
        moved = to_ycbcr(restore_color(planes.luma + 0.1, YCbCrImage(planes.luma), planes))
        torch.testing.assert_close(moved.luma, planes.luma + 0.1)
        torch.testing.assert_close(moved.chroma, planes.chroma)


class TestMerge:
    red, blue = to_ycbcr(rgb((200, 60, 60))), to_ycbcr(rgb((60, 60, 200)))
    gray = to_ycbcr(torch.full((1, 1, 1, 1), 0.4))
    luma = torch.full((1, 1, 1, 1), 0.4)

    def chroma(self, a, b, color):
        return to_ycbcr(restore_color(self.luma, a, b, color)).chroma

    def test_the_chosen_source_gives_the_color(self):
        torch.testing.assert_close(self.chroma(self.red, self.blue, "a"), self.red.chroma)
        torch.testing.assert_close(self.chroma(self.red, self.blue, "b"), self.blue.chroma)

    @pytest.mark.parametrize("color", ["a", "b", "both"])
    def test_the_only_source_with_color_gives_it(self, color):
        torch.testing.assert_close(self.chroma(self.red, self.gray, color), self.red.chroma)
        torch.testing.assert_close(self.chroma(self.gray, self.blue, color), self.blue.chroma)

    @pytest.mark.parametrize("color", ["a", "b", "both", "gray"])
    def test_gray_stays_gray(self, color):
        assert restore_color(self.luma, self.gray, self.gray, color).shape == (1, 1, 1, 1)

    def test_gray_when_asked(self):
        assert torch.equal(restore_color(self.luma, self.red, self.blue, "gray"), self.luma)

    def test_both_weighs_by_saturation(self):
        a, b = (
            YCbCrImage(self.luma, torch.tensor([0.3, 0.0]).view(1, 2, 1, 1)),
            YCbCrImage(self.luma, torch.tensor([0.1, 0.0]).view(1, 2, 1, 1)),
        )
        torch.testing.assert_close(
            self.chroma(a, b, "both"), torch.tensor([0.25, 0.0]).view(1, 2, 1, 1), atol=1e-6, rtol=0
        )

    def test_both_of_two_grays_stored_as_rgb(self):
        gray = to_ycbcr(torch.full((1, 3, 2, 2), 0.4))
        fused = restore_color(gray.luma, gray, gray, "both")
        torch.testing.assert_close(fused, torch.full((1, 3, 2, 2), 0.4))

    def test_stays_in_range(self):
        bright = restore_color(torch.ones(1, 1, 1, 1), self.red, self.blue, "b")
        assert bright.max() <= 1
        assert bright.min() >= 0

    def test_alpha_of_b_comes_first(self):
        a, b = torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), 0.7)
        for first, second, expected in ((a, b, b), (a, None, a), (None, b, b)):
            fused = restore_color(
                self.luma, YCbCrImage(self.luma, None, first), YCbCrImage(self.luma, self.red.chroma, second)
            )
            assert fused.shape == (1, 4, 1, 1)
            assert torch.equal(fused[:, 3:], expected)
        assert restore_color(self.luma, YCbCrImage(self.luma, None, a), self.red, "gray").shape == (1, 2, 1, 1)


class TestGamut:
    """Luma and hue survive where they leave the RGB cube together."""

    @staticmethod
    def pair():
        generator = torch.Generator().manual_seed(0)
        rgb = torch.rand(1, 3, 40, 50, generator=generator) ** 2  # many saturated colors
        return to_ycbcr(rgb), torch.rand(1, 1, 40, 50, generator=generator)

    def test_luma_is_kept_exactly(self):
        source, luma = self.pair()
        image = restore_color(luma, source, source)
        torch.testing.assert_close(to_ycbcr(image).luma, luma, atol=2e-6, rtol=0)
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1

    def test_the_saved_image_has_the_luma_of_the_network(self):
        source, luma = self.pair()
        saved = to_tensor(to_array(restore_color(luma, source, source), np.uint8))
        assert float((to_ycbcr(saved).luma - luma).abs().max()) <= 0.5 / 255 + 1e-6

    def test_chroma_shrinks_and_keeps_its_direction(self):
        source, luma = self.pair()
        chroma = to_ycbcr(restore_color(luma, source, source)).chroma
        cross = chroma[:, 0] * source.chroma[:, 1] - chroma[:, 1] * source.chroma[:, 0]
        assert float(cross.abs().max()) < 1e-5
        assert bool(((chroma * source.chroma).sum(1) >= -1e-6).all())
        assert bool((chroma.square().sum(1) <= source.chroma.square().sum(1) + 1e-5).all())

    def test_what_fits_is_not_touched(self):
        source, _ = self.pair()
        chroma = to_ycbcr(restore_color(source.luma, source, source)).chroma
        torch.testing.assert_close(chroma, source.chroma, atol=2e-6, rtol=0)

    def test_a_batch_is_its_images(self):
        (source, luma), count = self.pair(), 3
        parts = [(luma * (0.4 + 0.2 * i), replace(source, chroma=source.chroma.flip(1 + i))) for i in range(count)]
        batch = YCbCrImage(source.luma.expand(count, -1, -1, -1), torch.cat([part.chroma for _, part in parts]))
        images = restore_color(torch.cat([part for part, _ in parts]), batch, batch)
        assert torch.equal(images, torch.cat([restore_color(luma, part, part) for luma, part in parts]))
