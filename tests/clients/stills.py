"""Still images: pixels and metadata by image programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from outputs import Outputs
from programs import Client, run

Reader = Callable[[Path, NDArray[Any]], NDArray[Any] | None]
JPEG = 11  # levels by which decoders of JPEG may differ from what was encoded


def _same_pixels(read: Reader) -> Callable[[Outputs], str]:
    """A check of all files that a program can hold, which `read` returns; None for others."""

    def check(outputs: Outputs) -> str:
        count, jpeg = 0, 0
        for name, (path, expected) in outputs.stills.items():
            found = read(path, expected)
            if found is None:
                continue
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype), (
                f"{name}: {found.shape}, {found.dtype}"
            )
            difference = float(np.abs(found.astype(np.float64) - expected).max())
            count += 1
            if path.suffix == ".jpg":
                jpeg = round(difference)
            assert difference <= (JPEG if path.suffix == ".jpg" else 0), (
                f"{name}: {difference} from what the API returns"
            )
        return f"{count} files: difference 0" + (f", JPEG at most {jpeg} levels" if jpeg else "")

    return check


def _by_opencv(path: Path, expected: NDArray[Any]) -> NDArray[Any] | None:
    import cv2

    if path.suffix == ".tif" and expected.ndim == 3 and expected.shape[2] in (2, 4):
        return None  # OpenCV multiplies colors by alpha, and knows no gray with alpha
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if expected.ndim == 3 and expected.shape[2] == 2:
        return np.ascontiguousarray(pixels[..., [0, 3]])
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}.get(pixels.shape[2] if pixels.ndim == 3 else 1)
    return pixels if order is None else cv2.cvtColor(pixels, order)


def _by_pillow(path: Path, expected: NDArray[Any]) -> NDArray[Any] | None:
    from PIL import Image

    if expected.dtype != np.uint8 and expected.ndim == 3:
        return None  # Pillow has 8 bits per color
    with Image.open(path) as image:
        return np.asarray(image)


def _by_tifffile(path: Path, expected: NDArray[Any]) -> NDArray[Any] | None:
    import tifffile

    return tifffile.imread(path) if path.suffix == ".tif" else None


def _raw(path: Path, expected: NDArray[Any]) -> NDArray[Any]:
    return np.fromfile(path, expected.dtype).reshape(expected.shape)


def _by_vips(path: Path, expected: NDArray[Any]) -> NDArray[Any] | None:
    if path.suffix == ".bmp":
        return None  # by ImageMagick, if at all
    run("vips", "rawsave", path, raw := path.with_suffix(".raw"))
    return _raw(raw, expected)


def _by_gdal(path: Path, expected: NDArray[Any]) -> NDArray[Any] | None:
    said = run("gdal_translate", "-q", "-of", "ENVI", "-co", "INTERLEAVE=BIP", path, raw := path.with_suffix(".raw"))
    assert "ERROR" not in said, f"{path.name}: {said}"
    return _raw(raw, expected)


def _by_imagemagick(path: Path, expected: NDArray[Any]) -> NDArray[Any] | None:
    if expected.dtype == np.float32 or (expected.ndim == 3 and expected.shape[2] == 2):
        return None
    if path.suffix != ".webp":  # of every XMP in WebP it says that it is corrupt, those of Pillow too
        run("identify", "-regard-warnings", path)
    form = {1: "gray", 3: "rgb", 4: "rgba"}[1 if expected.ndim == 2 else expected.shape[2]]
    depth = expected.itemsize * 8
    run("convert", path, "-depth", depth, "-endian", "LSB", f"{form}:{path.with_suffix('.raw')}")
    return _raw(path.with_suffix(".raw"), expected)


def _tags(outputs: Outputs) -> str:
    wanted = {"Make": "Maker", "DateTimeOriginal": "2024:05:06 07:08:09", "ModifyDate": "2024:05:06 07:08:09"}
    for name in ("x.png", "x.jpg", "x.tif", "x.webp"):
        path, _ = outputs.stills[name]
        found = json.loads(run("exiftool", "-j", "-n", path))[0]
        assert not {"Warning", "Error"} & found.keys(), f"{name}: {found.get('Warning') or found.get('Error')}"
        assert {key: found.get(key) for key in wanted} == wanted, f"{name}: {found}"
        assert abs(found["GPSLatitude"] - (47 + 7 / 60 + 24 / 3600)) < 1e-6, f"{name}: {found['GPSLatitude']}"
        assert found["ProfileDescription"].startswith("sRGB"), f"{name}: {found['ProfileDescription']}"
        if name != "x.webp":
            assert round(found.get("XResolution") or found["PixelsPerUnitX"] * 0.0254) == 300, name
    return "time, location, maker, profile in PNG, JPEG, TIFF, WebP; 300 dpi in all but WebP, which holds none"


def _pngcheck(outputs: Outputs) -> str:
    paths = [path for path, _ in outputs.stills.values() if path.suffix == ".png"]
    for path in paths:
        assert run("pngcheck", path).startswith("OK"), path.name
    return f"{len(paths)} files: OK"


def _webpinfo(outputs: Outputs) -> str:
    assert "No error detected" in run("webpinfo", outputs.stills["x.webp"][0])
    return "no error"


def _jhead(outputs: Outputs) -> str:
    said = run("jhead", outputs.stills["x.jpg"][0])
    assert "2024:05:06 07:08:09" in said, said
    assert "320 x 240" in said, said
    return "date and size"


def _tiffinfo(outputs: Outputs) -> str:
    paths = [path for path, _ in outputs.stills.values() if path.suffix == ".tif"]
    for path in paths:
        assert "Warning" not in run("tiffinfo", "-D", path), path.name
    large = np.tile(outputs.stills["x.tif"][1], (4, 4, 1))
    pyramid = outputs.folder / "pyramid.tif"
    from refinefuse.image.tiff_strips import write_tiff

    write_tiff(pyramid, large.shape, large.dtype, iter([large]), pyramid=True)
    listed = run("tiffinfo", pyramid).count("SubIFD Offsets:")
    assert listed == 1, f"{listed} directories with SubIFDs"
    levels = run("tiffinfo", pyramid).count("Image Width:")
    assert levels == 4, f"{levels} levels listed of 4"
    return f"{len(paths)} files: no warning; a pyramid of 4 levels lists 4"


def _gdalinfo(outputs: Outputs) -> str:
    found = json.loads(run("gdalinfo", "-json", outputs.georeferenced))
    assert found["geoTransform"] == [500_000, 0.5, 0, 5_200_000, 0, -0.5], found["geoTransform"]
    assert 'ID["EPSG",32633]' in found["coordinateSystem"]["wkt"]
    assert found["bands"][0]["noDataValue"] == 0
    return "position, EPSG:32633 and NoData of `b`"


def _cog(outputs: Outputs) -> str:
    paths = []
    for side, source in zip("ab", outputs.sources("cog", *_large(outputs)), strict=True):
        paths.append(outputs.folder / f"{side}-large.tif")
        run("gdal_translate", "-q", "-of", "COG", "-a_srs", "EPSG:32633", "-a_ullr", 0, 960, 1280, 0, source, paths[-1])
    fused = outputs.fuse(*paths, "cog.tif")
    found = json.loads(run("gdalinfo", "-json", fused))
    assert found["metadata"]["IMAGE_STRUCTURE"].get("LAYOUT") == "COG", found["metadata"]
    levels = [one["size"] for one in found["bands"][0]["overviews"]]
    assert levels == [[640, 480], [320, 240], [160, 120]], f"overviews {levels}"
    expected = np.asarray(outputs.fuser.fuse(*paths))
    assert np.array_equal(_by_gdal(fused, expected), expected), "other pixels than the API's"
    return "a COG from two: layout, overviews, difference 0"


def _large(outputs: Outputs) -> tuple[NDArray[Any], NDArray[Any]]:
    _, vi = outputs.stills["x.tif"]
    large = np.tile(vi, (4, 4, 1))
    return np.ascontiguousarray(large[..., 1]), large


_ALL = "PNG, JPEG, TIFF, WebP, BMP; 8, 16 bit, float; gray, color, alpha"

CLIENTS = (
    Client("OpenCV", _ALL, _same_pixels(_by_opencv), "opencv-python-headless"),
    Client("Pillow", _ALL, _same_pixels(_by_pillow), "pillow"),
    Client("tifffile", "TIFF", _same_pixels(_by_tifffile), "tifffile"),
    Client("libvips", _ALL, _same_pixels(_by_vips), "libvips-tools", ("vips", "--version")),
    Client("GDAL", _ALL, _same_pixels(_by_gdal), "gdal-bin", ("gdalinfo", "--version")),
    Client("GDAL", "GeoTIFF", _gdalinfo, "gdal-bin", ("gdalinfo", "--version")),
    Client("GDAL", "cloud-optimized GeoTIFF", _cog, "gdal-bin", ("gdalinfo", "--version")),
    Client("ImageMagick", _ALL, _same_pixels(_by_imagemagick), "imagemagick", ("identify", "--version")),
    Client("ExifTool", "metadata", _tags, "libimage-exiftool-perl", ("exiftool", "-ver")),
    Client("libtiff", "TIFF", _tiffinfo, "libtiff-tools", ("tiffinfo", "-h")),
    Client("pngcheck", "PNG", _pngcheck, "pngcheck", ("pngcheck", "-h")),
    Client("webpinfo", "WebP", _webpinfo, "webp", ("webpinfo", "-version")),
    Client("jhead", "JPEG", _jhead, "jhead", ("jhead", "-V")),
)
