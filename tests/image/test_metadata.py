"""Metadata: what one file says comes out of another, whatever the formats."""

import struct

import numpy as np
import pytest
import tifffile

from refinefuse.image.files import read_image, write_image
from refinefuse.image.metadata import Metadata, apply_orientation, orientation_warnings, read_metadata
from refinefuse.image.metadata_embed import unsupported_metadata
from refinefuse.image.tags import Directories, Entry, exif_block, read_directories
from refinefuse.image.tiff_strips import write_tiff

RGB = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
ICC = bytes(16) + b"RGB " + bytes(108) + bytes(range(250)) * 300  # more than one segment of a JPEG


def text(tag, value):
    return Entry(tag, 2, len(value) + 1, value + b"\0")


LOCATION = tuple(Entry(tag, 5, 3, struct.pack("<6I", *numbers)) for tag, numbers in ((2, (47, 1, 7, 1, 2404, 100)),))
DIRECTORIES = Directories(
    (text(271, b"Maker"), text(306, b"2024:05:06 07:08:09")),
    (Entry(33434, 5, 1, struct.pack("<2I", 1, 250)), text(36867, b"2024:05:06 07:08:09")),
    (Entry(0, 1, 4, b"\2\3\0\0"), text(1, b"N"), *LOCATION),
)
GEOTIFF = (
    Entry(33550, 12, 3, struct.pack("<3d", 0.5, 0.5, 0)),
    Entry(33922, 12, 6, struct.pack("<6d", 0, 0, 0, 500_000, 5_200_000, 0)),
    Entry(34735, 3, 8, struct.pack("<8H", 1, 1, 0, 1, 3072, 0, 1, 32633)),
    Entry(34737, 2, 7, b"WGS 84\0"),
    Entry(42113, 2, 2, b"0\0"),
)
COLOR = ((b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", bytes(32)))
ALL = Metadata(tags=DIRECTORIES, icc=ICC, xmp=b"<x:xmpmeta/>", dpi=(300.0, 150.0), png_color=COLOR, geotiff=GEOTIFF)


def check(found, *, exif=True, icc=True, dpi=True, color=False, geotiff=False):
    assert found.tags == (DIRECTORIES if exif else Directories())
    assert found.icc == (ICC if icc else None)
    assert found.xmp == (b"<x:xmpmeta/>" if icc else None)
    assert (found.dpi is not None) == dpi
    assert not dpi or found.dpi == pytest.approx((300, 150), rel=1e-4)
    assert found.png_color == (COLOR if color else ())
    assert found.geotiff == (GEOTIFF if geotiff else ())
    assert found.orientation == 1


FORMATS = {
    ".png": {"color": True},
    ".jpg": {},
    ".webp": {"dpi": False},
    ".tif": {"geotiff": True},
    ".bmp": {"exif": False, "icc": False},
}


@pytest.mark.parametrize("extension", FORMATS)
def test_what_a_format_holds_comes_back(tmp_path, extension):
    write_image(tmp_path / f"x{extension}", RGB, metadata=ALL)
    write_image(tmp_path / f"plain{extension}", RGB)
    check(read_metadata(tmp_path / f"x{extension}"), **FORMATS[extension])
    np.testing.assert_array_equal(read_image(tmp_path / f"x{extension}"), read_image(tmp_path / f"plain{extension}"))
    assert read_metadata(tmp_path / f"plain{extension}").has_exif is False


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.filterwarnings("default")
def test_another_library_reads_the_same(tmp_path, extension):
    pillow = pytest.importorskip("PIL.Image")
    write_image(tmp_path / f"x{extension}", RGB, metadata=ALL)
    with pillow.open(tmp_path / f"x{extension}") as image:
        image.load()
        exif = image.getexif()
        assert exif[306] == "2024:05:06 07:08:09"
        assert exif.get_ifd(34665)[36867] == "2024:05:06 07:08:09"
        assert [float(number) for number in exif.get_ifd(34853)[2]] == [47, 7, 24.04]
        assert image.info["icc_profile"] == ICC
        if extension != ".webp":
            assert [float(value) for value in image.info["dpi"]] == pytest.approx([300, 150], rel=1e-4)


@pytest.mark.parametrize("pyramid", [False, True])
@pytest.mark.parametrize("is_big", [False, True])
def test_the_path_of_large_images(tmp_path, monkeypatch, pyramid, is_big):
    if is_big:
        monkeypatch.setattr("refinefuse.image.tiff_strips._CLASSIC", 0)
    image = np.tile(RGB, (10, 10, 1))
    write_tiff(tmp_path / "x.tif", image.shape, image.dtype, iter([image]), pyramid=pyramid, metadata=ALL)
    check(read_metadata(tmp_path / "x.tif"), geotiff=True)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), image)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert file.is_bigtiff == is_big
        assert file.pages[0].tags[33550].value == (0.5, 0.5, 0)
        assert file.pages[0].tags[34853].value["GPSLatitude"] == (47, 1, 7, 1, 2404, 100)


