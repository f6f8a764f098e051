"""Pairs of GeoTIFFs: fused where their tags agree, refused with both positions where they do not."""

import struct

import numpy as np
import pytest
import tifffile

from refinefuse.errors import InputError
from refinefuse.image.files import write_image
from refinefuse.image.georeference import Georeference
from refinefuse.image.metadata import Metadata, read_metadata
from refinefuse.image.tags import Entry
from refinefuse.inference.folders import fuse_folder
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inspection import inspect_pair

SIZE = (180, 200)
PIXELS = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)


def doubles(tag, *numbers):
    return Entry(tag, 12, len(numbers), struct.pack(f"<{len(numbers)}d", *numbers))


def keys(**values):
    numbers = {"raster": 1025, "geographic": 2048, "projected": 3072}
    rows = [(numbers[name], 0, 1, value) for name, value in values.items()]
    flat = [1, 1, 0, len(rows), *(number for row in rows for number in row)]
    return Entry(34735, 3, len(flat), struct.pack(f"<{len(flat)}H", *flat))


def cut_keys(end):
    """Keys whose table ends too early."""
    flat = [1, 1, 0, 1, 3072, 0, 1, 32633][:end]
    return Entry(34735, 3, len(flat), struct.pack(f"<{len(flat)}H", *flat))


def tags(x=500_000.0, y=5_200_000.0, pixel=0.5, **values):
    return (doubles(33550, pixel, pixel, 0), doubles(33922, 0, 0, 0, x, y, 0), keys(**values or {"projected": 32633}))


def matrix_tags(x=500_000.0):
    """The same position as a transform."""
    return (doubles(34264, 0.5, 0, 0, x, 0, -0.5, 0, 5_200_000, 0, 0, 0, 0, 0, 0, 0, 1), keys(projected=32633))


@pytest.fixture
def write(tmp_path):
    def write(name, geotiff, orientation=1):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write_image(path, PIXELS, metadata=Metadata(geotiff=geotiff))
        return path

    return write


@pytest.mark.parametrize(
    "other",
    [
        tags(),
        tags(x=500_000.2),  # less than half a pixel
        matrix_tags(),
        tags(x=500_000.25, y=5_199_999.75, raster=2, projected=32633),  # the center of the first pixel
        (*tags()[:2], cut_keys(2)),
        (*tags()[:2], cut_keys(7)),
        tags(projected=32767),  # defined by the user: there is no number to compare
        (),
    ],
)
def test_agreeing_pairs_pass(write, other):
    inspect_pair(write("a.tif", other), write("b.tif", tags()))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (tags(x=500_010.0), "a: top left at (500010, 5200000), pixels of 0.5 x 0.5, EPSG:32633"),
        (tags(pixel=0.6), "pixels of 0.6 x 0.6"),
        (tags(raster=2, y=5_200_000.5, projected=32633), "(499999.75, 5200000.75)"),
        (matrix_tags(500_001.0), "(500001, 5200000)"),
        (tags(projected=32632), "EPSG:32632"),
        (tags(geographic=4326), "EPSG:4326"),
    ],
)
def test_pairs_that_lie_apart_are_refused_with_both_positions(write, other, words):
    with pytest.raises(InputError, match="different locations") as caught:
        inspect_pair(write("a.tif", other), write("b.tif", tags()))
    assert words in str(caught.value)
    assert "b: top left at (500000, 5200000), pixels of 0.5 x 0.5, EPSG:32633" in str(caught.value)


@pytest.mark.parametrize("tile", [144, "off"])
def test_one_of_a_folder_costs_that_pair_only(write, tmp_path, tile):
    for name, x in (("1.tif", 500_000.0), ("2.tif", 500_100.0)):
        write(f"a/{name}", tags(x=x))
        write(f"b/{name}", tags())
    fuser = Fuser("infrared-visible-small", device="cpu", tile=tile)
    result = fuse_folder(tmp_path / "a", tmp_path / "b", tmp_path / "out", fuser=fuser)
    assert result.fused == ["1"]
    assert "different locations" in result.failed["2"]


def test_what_is_stored_on_its_side_is_not_compared(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", PIXELS, extratags=[(274, 3, 1, 6, True), *((*entry, True) for entry in tags())]
    )
    assert Georeference.of(read_metadata(tmp_path / "a.tif")) is None
