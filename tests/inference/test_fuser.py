"""Fusing in Python: the same kind, size and depth out as in, exact color, and the same bytes always."""

import numpy as np
import pytest
import torch

import refinefuse
from refinefuse.errors import ConfigError, InputError, WeightsError
from refinefuse.image.color import to_tensor, to_ycbcr


@pytest.fixture(scope="module")
def fuser():
    """The shipped weights on the CPU."""
    return refinefuse.Fuser(device="cpu")


def image(height, width, channels=None, dtype=np.uint8, seed=0):
    shape = (height, width) if channels is None else (height, width, channels)
    values = np.random.default_rng(seed).random(shape)
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    return (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 50), (17, 31), (96, 65)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_array_in_array_of_that_size_and_depth_out(fuser, height, width, dtype):
    fused = fuser(image(height, width, dtype=dtype), image(height, width, 3, dtype, seed=1))
    assert isinstance(fused, np.ndarray)
    assert fused.shape == (height, width, 3)
    assert fused.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("shape", [(20, 30), (1, 20, 30), (2, 1, 20, 30)])
def test_tensor_in_tensor_of_that_form_out(fuser, dtype, shape):
    a, b = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    scale = {torch.uint8: 255, torch.uint16: 65535}.get(dtype, 1)
    fused = fuser((a * scale).to(dtype), (b * scale).to(dtype))
    assert isinstance(fused, torch.Tensor)
    assert fused.shape == shape
    assert fused.dtype == dtype


@pytest.mark.parametrize(
    ("of_a", "of_b", "expected"),
    [(np.uint8, np.uint16, np.uint16), (np.uint16, np.uint8, np.uint16), (np.uint8, np.float32, np.float32)],
)
def test_the_greater_depth_is_kept(fuser, of_a, of_b, expected):
    assert fuser(image(9, 9, dtype=of_a), image(9, 9, dtype=of_b)).dtype == expected


def test_gray_only_when_both_are_gray_or_asked():
    gray, color = image(16, 16), image(16, 16, 3)
    assert refinefuse.fuse(gray, gray, device="cpu").shape == (16, 16)
    assert refinefuse.fuse(gray, color, device="cpu").shape == (16, 16, 3)
    assert refinefuse.fuse(gray, color, device="cpu", color="gray").shape == (16, 16)


@pytest.mark.parametrize(("color", "source"), [("b", 1), ("a", 0)])
def test_chroma_of_the_chosen_source_is_exact(color, source):
    images = [
        (0.4 + 0.2 * image(24, 24, 3, np.float32, seed)).astype(np.float32) for seed in (0, 1)
    ]  # far from clipping
    fused = refinefuse.fuse(*images, color=color, device="cpu")
    assert isinstance(fused, np.ndarray)
    torch.testing.assert_close(
        to_ycbcr(to_tensor(fused)).chroma, to_ycbcr(to_tensor(images[source])).chroma, rtol=0, atol=1e-6
    )


def test_alpha_is_kept(fuser):
    a, b = image(16, 16), image(16, 16, 4, seed=1)
    assert np.array_equal(fuser(a, b)[..., 3], b[..., 3])
    assert np.array_equal(fuser(b, a)[..., 3], b[..., 3])


def test_16_bit_has_more_than_256_levels(fuser):
    ramp = np.linspace(0, 65535, 200 * 200).reshape(200, 200).astype(np.uint16)
    assert len(np.unique(fuser(ramp, ramp[::-1].copy()))) > 2000


def test_twice_the_same_bytes_and_alone_as_in_a_batch(fuser):
    a, b = torch.rand(2, 3, 1, 45, 67, generator=torch.Generator().manual_seed(3))
    batch = fuser(a, b)
    assert torch.equal(batch, fuser(a, b))
    for index in range(3):
        assert torch.equal(batch[index], fuser(a[index], b[index]))


def test_odd_size_is_the_even_one_cropped(fuser):
    even = [image(160, 192, seed=seed) for seed in (0, 1)]
    smooth = [np.asarray(torch.nn.functional.avg_pool2d(to_tensor(x), 9, 1, 4)[0, 0]) for x in even]
    whole, odd = fuser(*smooth), fuser(*(x[:159, :191].copy() for x in smooth))
    border = 32
    difference = np.abs(whole[:159, :191] - odd)[: 159 - border, : 191 - border]
    assert difference.max() <= 2 / 255


def test_weight_map_shows_where_a_pixel_came_from(fuser):
    target, dark = np.full((64, 64), 20, np.uint8), image(64, 64) // 8
    target[20:40, 20:40] = 250
    fused, weight_map = fuser.fuse(target, dark, return_weight_map=True)
    assert weight_map.shape == (64, 64)
    assert weight_map.dtype == np.float32
    assert 0 <= weight_map.min() <= weight_map.max() <= 1
    _, swapped = fuser.fuse(dark, target, return_weight_map=True)
    assert weight_map[24:36, 24:36].mean() > swapped[24:36, 24:36].mean() + 0.2
    assert fused[30, 30] > 200


def test_the_deeper_float_and_the_larger_rank_are_kept(fuser):
    assert fuser(image(9, 9, dtype=np.float64), image(9, 9, dtype=np.float16)).dtype == np.float64
    assert fuser(torch.rand(9, 9), torch.zeros(1, 1, 9, 9, dtype=torch.uint8)).shape == (1, 1, 9, 9)


def test_results_carry_no_gradient(fuser):
    assert not fuser(torch.rand(3, 9, 9, requires_grad=True), torch.rand(3, 9, 9, requires_grad=True)).requires_grad


