import contextlib
import signal
import stat
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from base64 import b64decode
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refinefuse.errors import InputError
from refinefuse.image.files import IMAGE_EXTENSIONS, read_image, write_image

CHANNELS = {1: (), 2: (2,), 3: (3,), 4: (4,)}
# 3 x 4 pixels of printing inks, as an Adobe JPEG
CMYK_JPEG = b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAIBgYHBgUIBwcHCQkICgwUDQwLCwwZEhMPFB0aHx4dGhwcICQuJyAiLCMcHCg3KSwwMTQ0NB8nOT04MjwuMzQy"
    "/8AAFAgAAwAEBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFB"
    "BhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqS"
    "k5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwD0WKGO3hSG"
    "GNI4o1CIiKAqqOAAB0AryCaaW5nknnleWaRi8kjsWZ2JySSeSSe9edgAAADAHavf6//Z"
)


def image(dtype="uint8", channels=3, height=13, width=17, seed=0):
    generator = np.random.default_rng(seed)
    shape = (height, width, *CHANNELS[channels])
    if dtype == "float32":
        return generator.random(shape, dtype=np.float32)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height=96, width=128):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def lzw(path, pixels, orientation=None):
    """An LZW TIFF, as OpenCV writes it; an orientation replaces the rows per strip (one strip then)."""
    stored = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    data = cv2.imencode(".tif", stored, (cv2.IMWRITE_TIFF_COMPRESSION, 5))[1].tobytes()
    path.write_bytes(data)
    if orientation is None:
        return
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].offset + 2, len(file.pages[0].tags)
    entries = [data[at : at + 12] for at in range(start, start + 12 * count, 12)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", 278)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    assert len(entries) == count
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    path.write_bytes(data[:start] + b"".join(entries) + data[start + 12 * count :])


def png(color, depth, rows, *extra, size=(3, 4), idat_crc=None):
    """A PNG made by hand: `rows` are the unfiltered bytes of each row."""

    def chunk(kind, content, crc=None):
        checksum = zlib.crc32(kind + content) if crc is None else crc
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", size[1], size[0], depth, color, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(*one) for one in extra),
            chunk(b"IDAT", body, idat_crc),
            chunk(b"IEND", b""),
        ]
    )


