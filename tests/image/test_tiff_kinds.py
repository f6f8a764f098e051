"""What the tags of a TIFF say about its samples: bands, masks, sign, white-is-zero, NoData, lengths of strips."""

import cv2
import numpy as np
import pytest
import tifffile
from tiffs import lzw_tiff

from refinefuse.errors import InputError
from refinefuse.image.files import read_counts, read_image
from refinefuse.image.tiff_strips import TiffReader, reads_in_pieces

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 255, (40, 48, 3), dtype=np.uint8)
GRAY = RGB[..., 0]


def write(path, pixels, **options):
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", "metadata": None} | options)
    return path


def by_strips(path):
    reader = TiffReader(path)
    try:
        return np.concatenate([reader.read_scanlines(top, min(top + 7, 40)) for top in range(0, 40, 7)])
    finally:
        reader.close()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize(
    ("extras", "bands"), [(["unspecified"], 3), (["unspecified"] * 3, 3), (["unassalpha"], 4), ([0, 2], [0, 1, 2, 4])]
)
def test_bands_that_are_no_alpha_are_left_out(tmp_path, planar, tile, extras, bands):
    pixels = GENERATOR.integers(0, 255, (40, 48, 3 + len(extras)), dtype=np.uint8)
    expected = pixels[..., :bands] if isinstance(bands, int) else pixels[..., bands]
    stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    path = write(tmp_path / "x.tif", stored, photometric="rgb", planarconfig=planar, extrasamples=extras, tile=tile)
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(by_strips(path), expected)


def test_a_gray_image_with_a_band(tmp_path):
    pixels = np.ascontiguousarray(RGB[..., :2])
    path = write(tmp_path / "x.tif", pixels, planarconfig="contig", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_image(path), pixels[..., 0])


@pytest.mark.parametrize("levels", [False, True])
def test_masks_and_levels_are_passed_over(tmp_path, levels):
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(RGB, photometric="rgb", metadata=None)
        file.write(GRAY > 99, photometric="mask", subfiletype=4, metadata=None)
        if levels:
            file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
            file.write(GRAY[::2, ::2] > 99, photometric="mask", subfiletype=5, metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), RGB)
    np.testing.assert_array_equal(by_strips(tmp_path / "x.tif"), RGB)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int16", "int32", "uint32"])
def test_white_is_zero_for_every_type(tmp_path, dtype):
    limits = np.iinfo(dtype)
    values = np.linspace(limits.min, limits.max, GRAY.size).reshape(GRAY.shape).astype(dtype)
    counts = read_counts(write(tmp_path / "x.tif", values, photometric="miniswhite"))
    np.testing.assert_array_equal(counts.astype(np.int64), limits.max + limits.min - values.astype(np.int64))


def test_white_is_zero_for_floats_and_bits(tmp_path):
    values = (GRAY / 255).astype(np.float32)
    np.testing.assert_array_equal(read_image(write(tmp_path / "x.tif", values, photometric="miniswhite")), 1 - values)
    path = write(tmp_path / "bits.tif", GRAY > 99, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(path), np.where(GRAY > 99, 0, 255))


@pytest.mark.parametrize(
    ("nodata", "dtype"), [("-9999", "float32"), ("nan", "float32"), ("0", "uint16"), ("-5", "int16")]
)
def test_nodata_is_masked_in_counts(tmp_path, nodata, dtype):
    values = (GRAY.astype(float) + 100).astype(dtype)
    values[:, :9] = float(nodata)
    path = write(tmp_path / "x.tif", values, extratags=[(42113, "s", 0, nodata, True)])
    counts = read_counts(path)
    assert np.ma.getmaskarray(counts)[:, :9].all()
    assert not np.ma.getmaskarray(counts)[:, 9:].any()
    np.testing.assert_array_equal(np.asarray(counts)[:, 9:], values[:, 9:])


def test_a_mask_in_the_file_masks_counts(tmp_path):
    inside = np.ones(GRAY.shape, bool)
    inside[:5] = False
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(GRAY.astype(np.uint16), photometric="minisblack", metadata=None)
        file.write(inside, photometric="mask", subfiletype=4, metadata=None)
    np.testing.assert_array_equal(np.ma.getmaskarray(read_counts(tmp_path / "x.tif")), ~inside)


def test_signed_values_name_the_range(tmp_path):
    with pytest.raises(InputError, match="`range`"):
        read_image(write(tmp_path / "x.tif", GRAY.astype(np.int16) - 300))
    with pytest.raises(InputError, match="`range`"):
        read_image(write(tmp_path / "x.tif", GRAY.astype(np.float32)))


def test_lzw_strips(tmp_path):
    for pixels, options in ((GRAY, {}), (RGB, {"photometric": "rgb", "planarconfig": "contig"})):
        (tmp_path / "x.tif").write_bytes(lzw_tiff(pixels, 16, **options))
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)


@pytest.mark.parametrize(("number", "part"), [(0, 0.3), (1, 0.97), (2, 0.5), (1, 0)])
def test_an_lzw_strip_that_ends_too_early(tmp_path, number, part):
    (tmp_path / "x.tif").write_bytes(lzw_tiff(GRAY, 16, {number: part}))
    with pytest.raises(InputError, match=f"strip or tile {number} "):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("size", [(15, 31), (15, 30), (14, 31)])
def test_lzw_strips_of_any_number_of_bytes(tmp_path, size):
    """OpenCV unpacks an even number of them as numbers of 16 bits."""
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    (tmp_path / "x.tif").write_bytes(lzw_tiff(pixels, 15))
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)
    (tmp_path / "x.tif").write_bytes(lzw_tiff(pixels, 15, {0: 0.99}))
    with pytest.raises(InputError, match="strip or tile 0 "):
        read_image(tmp_path / "x.tif")


def test_gray_alpha_in_a_coding_that_opencv_would_reduce(tmp_path):
    pixels = np.ascontiguousarray(RGB[..., :2]).astype(np.uint16)
    options = {"planarconfig": "contig", "extrasamples": ["unassalpha"]}
    (tmp_path / "x.tif").write_bytes(lzw_tiff(pixels, 16, **options))
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)


def test_a_chain_of_many_pages_is_not_followed(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for _ in range(150):
            file.write(GRAY[:2, :2], photometric="minisblack", subfiletype=1, metadata=None)
    with pytest.raises(InputError, match="more than 100 pages"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("kind", ["gray", "rgb16", "rgba"])
def test_lzw_is_read_strip_by_strip(tmp_path, kind, predictor):
    noise = np.random.default_rng(0)
    shape, dtype = {"gray": ((70, 53), np.uint8), "rgb16": ((70, 53, 3), np.uint16), "rgba": ((70, 53, 4), np.uint8)}[
        kind
    ]
    pixels = noise.integers(0, 9, shape).astype(dtype)
    options = [
        cv2.IMWRITE_TIFF_COMPRESSION,
        5,
        cv2.IMWRITE_TIFF_PREDICTOR,
        predictor,
        cv2.IMWRITE_TIFF_ROWSPERSTRIP,
        16,
    ]
    stored = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    cv2.imwrite(str(tmp_path / "x.tif"), stored, options)
    assert reads_in_pieces(tmp_path / "x.tif")
    reader = TiffReader(tmp_path / "x.tif")
    assert reader.dtype == dtype
    parts = [reader.read_scanlines(top, min(top + 13, 70)) for top in range(0, 70, 13)]
    reader.close()
    np.testing.assert_array_equal(np.concatenate(parts), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)
