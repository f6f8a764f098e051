"""TIFF by rows: the same values as whole, whatever the layout; BigTIFF and pyramids out."""

import struct

import numpy as np
import pytest
import tifffile

from refinefuse.errors import InputError
from refinefuse.image.files import read_image
from refinefuse.image.scanlines import rechunk
from refinefuse.image.tiff_strips import TiffReader, reads_in_pieces, write_tiff

LAYOUTS = {
    "one strip": ((90, 71), np.uint8, {}),
    "strips": ((90, 71), np.uint8, {"rowsperstrip": 7}),
    "big-endian RGB": ((90, 71, 3), np.uint16, {"photometric": "rgb", "byteorder": ">"}),
    "deflated tiles": ((90, 71, 3), np.uint8, {"photometric": "rgb", "tile": (32, 16), "compression": "zlib"}),
    "RGBA": ((90, 71, 4), np.uint8, {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "zlib"}),
    "planes": ((3, 90, 71), np.uint8, {"photometric": "rgb", "planarconfig": "separate"}),
    "planes of strips": ((3, 90, 71), np.uint16, {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 8}),
    "white is 0": ((90, 71), np.uint16, {"photometric": "miniswhite", "compression": "zlib", "rowsperstrip": 9}),
    "float": ((90, 71), np.float32, {"tile": (16, 16)}),
    "bits": ((90, 71), np.bool_, {}),
    "BigTIFF": ((90, 71), np.uint8, {"bigtiff": True, "tile": (16, 16)}),
}


def image(shape, dtype):
    values = np.random.default_rng(0).random(shape)
    if dtype == np.bool_:
        return values > 0.5
    return values.astype(dtype) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_those_of_the_whole(layout, tmp_path):
    shape, dtype, options = LAYOUTS[layout]
    tifffile.imwrite(tmp_path / "x.tif", image(shape, dtype), metadata=None, **options)
    whole = read_image(tmp_path / "x.tif")
    assert reads_in_pieces(tmp_path / "x.tif")
    reader = TiffReader(tmp_path / "x.tif")
    assert (reader.shape, reader.dtype) == (whole.shape, whole.dtype)
    for start, stop in ((0, 90), (5, 9), (31, 33), (89, 90), (0, 1), (16, 64)):
        assert np.array_equal(reader.read_scanlines(start, stop), whole[start:stop])
    reader.close()


@pytest.mark.parametrize("shape", [(90, 71), (600, 1030, 3), (300, 700, 4), (300, 10, 2), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("pyramid", [False, True])
def test_what_is_written_is_read(shape, dtype, pyramid, tmp_path):
    pixels = image(shape, dtype)
    write_tiff(tmp_path / "x.tif", shape, np.dtype(dtype), iter(np.array_split(pixels, 3)), pyramid=pyramid)
    assert np.array_equal(read_image(tmp_path / "x.tif"), pixels)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        levels = [level.shape[:2] for level in file.series[0].levels]
    assert len(levels) == (
        1 if not pyramid or max(shape[:2]) <= 256 else 2 + (max(shape[:2]) > 512) + (max(shape) > 1024)
    )
    reader = TiffReader(tmp_path / "x.tif")
    assert reader.is_pyramid == (len(levels) > 1)
    reader.close()


def test_every_level_is_listed_once(tmp_path):
    path = tmp_path / "x.tif"
    write_tiff(path, (1100, 1030), np.dtype(np.uint8), iter([image((1100, 1030), np.uint8)]), pyramid=True)
    with tifffile.TiffFile(path) as file:
        levels = file.pages[0].subifds
    data, following = path.read_bytes(), []
    for level in levels:
        (count,) = struct.unpack_from("<H", data, level)
        following += struct.unpack_from("<I", data, level + 2 + 12 * count)
    assert following == [0, 0, 0]


def test_levels_are_means(tmp_path):
    pixels = np.repeat(np.repeat(image((200, 160), np.uint8), 2, 0), 2, 1)
    write_tiff(tmp_path / "x.tif", pixels.shape, pixels.dtype, iter([pixels]), pyramid=True)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert np.array_equal(file.series[0].levels[1].asarray(), pixels[::2, ::2])


def test_bands_are_cut_anew():
    rows = np.arange(50)[:, None]
    assert [len(strip) for strip in rechunk(iter(np.split(rows, [3, 4, 30])), 16)] == [16, 16, 16, 2]
    assert np.array_equal(np.concatenate(list(rechunk(iter(np.split(rows, [3, 4, 30])), 7))), rows)


def test_damage_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", image((90, 71), np.uint8), compression="zlib", rowsperstrip=30, metadata=None)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        offset = file.pages[0].dataoffsets[2]
    data = bytearray((tmp_path / "x.tif").read_bytes())
    data[offset : offset + 50] = bytes(50)
    (tmp_path / "x.tif").write_bytes(data)
    reader = TiffReader(tmp_path / "x.tif")
    reader.read_scanlines(0, 60)
    with pytest.raises(InputError, match=r"x\.tif'(.|\n)*damaged"):
        reader.read_scanlines(50, 70)
    reader.close()


def test_float_out_of_range_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.linspace(0, 2, 100, dtype=np.float32).reshape(10, 10), metadata=None)
    reader = TiffReader(tmp_path / "x.tif")
    with pytest.raises(InputError, match="0 to 2|to 2"):
        reader.read_scanlines(0, 10)
    reader.close()


def test_what_is_no_tiff_is_left_to_others(tmp_path):
    (tmp_path / "x.tif").write_bytes(b"II*\0garbage")
    (tmp_path / "y.png").write_bytes(b"\x89PNG")
    assert not any(reads_in_pieces(tmp_path / name) for name in ("x.tif", "y.png", "none.tif"))
