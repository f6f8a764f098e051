"""Cloud-optimized GeoTIFFs: known when read, and written where the last source is one."""

import numpy as np
import pytest
import tifffile

from refinefuse.image.cog import is_cog
from refinefuse.image.files import read_image, write_image
from refinefuse.image.metadata import Metadata, read_metadata
from refinefuse.image.tags import Directories, Entry
from refinefuse.image.tiff_strips import write_tiff
from refinefuse.inference.folders import fuse_folder
from refinefuse.inference.fuser import Fuser

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 530, 3), np.uint8)
SIZES = [(300, 530), (150, 265), (75, 133)]
TAGS = Directories(gps=(Entry(1, 2, 2, b"N\0"),))


def write_cog(path, pixels, **metadata):
    write_image(path, pixels, metadata=Metadata(is_cog=True, **metadata))


def test_layout(tmp_path):
    write_cog(tmp_path / "x.tif", PIXELS)
    data = (tmp_path / "x.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert [page.shape[:2] for page in file.pages] == SIZES
        assert [page.is_reduced for page in file.pages] == [False, True, True]
        starts = [page.offset for page in file.pages]
        tiles = [page.dataoffsets for page in file.pages]
        for page in file.pages:  # leader and trailer of every tile
            for at, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                assert data[at - 4 : at] == size.to_bytes(4, "little")
                assert data[at + size : at + size + 4] == data[at + size - 4 : at + size]
    assert starts == sorted(starts)
    assert starts[-1] < min(tiles[2])
    assert max(tiles[2]) < min(tiles[1])
    assert max(tiles[1]) < min(tiles[0])
    assert data[8:].startswith(b"GDAL_STRUCTURAL_METADATA_SIZE=")


@pytest.mark.parametrize("form", ["gray", "RGBA", "16 bit", "float"])
def test_values_and_metadata_come_back(tmp_path, form):
    pixels = {
        "gray": PIXELS[..., 0],
        "RGBA": np.dstack([PIXELS, PIXELS[..., :1]]),
        "16 bit": PIXELS.astype(np.uint16) * 200,
        "float": (PIXELS / 255).astype(np.float32),
    }[form]
    write_cog(tmp_path / "x.tif", pixels, xmp=b"<x:xmpmeta/>", tags=TAGS)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)
    found = read_metadata(tmp_path / "x.tif")
    assert found.is_cog
    assert (found.xmp, found.tags) == (b"<x:xmpmeta/>", TAGS)


def test_other_layouts_are_none(tmp_path):
    write_image(tmp_path / "plain.tif", PIXELS)
    write_tiff(tmp_path / "pyramid.tif", PIXELS.shape, PIXELS.dtype, iter([PIXELS]), pyramid=True)
    with tifffile.TiffWriter(tmp_path / "chain.tif") as file:  # each level behind its directory
        for step in (1, 2):
            file.write(PIXELS[::step, ::step], tile=(64, 64), photometric="rgb", subfiletype=step - 1)
    for name in ("plain", "pyramid", "chain"):
        assert not read_metadata(tmp_path / f"{name}.tif").is_cog


def test_a_chain_that_is_damaged_is_none(tmp_path):
    write_cog(tmp_path / "x.tif", PIXELS)
    data = (tmp_path / "x.tif").read_bytes()
    assert is_cog(data)
    assert not is_cog(data[:400])


@pytest.mark.parametrize("tile", [144, "off"])
def test_a_cog_gives_a_cog(tmp_path, tile):
    for name, pixels in (("a", PIXELS[..., 0]), ("b", PIXELS)):
        (tmp_path / name).mkdir()
        write_cog(tmp_path / name / "1.tif", pixels)
    fuser = Fuser("infrared-visible-small", device="cpu", tile=tile)
    fuse_folder(tmp_path / "a", tmp_path / "b", tmp_path / "out", fuser=fuser)
    with tifffile.TiffFile(tmp_path / "out" / "1.tif") as file:
        assert [page.shape[:2] for page in file.pages] == SIZES
    assert read_metadata(tmp_path / "out" / "1.tif").is_cog
    expected = fuser.fuse(PIXELS[..., 0], PIXELS)
    np.testing.assert_allclose(read_image(tmp_path / "out" / "1.tif").astype(int), expected, atol=1)  # by strips: 1