def test_a_big_endian_tiff_gives_the_same(tmp_path):
    extra = [(33550, 12, 3, (0.5, 0.5, 0.0), True), (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32633), True)]
    tifffile.imwrite(tmp_path / "x.tif", RGB, photometric="rgb", byteorder=">", extratags=extra, resolution=(300, 150))
    found = read_metadata(tmp_path / "x.tif")
    assert found.geotiff == (GEOTIFF[0], GEOTIFF[2])
    write_image(tmp_path / "y.tif", RGB, metadata=found)
    with tifffile.TiffFile(tmp_path / "y.tif") as file:
        assert file.pages[0].tags[34735].value == (1, 1, 0, 1, 3072, 0, 1, 32633)


def test_what_is_lost_is_named():
    assert unsupported_metadata(ALL, ".png") == ["GeoTIFF tags"]
    assert unsupported_metadata(ALL, ".tif") == ["gamma and primaries"]
    assert unsupported_metadata(ALL, ".bmp") == ["EXIF", "ICC profile", "XMP", "gamma and primaries", "GeoTIFF tags"]
    assert unsupported_metadata(Metadata(icc=ICC), ".tif", channels=1) == ["ICC profile"]
    assert unsupported_metadata(Metadata(orientation=6, geotiff=GEOTIFF), ".tif") == ["GeoTIFF tags"]
    assert unsupported_metadata(Metadata(), ".bmp") == []


def test_a_profile_of_rgb_is_not_put_into_a_gray_image(tmp_path):
    write_image(tmp_path / "x.png", RGB[..., 0], metadata=ALL)
    assert read_metadata(tmp_path / "x.png").icc is None


def rotated(extension, orientation, pixels, path):
    """A file whose pixels are stored as they are, with an orientation."""
    block = exif_block(Directories((Entry(274, 3, 1, struct.pack("<H", orientation)),)))
    if extension == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
        return
    write_image(path, pixels)
    data = path.read_bytes()
    if extension == ".png":
        from refinefuse.image.metadata_embed import png_chunk

        path.write_bytes(data[:33] + png_chunk(b"eXIf", block) + data[33:])
    elif extension == ".webp":
        size = b"".join(struct.pack("<I", side - 1)[:3] for side in pixels.shape[1::-1])
        content = b"WEBPVP8X\x0a\0\0\0\x08\0\0\0" + size + data[12:] + b"EXIF" + struct.pack("<I", len(block)) + block
        path.write_bytes(b"RIFF" + struct.pack("<I", len(content)) + content)
    else:
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
        path.write_bytes(data[:20] + segment + data[20:])


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_not_written_again(tmp_path, extension, orientation):
    path = tmp_path / f"x{extension}"
    rotated(extension, orientation, RGB, path)
    rotated(extension, 1, RGB, tmp_path / f"plain{extension}")
    stored = read_image(tmp_path / f"plain{extension}")
    expected = {  # the position of the stored first row and first column
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).swapaxes(0, 1),
        8: np.rot90(stored),
    }[orientation]
    np.testing.assert_array_equal(read_image(path), expected)
    found = read_metadata(path)
    assert found.orientation == orientation
    write_image(tmp_path / "y.jpg", expected, metadata=found)
    assert read_metadata(tmp_path / "y.jpg").orientation == 1


def test_sources_that_differ_in_orientation_are_reported():
    assert orientation_warnings(Metadata(), Metadata()) == []
    (message,) = orientation_warnings(Metadata(), Metadata(orientation=6))
    assert "EXIF orientations (1 and 6)" in message


def test_resolution_turns_with_the_image():
    assert Metadata(orientation=6, dpi=(300, 150)).upright().dpi == (150, 300)
    assert apply_orientation(RGB, 6).shape == (48, 40, 3)


def test_extra_bands_are_counted(tmp_path):
    bands = np.zeros((8, 9, 5), np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", bands, photometric="rgb", planarconfig="contig", extrasamples=[0, 2])
    assert read_metadata(tmp_path / "x.tif").extra_bands == 1


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
def test_damaged_metadata_is_left_out(tmp_path, extension):
    path = tmp_path / f"x{extension}"
    write_image(path, RGB, metadata=ALL)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for at in generator.integers(0, min(len(data), 2000), 4):
            data[at] = generator.integers(256)
        path.write_bytes(data)
        assert isinstance(read_metadata(path), Metadata)
        read_directories(data[:1])
    assert read_metadata(tmp_path / "none.png") == Metadata()
