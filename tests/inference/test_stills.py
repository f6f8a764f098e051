"""What a fused image takes over from its last source, however it is written."""

from fractions import Fraction

import numpy as np
import pytest
import tifffile

from refinefuse.image.files import read_image, write_image
from refinefuse.image.metadata import Metadata, read_metadata
from refinefuse.inference.folders import fuse_folder
from refinefuse.inference.fuser import Fuser

GENERATOR = np.random.default_rng(0)
GRAY, RGB = GENERATOR.integers(0, 255, (180, 200), np.uint8), GENERATOR.integers(0, 255, (180, 200, 3), np.uint8)
ICC = bytes(16) + b"RGB " + bytes(108)


@pytest.fixture
def folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path / "a", tmp_path / "b", tmp_path / "out"


def test_profile_and_resolution_are_taken_over(folders):
    a, b, out = folders
    write_image(a / "1.png", GRAY)
    write_image(b / "1.png", RGB, metadata=Metadata(icc=ICC, dpi=(300, 300)))
    result = fuse_folder(a, b, out, fuser=Fuser("infrared-visible-small", device="cpu"))
    assert not [warning for warning in result.warnings.get("1", ()) if warning.kind == "metadata"]
    found = read_metadata(out / "1.png")
    assert found.icc == ICC
    assert found.dpi == pytest.approx((300, 300), rel=1e-4)


@pytest.mark.parametrize("tile", [144, "off"])
def test_georeference_is_taken_over(folders, tile):
    a, b, out = folders
    for path, pixels in ((a / "1.tif", GRAY), (b / "1.tif", RGB)):
        tags = [(33550, 12, 3, (0.5, 0.5, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 5.2e6, 0.0), True)]
        kind = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(path, pixels, photometric=kind, extratags=tags, resolution=(Fraction(72), Fraction(72)))
    result = fuse_folder(a, b, out, fuser=Fuser("infrared-visible-small", device="cpu", tile=tile))
    assert [entry.tag for entry in read_metadata(out / "1.tif").geotiff] == [33550, 33922]
    assert not [warning for warning in result.warnings.get("1", ()) if warning.kind == "metadata"]


def test_an_image_on_its_side_is_fused_upright(folders):
    a, b, out = folders
    write_image(a / "1.png", GRAY)
    write_image(b / "1.tif", RGB)
    tifffile.imwrite(b / "1.tif", np.rot90(RGB), photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    fuser = Fuser("infrared-visible-small", device="cpu")
    result = fuse_folder(a, b, out, fuser=fuser)
    np.testing.assert_array_equal(read_image(out / "1.png"), fuser.fuse(GRAY, RGB))
    assert any("EXIF orientations (1 and 6)" in str(warning) for warning in result.warnings["1"])
