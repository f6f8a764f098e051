"""Formats beyond the common ones, declared sizes, and files that are not read but named."""

import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
import tifffile

from refinefuse.errors import InputError
from refinefuse.image import pixels as image_pixels
from refinefuse.image.files import read_image

GRAY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
SMALL = (GRAY >> 8).astype(np.uint8)
RGB = np.dstack([SMALL, SMALL[::-1], SMALL[:, ::-1]])


def refused(path, *parts):
    with pytest.raises(InputError) as caught:
        read_image(path)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("pixels", [SMALL, GRAY, RGB, np.dstack([GRAY] * 2 + [GRAY // 2])], ids=lambda x: str(x.shape))
def test_pgm_and_ppm(tmp_path, pixels):
    kind, top = (b"P5", b"P6")[pixels.ndim - 2], np.iinfo(pixels.dtype).max
    header = kind + f"\n# made by hand\n64 48\n{top}\n".encode()
    (tmp_path / "x.pgm").write_bytes(header + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "x.pgm"), pixels)


def test_plain_pgm_and_bits(tmp_path):
    (tmp_path / "x.pgm").write_bytes(b"P2\n3 2\n255\n0 1 2\n3 4 255\n")
    np.testing.assert_array_equal(read_image(tmp_path / "x.pgm"), [[0, 1, 2], [3, 4, 255]])
    (tmp_path / "x.pbm").write_bytes(b"P4\n8 2\n\x0f\xf0")
    np.testing.assert_array_equal(read_image(tmp_path / "x.pbm"), [[255] * 4 + [0] * 4, [0] * 4 + [255] * 4])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"P5 64 48 255\n" + bytes(100), "truncated"),
        (b"P5 64 48 100\n" + bytes(64 * 48), "255 or 65535"),
        (b"P5 0 48 255\n", "no pixels"),
        (b"P5 99999 99999 255\n", "REFINEFUSE_MAX_PIXELS"),
        (b"P5 x y\n", "damaged"),
    ],
)
def test_a_bad_pgm_is_named(tmp_path, content, reason):
    (tmp_path / "x.pgm").write_bytes(content)
    refused(tmp_path / "x.pgm", reason)


def gif(frames, size=(16, 12)):
    """A GIF of flat gray frames, in codes of 8 bits that are cleared before each pixel."""
    width, height = size
    palette = bytes(value for index in range(128) for value in (index * 2,) * 3)
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0) + palette
    for level in frames:
        codes = bytes(code for _ in range(width * height) for code in (128, level // 2)) + b"\x81"
        blocks = b"".join(bytes([len(part)]) + part for part in (codes[i : i + 255] for i in range(0, len(codes), 255)))
        data += b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07" + blocks + b"\0"
    return data + b";"


def test_the_first_frame_of_a_gif(tmp_path):
    (tmp_path / "x.gif").write_bytes(gif([40, 200]))
    np.testing.assert_array_equal(read_image(tmp_path / "x.gif"), np.full((12, 16), 40, np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_2000(tmp_path, dtype):
    y, x = np.mgrid[:128, :160]
    pixels = ((x + y) * (np.iinfo(dtype).max // 400)).astype(dtype)
    data = cv2.imencode(".jp2", pixels, (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000))[1].tobytes()
    (tmp_path / "x.jp2").write_bytes(data)
    read = read_image(tmp_path / "x.jp2")
    assert read.dtype == dtype
    assert np.abs(read.astype(float) - pixels).max() <= np.iinfo(dtype).max / 250
    (tmp_path / "x.jp2").write_bytes(data[:60])
    refused(tmp_path / "x.jp2", "truncated")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"NRRD0004\ntype: short\n", "NRRD"),
        (b"%PDF-1.7", "PDF"),
        (b"SIMPLE  =                    T", "FITS"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"\xff\x0a\x7f", "JPEG XL"),
        (b"FFF\0" + bytes(60), "FLIR"),
    ],
)
def test_other_formats_are_named(tmp_path, start, name):
    (tmp_path / "x.png").write_bytes(start + bytes(32))
    refused(tmp_path / "x.png", name, "not supported")


def png(width, height, color=0, depth=8):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def webp(width, height):
    bits = (width - 1 | (height - 1) << 14).to_bytes(4, "little")
    content = b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + bits + bytes(5)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def bmp(width, height):
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, width, height, 1, 8, 1, 6, 0, 0, 0, 0) + bytes(6)


def tiff(width, height):
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height)]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in [*entries, (279, 4, 0)])
    return b"II*\0" + struct.pack("<IH", 8, len(entries) + 1) + table + bytes(4)


def jpeg(width, height):
    data = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


@pytest.mark.parametrize(
    "data",
    [png(60000, 60000), webp(16383, 16383), bmp(30000, 30000), jpeg(60000, 60000), tiff(60000, 60000)],
    ids=["png", "webp", "bmp", "jpeg", "tiff"],
)
def test_a_declared_size_is_refused_before_memory_is_taken(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    refused(tmp_path / "x", f"at most {image_pixels.MAX_PIXELS}", "REFINEFUSE_MAX_PIXELS")


def test_the_limit_can_be_moved(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(cv2.imencode(".png", SMALL)[1].tobytes())
    monkeypatch.setenv(image_pixels.LIMIT_VARIABLE, str(SMALL.size - 1))
    refused(tmp_path / "x.png", f"at most {SMALL.size - 1}", f"got: {SMALL.size} (48 x 64)")
    monkeypatch.setenv(image_pixels.LIMIT_VARIABLE, str(SMALL.size))
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), SMALL)
    monkeypatch.setenv(image_pixels.LIMIT_VARIABLE, "many")
    refused(tmp_path / "x.png", image_pixels.LIMIT_VARIABLE, "'many'")


def test_beyond_opencvs_limits_a_file_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv(image_pixels.LIMIT_VARIABLE, str(10**12))
    for width, height in ((60000, 60000), (2**21, 1)):
        (tmp_path / "x.png").write_bytes(png(width, height))
        refused(tmp_path / "x.png", "Save the image as a tiled TIFF", f"got: {height} x {width}")


def test_a_run_of_ff_takes_linear_time(tmp_path):
    data = cv2.imencode(".jpg", SMALL)[1].tobytes()
    (tmp_path / "x.jpg").write_bytes(data[:-2] + b"\xff" * 2_000_000)
    start = time.process_time()
    refused(tmp_path / "x.jpg", "truncated")
    assert time.process_time() - start < 2
    (tmp_path / "y.jpg").write_bytes(data[:-2] + b"\xff" * 1000 + data[-1:])  # fill bytes before the end marker
    assert read_image(tmp_path / "y.jpg").shape == SMALL.shape


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib", None])
@pytest.mark.parametrize("defect", ["empty", "short"])
def test_a_strip_that_is_empty_or_too_short(tmp_path, compression, defect):
    if compression in ("lzw", "packbits"):
        pytest.importorskip("imagecodecs")
    noise = np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, noise, compression=compression, rowsperstrip=16, metadata=None)
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as parsed:
        tag = parsed.pages[0].tags[279]
        lengths = list(tag.value)
        lengths[1] = 0 if defect == "empty" else lengths[1] // 3
        struct.pack_into(f"<{len(lengths)}{'HI'[tag.dtype == 4]}", data, tag.valueoffset, *lengths)
    (tmp_path / "x.tif").write_bytes(data)
    refused(tmp_path / "x.tif", "Cannot read")
