"""Counts to [0, 1]: the rules, what they refuse, and polarity."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from refinefuse.errors import InputError
from refinefuse.image.files import read_counts, read_image, write_image
from refinefuse.image.polarity import polarity_score
from refinefuse.image.thermal import IntensityRange


def frames(count=5, seed=0, dtype=np.uint16):
    generator = np.random.default_rng(seed)
    return [generator.normal(7500 + 10 * i, 120, (40, 50)).astype(dtype) for i in range(count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full", IntensityRange()),
        ("percentile:1,99", IntensityRange("percentile", 1, 99)),
        ("7000,9000", IntensityRange("counts", 7000, 9000)),
        ("-40,120.5", IntensityRange("counts", -40, 120.5)),
        ("celsius:-10,40", IntensityRange("celsius", -10, 40)),
        ("celsius:-10,40,0.04", IntensityRange("celsius", -10, 40, 0.04)),
    ],
)
def test_rules_as_users_write_them(text, expected):
    assert IntensityRange.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "auto",
        "percentile",
        "percentile:99,1",
        "percentile:0,101",
        "1",
        "1,2,3",
        "9,9",
        "nan,1",
        "celsius:1,2,0",
        "x:1,2",
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(InputError):
        IntensityRange.parse(text)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_percentiles_are_those_of_all_pixels_together(dtype):
    every = frames(dtype=dtype)
    fixed = IntensityRange("percentile", 2, 97).fit(every)
    expected = np.percentile(np.stack(every), (2, 97), method="inverted_cdf")
    assert (fixed.low, fixed.high) == tuple(expected)


def test_percentiles_of_floats():
    every = [frame.astype(np.float32) for frame in frames()]
    fixed = IntensityRange("percentile", 2, 97).fit(every)
    assert (fixed.low, fixed.high) == tuple(np.percentile(np.stack(every), (2, 97), method="inverted_cdf"))


def test_a_fixed_range_does_not_follow_a_flare():
    every = frames()
    every[3][:6, :6] = 16_000  # 1.8 % of one frame, 0.4 % of all
    rule = IntensityRange.parse("percentile:1,99.5")
    fixed = rule.fit(every)
    still = (slice(10, None), slice(10, None))
    expected = (every[3][still].astype(float) - fixed.low) / (fixed.high - fixed.low)
    np.testing.assert_allclose(fixed.apply(every[3])[still], expected.clip(0, 1), atol=1e-6)
    assert fixed.apply(every[3])[still].mean() > rule.apply(every[3])[still].mean() + 0.2


def test_full_is_what_the_type_holds():
    counts = np.array([[0, 65535], [16384, 1]], np.uint16)
    np.testing.assert_array_equal(IntensityRange().apply(counts), (counts / 65535).astype(np.float32))


def test_celsius():
    counts = np.array([[27315, 30315], [31315, 20000]], np.uint16)  # 0, 30, 40 and -73.15 degrees
    np.testing.assert_allclose(IntensityRange.parse("celsius:0,40").apply(counts), [[0, 0.75], [1, 0]], atol=1e-6)


@given(st.integers(0, 60_000), st.integers(1, 5_000))
def test_the_ends_of_the_range_become_0_and_1(low, width):
    values = IntensityRange("counts", low, low + width).apply(np.array([[low, low + width, 65535, 0]], np.uint16))
    assert values.dtype == np.float32
    assert values[0].tolist() == [0, 1, 1 if low + width <= 65535 else values[0, 2], 0]


class TestRefused:
    def test_not_a_number(self):
        counts = np.full((4, 4), 300, np.float32)
        counts[1, 2] = np.nan
        for rule in ("full", "0,400", "percentile:1,99"):
            with pytest.raises(InputError, match="1 of 16 are NaN"):
                IntensityRange.parse(rule).apply(counts)

    @pytest.mark.parametrize("rule", ["full", "celsius:0,40"])
    def test_negative_counts(self, rule):
        with pytest.raises(InputError, match="of 0 or more"):
            IntensityRange.parse(rule).apply(np.array([[-5, 30000]], np.int16))

    def test_negative_counts_with_a_range_are_fine(self):
        assert IntensityRange("counts", -10, 10).apply(np.array([[-10, 0, 10]], np.int16)).tolist() == [[0, 0.5, 1]]

    def test_one_value(self):
        with pytest.raises(InputError, match="saturated"):
            IntensityRange.parse("percentile:1,99").apply(np.full((4, 4), 16383, np.uint16))

    def test_nothing_inside(self):
        with pytest.raises(InputError, match="No pixel lies inside"):
            IntensityRange("counts", 100, 200).apply(np.full((4, 4), 7000, np.uint16))

    def test_8_bits_are_no_temperatures(self):
        with pytest.raises(InputError, match="8-bit"):
            IntensityRange.parse("celsius:0,40").apply(np.zeros((4, 4), np.uint8))

    def test_no_frames(self):
        with pytest.raises(InputError, match="at least one frame"):
            IntensityRange.parse("percentile:1,99").fit([])

    def test_mixed_types(self):
        with pytest.raises(InputError, match="the same type"):
            IntensityRange.parse("percentile:1,99").fit([*frames(1), frames(1)[0].astype(np.uint8)])

    def test_colors_are_no_counts(self, tmp_path):
        write_image(tmp_path / "a.png", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
        with pytest.raises(InputError, match=r"(?s)a\.png.*false-color"):
            read_counts(tmp_path / "a.png")


def test_gray_in_three_channels_is_gray(tmp_path):
    gray = np.arange(16, dtype=np.uint8).reshape(4, 4)
    write_image(tmp_path / "a.png", np.stack([gray] * 3, -1))
    np.testing.assert_array_equal(read_counts(tmp_path / "a.png"), gray)


def test_saturation_and_clipping_are_reported():
    counts = frames(1)[0]
    counts[:8] = 16383
    fixed = IntensityRange("counts", 7000, 8000)
    assert any("saturated" in warning for warning in fixed.warnings(counts))
    assert any("outside the range" in warning for warning in IntensityRange("counts", 7500, 7600).warnings(counts))
    assert fixed.warnings(frames(1)[0]) == []


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float32, np.float64])
def test_counts_of_any_type_are_read_as_stored(tmp_path, dtype):
    counts = (np.arange(12).reshape(3, 4) * 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", counts)
    read = read_counts(tmp_path / "a.tif")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, counts)


def scene(height=120, width=160):
    """White-hot: a cold sky, a warmer ground, and a few hot spots."""
    image = np.linspace(0.1, 0.4, height, dtype=np.float32)[:, None].repeat(width, 1)
    image[90:100, 20:26] = image[80:95, 100:108] = 0.95
    return image


def test_polarity():
    assert polarity_score(scene()) > 2
    assert polarity_score(1 - scene()) == pytest.approx(-polarity_score(scene()), rel=1e-3)
    assert polarity_score(np.full((50, 50), 0.3, np.float32)) == 0
    assert polarity_score(np.zeros((1, 400), np.float32)) == 0


def test_polarity_of_real_images(data_folder):
    """White-hot images of M3SVD raise no warning, their negatives all do."""
    images = [read_image(path) for path in sorted((data_folder / "M3SVD/test/ir").iterdir())]
    scores = [
        polarity_score(image[..., 0] / np.float32(255) if image.ndim == 3 else image / np.float32(255))
        for image in images
    ]
    assert min(scores) > 2