def refused(path, *parts, read=read_image):
    """The message of the refusal, which must quote the path, hold `parts`, and end with what to do."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert f"'{path}'" in message
    for part in parts:
        assert part in message
    assert message.endswith(".")
    assert "\n" in message
    return message


class TestRoundTrip:
    @pytest.mark.parametrize("extension", [".png", ".tif", ".tiff", ".TIF", ".PNG"])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_png_and_tiff_keep_every_value(self, tmp_path, extension, dtype, channels):
        pixels = image(dtype, channels)
        write_image(tmp_path / f"x{extension}", pixels)
        back = read_image(tmp_path / f"x{extension}")
        assert back.dtype == pixels.dtype
        assert back.flags.c_contiguous
        np.testing.assert_array_equal(back, pixels)

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_tiff_keeps_float(self, tmp_path, channels):
        pixels = image("float32", channels)
        write_image(tmp_path / "x.tif", pixels)
        back = read_image(tmp_path / "x.tif")
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back, pixels)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_bmp(self, tmp_path, channels):
        pixels = image(channels=channels)
        write_image(tmp_path / "x.bmp", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "x.bmp"), pixels)

    def test_webp_is_written_without_loss(self, tmp_path):
        pixels = image()
        write_image(tmp_path / "x.webp", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "x.webp"), pixels)

    def test_webp_keeps_alpha_and_the_colors_that_it_shows(self, tmp_path):
        pixels = image(channels=4)
        pixels[:5, :, 3] = 0
        write_image(tmp_path / "x.webp", pixels)
        back = read_image(tmp_path / "x.webp")
        np.testing.assert_array_equal(back[..., 3], pixels[..., 3])
        np.testing.assert_array_equal(back[pixels[..., 3] > 0], pixels[pixels[..., 3] > 0])

    def test_webp_turns_gray_into_equal_channels(self, tmp_path):
        pixels = image(channels=1)
        write_image(tmp_path / "x.webp", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "x.webp"), np.stack([pixels] * 3, -1))

    @pytest.mark.parametrize("extension", [".jpg", ".jpeg"])
    def test_jpeg_is_close_and_in_rgb_order(self, tmp_path, extension):
        pixels = smooth()
        write_image(tmp_path / f"x{extension}", pixels)
        assert np.abs(read_image(tmp_path / f"x{extension}").astype(int) - pixels).max() <= 8

    def test_jpeg_keeps_gray(self, tmp_path):
        write_image(tmp_path / "x.jpg", smooth()[..., 0])
        assert read_image(tmp_path / "x.jpg").shape == (96, 128)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        pixels=st.sampled_from([np.uint8, np.uint16]).flatmap(
            lambda dtype: hnp.arrays(
                dtype,
                st.one_of(
                    st.tuples(st.integers(1, 9), st.integers(1, 9)),
                    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 4)),
                ),
            )
        ),
        extension=st.sampled_from([".png", ".tif"]),
    )
    def test_any_image(self, tmp_path, pixels, extension):
        path = tmp_path / f"x{extension}"
        write_image(path, pixels, overwrite=True)
        np.testing.assert_array_equal(read_image(path), pixels, strict=True)

    def test_other_memory_layouts(self, tmp_path):
        pixels = image("uint16", 4)
        view = np.asfortranarray(pixels)[::-1, ::2]
        for name in ("x.png", "x.tif"):
            write_image(tmp_path / name, view)
            np.testing.assert_array_equal(read_image(tmp_path / name), view)

    def test_one_pixel_and_one_row(self, tmp_path):
        for name, shape in (("a.png", (1, 1)), ("b.tif", (1, 300, 3)), ("c.png", (300, 1, 2)), ("d.bmp", (1, 1, 3))):
            pixels = np.full(shape, 7, np.uint8)
            write_image(tmp_path / name, pixels)
            np.testing.assert_array_equal(read_image(tmp_path / name), pixels)

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg", "a.bmp"])
    def test_same_bytes_every_time(self, tmp_path, name):
        write_image(tmp_path / name, smooth())
        first = (tmp_path / name).read_bytes()
        write_image(tmp_path / name, smooth(), overwrite=True)
        assert (tmp_path / name).read_bytes() == first

    def test_paths_may_be_strings_and_names_need_not_be_ascii(self, tmp_path):
        path = str(tmp_path / "夜 Straße #1.png")
        write_image(path, image())
        np.testing.assert_array_equal(read_image(path), image())


class TestKindsOfFiles:
    def test_gray_alpha_png_by_hand(self, tmp_path):
        path = tmp_path / "x.png"
        path.write_bytes(png(4, 8, [range(8), range(8, 16), range(16, 24)]))
        np.testing.assert_array_equal(read_image(path), np.arange(24, dtype=np.uint8).reshape(3, 4, 2))

    def test_one_bit_png(self, tmp_path):
        path = tmp_path / "x.png"
        path.write_bytes(png(0, 1, [[0b10100000], [0b01010000], [0b11110000]]))
        np.testing.assert_array_equal(read_image(path), np.uint8([[255, 0, 255, 0], [0, 255, 0, 255], [255] * 4]))

    @pytest.mark.parametrize("transparent", [False, True])
    def test_palette_png_becomes_its_colors(self, tmp_path, transparent):
        path = tmp_path / "x.png"
        extra = [(b"PLTE", bytes([1, 2, 3, 40, 50, 60]))] + [(b"tRNS", bytes([9]))] * transparent
        path.write_bytes(png(3, 8, [[0, 1, 0, 1]] * 3, *extra))
        expected = np.uint8([[1, 2, 3, 9], [40, 50, 60, 255]])[:, : 3 + transparent]
        np.testing.assert_array_equal(read_image(path), np.tile(expected, (3, 2, 1)))

    @pytest.mark.parametrize(("color", "row", "key"), [(0, 4, 2), (2, 12, 6)])
    def test_key_color_is_refused(self, tmp_path, color, row, key):
        path = tmp_path / "x.png"
        path.write_bytes(png(color, 8, [[5] * row] * 3, (b"tRNS", bytes(key))))
        refused(path, "key color", "alpha channel")

    def test_palette_bmp_becomes_its_colors(self, tmp_path):
        colors = bytes([30, 20, 10, 0, 60, 50, 40, 0])  # blue, green, red, unused
        header = b"BM" + struct.pack("<IHHI", 54 + 8 + 8, 0, 0, 54 + 8)
        header += struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 0, 8, 0, 0, 2, 0)
        (tmp_path / "x.bmp").write_bytes(header + colors + bytes([0, 1, 0, 1, 1, 1, 1, 1]))
        expected = np.uint8([[[40, 50, 60]] * 4, [[10, 20, 30], [40, 50, 60]] * 2])
        np.testing.assert_array_equal(read_image(tmp_path / "x.bmp"), expected)

    @pytest.mark.parametrize("step", [256, 257])
    def test_palette_tiff_becomes_its_colors(self, tmp_path, step):
        palette = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
        index = image(channels=1)
        tifffile.imwrite(tmp_path / "x.tif", index, photometric="palette", colormap=palette * step)
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), palette.T.astype(np.uint8)[index], strict=True)

    def test_palette_tiff_of_16_bit_colors_loses_nothing(self, tmp_path):
        palette = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
        index = image(channels=1)
        tifffile.imwrite(tmp_path / "x.tif", index, photometric="palette", colormap=palette)
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), palette.T[index], strict=True)

    @pytest.mark.parametrize(
        "options",
        [
            {"compression": "zlib", "predictor": True},
            {"compression": None, "byteorder": ">"},
            {"compression": None, "bigtiff": True},
            {"compression": "zlib", "tile": (16, 16)},
            {"compression": None, "rowsperstrip": 3},
        ],
    )
    def test_tiff_variants(self, tmp_path, options):
        pixels = image("uint16", 3, 40, 50)
        tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", **options)
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)

    def test_planar_tiff(self, tmp_path):
        pixels = image("uint16", 3)
        planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)

    def test_white_is_zero_tiff(self, tmp_path):
        pixels = image("uint16", 1)
        tifffile.imwrite(tmp_path / "x.tif", 65535 - pixels, photometric="miniswhite")
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)

    @pytest.mark.parametrize(("photometric", "white"), [("minisblack", True), ("miniswhite", False)])
    def test_one_bit_tiff(self, tmp_path, photometric, white):
        bits = image(channels=1) > 128
        tifffile.imwrite(tmp_path / "x.tif", bits, photometric=photometric)
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), (bits == white) * np.uint8(255))

    def test_thumbnails_are_passed_over(self, tmp_path):
        pixels = image("uint16", 1)
        with tifffile.TiffWriter(tmp_path / "x.tif") as file:
            file.write(pixels, photometric="minisblack", metadata=None)
            file.write(pixels[::4, ::4], photometric="minisblack", subfiletype=1, metadata=None)
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_lzw_tiff(self, tmp_path, dtype, channels):
        pixels = image(dtype, channels)
        lzw(tmp_path / "x.tif", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), pixels)

    @pytest.mark.parametrize("compression", ["none", "lzw"])
    def test_orientation_tags_are_applied(self, tmp_path, compression):
        pixels = image(height=8, width=12)
        path = tmp_path / "x.tif"
        if compression == "none":
            tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
        else:
            lzw(path, pixels, orientation=6)
        np.testing.assert_array_equal(read_image(path), np.rot90(pixels, -1))

    def test_orientation_of_a_jpeg_is_applied(self, tmp_path):
        write_image(tmp_path / "x.jpg", smooth())
        data = (tmp_path / "x.jpg").read_bytes()
        exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 274, 3, 1, 6, 0)
        (tmp_path / "rotated_or_flipped.jpg").write_bytes(
            data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
        )
        upright = np.rot90(read_image(tmp_path / "x.jpg"), -1)
        np.testing.assert_array_equal(read_image(tmp_path / "rotated_or_flipped.jpg"), upright)

    def test_the_content_decides_not_the_name(self, tmp_path):
        write_image(tmp_path / "x.png", image())
        (tmp_path / "x.png").rename(tmp_path / "x.jpg")
        np.testing.assert_array_equal(read_image(tmp_path / "x.jpg"), image())

    def test_a_jpeg_with_a_thumbnail_and_trailing_bytes(self, tmp_path):
        write_image(tmp_path / "x.jpg", smooth())
        data = (tmp_path / "x.jpg").read_bytes()
        thumbnail = b"\xff\xe2" + struct.pack(">H", 202) + data[:198] + b"\xff\xd9"
        (tmp_path / "y.jpg").write_bytes(data[:2] + thumbnail + data[2:] + b"trailing")
        np.testing.assert_array_equal(read_image(tmp_path / "y.jpg"), read_image(tmp_path / "x.jpg"))


class TestRefusedFiles:
    def test_missing(self, tmp_path):
        refused(tmp_path / "no.png", "no such file")

    def test_folder(self, tmp_path):
        refused(tmp_path, "it is a folder", "image file")

    def test_a_file_taken_for_a_folder(self, tmp_path):
        (tmp_path / "file").write_bytes(b"x")
        refused(tmp_path / "file" / "x.png", "Not a directory")

    def test_empty_file(self, tmp_path):
        (tmp_path / "x.png").touch()
        refused(tmp_path / "x.png", "0 bytes")

    @pytest.mark.parametrize("data", [b"hello, this is text", b"\x7fELF" + bytes(90), b"\0"])
    def test_not_an_image(self, tmp_path, data):
        (tmp_path / "x.png").write_bytes(data)
        refused(tmp_path / "x.png", "not an image", "PNG, JPEG, TIFF, WebP, BMP")

    @pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
    @pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99, -1])
    def test_truncated(self, tmp_path, capfd, extension, part):
        path = tmp_path / f"x{extension}"
        write_image(path, image(height=40, width=50))
        data = path.read_bytes()
        path.write_bytes(data[:-1] if part < 0 else data[: int(len(data) * part)])
        refused(path, "truncated")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
    def test_every_short_start_is_refused(self, tmp_path, extension):
        path = tmp_path / f"x{extension}"
        write_image(path, image(height=2, width=3))
        data = path.read_bytes()
        for length in range(min(len(data), 200)):
            path.write_bytes(data[:length])
            with pytest.raises(InputError):
                read_image(path)

    @pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
    def test_truncated_lzw_tiff(self, tmp_path, capfd, part):
        path = tmp_path / "x.tif"
        lzw(path, image("uint16", 3, 40, 50))
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])
        refused(path, "truncated")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("cut", [50, 300])
    def test_a_tiff_whose_pixels_are_cut_off(self, tmp_path, cut):
        tifffile.imwrite(tmp_path / "x.tif", image("uint16", 1), photometric="minisblack")
        data = (tmp_path / "x.tif").read_bytes()
        (tmp_path / "x.tif").write_bytes(data[:-cut])
        refused(tmp_path / "x.tif", "truncated", f"{len(data)} bytes", f"{len(data) - cut} bytes")

    def test_a_png_with_a_wrong_checksum(self, tmp_path, capfd):
        path = tmp_path / "x.png"
        path.write_bytes(png(0, 8, [range(4)] * 3, idat_crc=0x12345678))
        refused(path, "damaged in its chunk IDAT", "12345678")
        assert capfd.readouterr() == ("", "")

    def test_a_png_without_header(self, tmp_path):
        (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND")))
        refused(tmp_path / "x.png", "no PNG header")

    def test_a_png_of_no_pixels(self, tmp_path):
        (tmp_path / "x.png").write_bytes(png(0, 8, [], size=(0, 4)))
        refused(tmp_path / "x.png", "no pixels", "0 x 4")

    def test_a_bmp_of_no_pixels(self, tmp_path):
        header = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 0, 5, 1, 24, 0, 0, 0, 0, 0, 0)
        (tmp_path / "x.bmp").write_bytes(header)
        refused(tmp_path / "x.bmp", "no pixels", "5 x 0")

    def test_a_jpeg_of_no_pixels(self, tmp_path):
        write_image(tmp_path / "x.jpg", smooth())
        data = bytearray((tmp_path / "x.jpg").read_bytes())
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 7] = b"\0\0"
        (tmp_path / "x.jpg").write_bytes(data)
        refused(tmp_path / "x.jpg", "no pixels", "0 x 128")

    def test_a_jpeg_of_12_bits(self, tmp_path):
        write_image(tmp_path / "x.jpg", smooth())
        data = bytearray((tmp_path / "x.jpg").read_bytes())
        data[data.index(b"\xff\xc0") + 4] = 12
        (tmp_path / "x.jpg").write_bytes(data)
        refused(tmp_path / "x.jpg", "8 bits", "got: 12")

    def test_an_animated_png(self, tmp_path):
        path = tmp_path / "x.png"
        path.write_bytes(png(0, 8, [range(4)] * 3, (b"acTL", struct.pack(">II", 7, 0))))
        refused(path, "one image", "animation of 7")

    def test_an_animated_webp(self, tmp_path):
        content = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes([0x02]) + bytes(9)
        (tmp_path / "x.webp").write_bytes(b"RIFF" + struct.pack("<I", len(content)) + content)
        refused(tmp_path / "x.webp", "one image", "animation")

    def test_a_tiff_of_three_pages(self, tmp_path):
        tifffile.imwrite(tmp_path / "x.tif", image("uint16", 1, 30, 40)[None].repeat(3, 0), photometric="minisblack")
        refused(tmp_path / "x.tif", "one image", "3 pages")

    def test_cmyk(self, tmp_path):
        (tmp_path / "x.jpg").write_bytes(CMYK_JPEG)
        refused(tmp_path / "x.jpg", "CMYK", "RGB")
        tifffile.imwrite(tmp_path / "x.tif", image(channels=4), photometric="separated")
        refused(tmp_path / "x.tif", "CMYK", "RGB")

    def test_lab(self, tmp_path):
        tifffile.imwrite(tmp_path / "x.tif", image(), photometric="cielab")
        refused(tmp_path / "x.tif", "CIELAB")

    def test_premultiplied_alpha(self, tmp_path):
        tifffile.imwrite(tmp_path / "x.tif", image(channels=4), photometric="rgb", extrasamples=["assocalpha"])
        refused(tmp_path / "x.tif", "premultiplied", "straight")

    def test_twelve_bit_tiff(self, tmp_path):
        tifffile.imwrite(tmp_path / "x.tif", image("uint16", 1), photometric="minisblack")
        with tifffile.TiffFile(tmp_path / "x.tif", mode="r+") as file:
            file.pages[0].tags[258].overwrite(12)
        refused(tmp_path / "x.tif", "8 or 16 bits", "got: 12")

    @pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float64", "float16"])
    def test_other_types(self, tmp_path, dtype):
        tifffile.imwrite(tmp_path / "x.tif", np.ones((5, 6), dtype), photometric="minisblack")
        refused(tmp_path / "x.tif", "uint8, uint16 or float32", f"got: {dtype}")

    def test_six_channels(self, tmp_path):
        pixels = np.zeros((5, 7, 6), np.uint8)
        tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="minisblack", planarconfig="contig")
        refused(tmp_path / "x.tif", "6 bands")

    @pytest.mark.parametrize(
        ("value", "found"), [(np.nan, "1 of 30"), (np.inf, "1 of 30"), (1.5, "0 to 1.5"), (-0.25, "-0.25 to 0")]
    )
    def test_float_out_of_range(self, tmp_path, value, found):
        pixels = np.zeros((5, 6), np.float32)
        pixels[2, 3] = value
        tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="minisblack")
        refused(tmp_path / "x.tif", found)

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        extension=st.sampled_from(IMAGE_EXTENSIONS),
        changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    )
    def test_damaged_bytes_are_read_or_refused(self, tmp_path, extension, changes):
        path = tmp_path / f"x{extension}"
        write_image(path, image(height=5, width=6), overwrite=True)
        data = bytearray(path.read_bytes())
        for where, value in changes:
            data[int(where * (len(data) - 1))] = value
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            assert read_image(path).size


class TestRefusedWriting:
    def write(self, pixels=None, **options):
        return lambda path: write_image(path, image() if pixels is None else pixels, **options)

    @pytest.mark.parametrize("name", ["x.gif", "x", "x.png.bak", ".png"])
    def test_unknown_extension(self, tmp_path, name):
        refused(tmp_path / name, ".png, .jpg", read=self.write())
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("extension", [".jpg", ".bmp", ".webp"])
    def test_16_bit(self, tmp_path, extension):
        refused(
            tmp_path / f"x{extension}",
            "expected: 8 bit",
            "got: 16 bit",
            ".png or .tif",
            read=self.write(image("uint16")),
        )
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".webp"])
    def test_float(self, tmp_path, extension):
        refused(tmp_path / f"x{extension}", "got: float", ".tif", read=self.write(image("float32")))

    @pytest.mark.parametrize(
        ("extension", "channels"), [(".jpg", 4), (".jpeg", 2), (".bmp", 4), (".bmp", 2), (".webp", 2)]
    )
    def test_alpha(self, tmp_path, extension, channels):
        refused(tmp_path / f"x{extension}", "alpha", ".png or .tif", read=self.write(image(channels=channels)))

    @pytest.mark.parametrize(("extension", "side"), [(".jpg", 65501), (".webp", 16384)])
    def test_too_large_for_the_format(self, tmp_path, extension, side):
        refused(tmp_path / f"x{extension}", f"got: {side}", read=self.write(np.zeros((1, side), np.uint8)))
        write_image(tmp_path / f"y{extension}", np.zeros((1, side - 1), np.uint8))

    @pytest.mark.parametrize("shape", [(5,), (5, 6, 1), (5, 6, 5), (2, 5, 6, 3), ()])
    def test_shape(self, tmp_path, shape):
        refused(tmp_path / "x.png", "shape", str(shape), read=self.write(np.zeros(shape, np.uint8)))

    @pytest.mark.parametrize("shape", [(0, 6), (5, 0, 3)])
    def test_no_pixels(self, tmp_path, shape):
        refused(tmp_path / "x.png", "no pixels", f"{shape[0]} x {shape[1]}", read=self.write(np.zeros(shape, np.uint8)))

    @pytest.mark.parametrize("dtype", ["float64", "int32", "bool"])
    def test_type(self, tmp_path, dtype):
        refused(tmp_path / "x.tif", f"got: {dtype}", read=self.write(np.zeros((5, 6), dtype)))

    def test_float_range(self, tmp_path):
        refused(tmp_path / "x.tif", "0 to 2", read=self.write(np.float32([[0, 2]])))

    def test_existing_file(self, tmp_path):
        path = tmp_path / "x.png"
        write_image(path, image(seed=1))
        refused(path, "exists", "overwrite", read=self.write())
        np.testing.assert_array_equal(read_image(path), image(seed=1))
        write_image(path, image(seed=2), overwrite=True)
        np.testing.assert_array_equal(read_image(path), image(seed=2))
        assert [file.name for file in tmp_path.iterdir()] == ["x.png"]

    def test_folder_in_the_way(self, tmp_path):
        (tmp_path / "x.png").mkdir()
        refused(tmp_path / "x.png", "is a folder", read=self.write(overwrite=True))

    def test_missing_folder_is_made(self, tmp_path):
        write_image(tmp_path / "no" / "where" / "x.png", image(seed=1))
        np.testing.assert_array_equal(read_image(tmp_path / "no" / "where" / "x.png"), image(seed=1))

    def test_file_where_a_folder_is_needed(self, tmp_path):
        (tmp_path / "no").write_bytes(b"")
        refused(tmp_path / "no" / "x.png", "is not a folder", str(tmp_path / "no"), read=self.write())

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
    def test_folder_that_cannot_be_written_to(self):
        refused(Path("/proc/x.png"), "permissions", read=self.write())

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
    def test_full_disk(self, tmp_path):
        code = """
            import resource, sys
            import numpy as np
            from refinefuse.errors import InputError
            from refinefuse.image.files import write_image
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            try:
                write_image(sys.argv[1], np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8), overwrite=True)
            except InputError as error:
                print(error)
        """
        write_image(tmp_path / "x.png", image(height=3))
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), tmp_path / "x.png"], capture_output=True, text=True
        )
        assert "File too large" in run.stdout
        assert [file.name for file in tmp_path.iterdir()] == ["x.png"]
        np.testing.assert_array_equal(read_image(tmp_path / "x.png"), image(height=3))

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
    def test_interrupted(self, tmp_path):
        code = """
            import itertools, sys
            import numpy as np
            from pathlib import Path
            from refinefuse.image.files import write_image
            pixels = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
            for i in itertools.count():
                write_image(Path(sys.argv[1]) / f"{i}.tif", pixels)
        """
        for i in range(3):
            folder = tmp_path / str(i)
            folder.mkdir()
            run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), folder], stderr=subprocess.DEVNULL)
            while not list(folder.iterdir()):
                time.sleep(0.01)
            time.sleep(0.03 * i)
            run.send_signal(signal.SIGINT)
            run.wait(timeout=60)
            files = sorted(folder.iterdir())
            assert all(file.suffix == ".tif" for file in files)
            for file in files:
                assert read_image(file).shape == (1200, 1200, 3)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
    def test_the_file_gets_the_default_permissions(self, tmp_path):
        (tmp_path / "other").touch()
        write_image(tmp_path / "x.png", image())
        assert stat.S_IMODE((tmp_path / "x.png").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_reading_leaves_opencvs_log_level_alone(tmp_path):
    control = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = control.getLogLevel()
    write_image(tmp_path / "x.png", image())
    read_image(tmp_path / "x.png")
    assert control.getLogLevel() == before