def test_paths_are_read(fuser, tmp_path):
    a, b = image(20, 20), image(20, 20, 3)
    refinefuse.write_image(tmp_path / "a.png", a)
    refinefuse.write_image(tmp_path / "b.tif", b)
    assert np.array_equal(fuser(tmp_path / "a.png", str(tmp_path / "b.tif")), fuser(a, b))


def test_model_can_be_handed_over():
    model = refinefuse.RefineFuse.from_config(
        refinefuse.NetworkConfig(channels=(4, 6), num_heads=2, context_size=8, context_channels=4)
    )
    a, b = np.full((10, 10), 0.25, np.float32), np.full((10, 10), 0.75, np.float32)
    np.testing.assert_allclose(refinefuse.Fuser(model, device="cpu")(a, b), 0.5)


@pytest.mark.parametrize("precision", ["bfloat16", "auto", "float32"])
def test_precision_changes_little(precision):
    a, b = image(64, 64), image(64, 64, seed=1)
    exact = refinefuse.fuse(a, b, device="cpu", precision="float32").astype(int)
    assert np.abs(refinefuse.fuse(a, b, device="cpu", precision=precision) - exact).mean() <= 1


class TestBadInput:
    """Each with its own message."""

    def test_sizes_differ(self, fuser):
        with pytest.raises(InputError, match=r"same height and width(.|\n)*a: 10 x 12(.|\n)*b: 10 x 13(.|\n)*align"):
            fuser(image(10, 12), image(10, 13))

    def test_sizes_differ_in_files(self, fuser, tmp_path):
        for name, width in (("a", 12), ("b", 13)):
            refinefuse.write_image(tmp_path / f"{name}.png", image(10, width))
        with pytest.raises(InputError, match=r"10 x 12   '.*a\.png'"):
            fuser(tmp_path / "a.png", tmp_path / "b.png")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.5])
    def test_values_out_of_range(self, fuser, value):
        array = np.full((8, 8), 0.5, np.float32)
        array[3, 3] = value
        with pytest.raises(InputError, match="`a`"):
            fuser(array, array)
        with pytest.raises(InputError, match="`b`"):
            fuser(torch.full((8, 8), 0.5), torch.from_numpy(array))

    @pytest.mark.parametrize("shape", [(0, 5), (5, 0), (3,), (2, 2, 5), (1, 2, 3, 4)])
    def test_no_image(self, fuser, shape):
        with pytest.raises(InputError, match="`a`"):
            fuser(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("shape", [(0, 5), (3,), (5, 8, 8), (1, 1, 0, 4), (1, 1, 1, 4, 4)])
    def test_no_image_tensor(self, fuser, shape):
        with pytest.raises(InputError, match="`a`"):
            fuser(torch.zeros(shape), torch.zeros(shape))

    def test_integers_that_have_no_range(self, fuser):
        with pytest.raises(InputError, match="int64"):
            fuser(torch.zeros(8, 8, dtype=torch.int64), torch.zeros(8, 8))

    def test_kinds_differ(self, fuser):
        with pytest.raises(InputError, match="both be tensors"):
            fuser(torch.zeros(8, 8), np.zeros((8, 8), np.uint8))

    def test_no_image_at_all(self, fuser):
        with pytest.raises(InputError, match="list"):
            fuser([1, 2], [3, 4])

    def test_batches_differ(self, fuser):
        with pytest.raises(InputError, match="same number"):
            fuser(torch.zeros(2, 1, 8, 8), torch.zeros(3, 1, 8, 8))

    @pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
    def test_unknown_device(self, device):
        with pytest.raises(InputError, match="device"):
            refinefuse.Fuser(device=device)

    def test_unknown_precision(self):
        with pytest.raises(InputError, match="float32, bfloat16"):
            refinefuse.Fuser(precision="int8")

    def test_unknown_color(self):
        with pytest.raises(InputError, match="color"):
            refinefuse.Fuser(color="c")

    def test_unknown_weights(self):
        with pytest.raises(WeightsError, match="Known names"):
            refinefuse.Fuser("nothing")


def test_contrast_moves_the_level_from_the_mean_of_the_sources_to_the_brighter_one():
    a, b = np.full((32, 32), 200, np.uint8), np.full((32, 32), 100, np.uint8)
    levels = [refinefuse.fuse(a, b, device="cpu", contrast=c).mean() for c in (0, 0.5, 1)]
    assert levels[0] == 150
    assert levels[0] < levels[1] < levels[2]


def test_contrast_of_the_weights_is_the_default(fuser):
    assert fuser.contrast == fuser.model.config.contrast
    a, b = image(20, 30), image(20, 30, 3, seed=1)
    np.testing.assert_array_equal(fuser(a, b), refinefuse.fuse(a, b, device="cpu", contrast=fuser.contrast))


def test_the_network_of_the_caller_keeps_its_contrast():
    network = refinefuse.load_model("infrared-visible-small")
    before = network.config
    other = refinefuse.Fuser(network, contrast=0.25)
    assert (other.contrast, network.config) == (0.25, before)
    assert next(other.model.parameters()) is next(network.parameters())


@pytest.mark.parametrize("contrast", [-0.1, 1.5, float("nan"), "high"])
def test_a_contrast_out_of_range_is_refused(contrast):
    with pytest.raises(ConfigError, match=r"contrast.* a number from 0 to 1"):
        refinefuse.Fuser(device="cpu", contrast=contrast)


def test_the_log_says_what_fuses(caplog):
    with caplog.at_level("INFO", logger="refinefuse"):
        refinefuse.Fuser("infrared-visible-small", device="cpu", contrast=0.5)
    assert "infrared-visible-small, contrast 0.5, torch.float32 on cpu" in caplog.text
