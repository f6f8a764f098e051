"""What a video says beside its pixels: color as it was written, rotation, HDR10, shape of pixels, interlacing."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from clips import av, plane, read_video, scene, write_video

from refinefuse.errors import InputError
from refinefuse.image.files import write_image
from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions

COLOR = [np.stack([scene(index, seed=seed) for seed in (1, 2, 3)], -1) for index in range(6)]
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture
def a(tmp_path):
    return write_video(tmp_path / "a.mkv", [scene(index) for index in range(6)])


def fuse(fuser, a, b, output, **options):
    return fuse_video(a, b, output, fuser=fuser, options=VideoOptions(**options))


def messages(outcome):
    return " ".join(warning.message for warning in outcome.warnings if warning.kind == "metadata")


def h264(path, frames=COLOR, pixel_format="yuv420p", params="", **options):
    settings = {"qp": "0", **({"x264-params": params} if params else {})}
    return write_video(path, frames, codec="libx264", pixel_format=pixel_format, options=settings, **options)


def tags_of(path):
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        return context.color_range, context.colorspace, context.color_primaries, context.color_trc


class TestColor:
    @pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
    def test_rgb_frames_are_tagged_by_what_was_written(self, fuser, a, tmp_path, name):
        rgb = write_video(tmp_path / "b.mkv", COLOR, pixel_format="bgr0")
        fuse(fuser, a, rgb, tmp_path / name)
        assert tags_of(tmp_path / name) == (1, 6, 1, 13)  # narrow, BT.601, primaries of BT.709, sRGB
        shown = read_video(tmp_path / name)[0].to_ndarray(format="rgb24").astype(int)
        before = COLOR[0].astype(int)
        assert np.abs((shown - before) - (shown - before).mean(-1, keepdims=True)).mean() < 12  # the color stayed

    def test_folders_are_tagged(self, fuser, tmp_path):
        for folder, frames in (("ir", [frame[..., 0] for frame in COLOR]), ("vi", COLOR)):
            (tmp_path / folder).mkdir()
            for index, pixels in enumerate(frames):
                write_image(tmp_path / folder / f"{index}.png", pixels)
        fuse(fuser, tmp_path / "ir", tmp_path / "vi", tmp_path / "o.mp4")
        assert tags_of(tmp_path / "o.mp4") == (1, 6, 1, 13)

    @pytest.mark.parametrize("name", ["o.mp4", "o.mkv"])
    def test_full_range_is_kept_where_a_tag_says_so(self, fuser, tmp_path, name):
        full = write_video(tmp_path / "b.avi", COLOR, codec="mjpeg", pixel_format="yuvj420p")
        fuse(fuser, full, full, tmp_path / name, codec="h264")
        assert tags_of(tmp_path / name)[0] == 2
        assert np.abs(luma(tmp_path / name) - luma(full)).mean() < 2

    def test_full_range_becomes_narrow_in_avi(self, fuser, tmp_path):
        full = write_video(tmp_path / "b.avi", COLOR, codec="mjpeg", pixel_format="yuvj420p")
        fuse(fuser, full, full, tmp_path / "o.avi")
        frame = read_video(tmp_path / "o.avi")[0]
        assert (frame.format.name, frame.color_range) == ("yuv420p", 0)
        for index in (1, 2):
            source = plane(read_video(full)[0], index).astype(float)
            assert np.abs(plane(frame, index) - ((source - 128) * 224 / 255 + 128)).max() <= 1.5
        assert np.abs(luma(tmp_path / "o.avi") - luma(full)).mean() < 1.5

    def test_a_matrix_that_avi_cannot_name_is_said(self, fuser, a, tmp_path):
        b = h264(tmp_path / "b.mkv", tags={"colorspace": 1, "color_range": 1})
        assert "YUV matrix" in messages(fuse(fuser, a, b, tmp_path / "o.avi"))
        assert "YUV matrix" not in messages(fuse(fuser, a, b, tmp_path / "o.mkv"))


def luma(path):
    """Of the first frame, as a player shows it: gray in full range."""
    return read_video(path)[0].to_ndarray(format="gray").astype(int)


class TestRotation:
    @pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
    @pytest.mark.parametrize("degrees", [90, 180, -90])
    def test_is_carried_over(self, fuser, tmp_path, name, degrees):
        a = h264(tmp_path / "a.mp4", rotation=degrees)
        b = h264(tmp_path / "b.mp4", rotation=degrees)
        outcome = fuse(fuser, a, b, tmp_path / name)
        assert [abs(read_video(path)[0].rotation) for path in (b, tmp_path / name)] == [abs(degrees)] * 2
        assert read_video(b)[0].rotation % 360 == read_video(tmp_path / name)[0].rotation % 360
        assert "turned" not in messages(outcome)

    def test_that_differs_is_said(self, fuser, a, tmp_path):
        b = h264(tmp_path / "b.mp4", rotation=90)
        assert "rotation of 0 degrees and `b` of 90" in messages(fuse(fuser, a, b, tmp_path / "o.mp4"))

    def test_that_avi_cannot_hold_is_said(self, fuser, tmp_path):
        b = h264(tmp_path / "b.mp4", rotation=90)
        assert "rotation" in messages(fuse(fuser, b, b, tmp_path / "o.avi"))

    def test_of_other_sizes_is_named(self, fuser, a, tmp_path):
        tall = [frame.transpose(1, 0, 2) for frame in COLOR]
        b = h264(tmp_path / "b.mp4", tall, rotation=90)
        with pytest.raises(InputError, match=r"b: 64 x 48 .*rotation of 90 degrees"):
            fuse(fuser, a, b, tmp_path / "o.mp4")


class TestHdr:
    @pytest.mark.parametrize("codec", ["h264", "hevc"])
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_mastering_display_and_light_level_are_kept(self, fuser, a, tmp_path, codec, suffix):
        deep = [frame.astype(np.uint8) for frame in COLOR]
        params = f"mastering-display={DISPLAY}:cll=1000,400"
        tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
        b = h264(tmp_path / "b.mkv", deep, "yuv420p10le", params, tags=tags)
        fuse(fuser, a, b, tmp_path / f"o{suffix}", codec=codec)
        found = {data.type.name: bytes(data) for data in read_video(tmp_path / f"o{suffix}")[0].side_data}
        display = struct.unpack("20i", found["MASTERING_DISPLAY_METADATA"][:80])
        ratios = [top / bottom for top, bottom in zip(display[::2], display[1::2], strict=True)]
        assert ratios == pytest.approx([0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000])
        assert struct.unpack("2I", found["CONTENT_LIGHT_LEVEL"]) == (1000, 400)
        assert tags_of(tmp_path / f"o{suffix}") == (1, 9, 9, 16)

    def test_that_ffv1_cannot_hold_is_said(self, fuser, a, tmp_path):
        b = h264(tmp_path / "b.mkv", params=f"mastering-display={DISPLAY}:cll=1000,400")
        assert "HDR10" in messages(fuse(fuser, a, b, tmp_path / "o.mkv", codec="ffv1"))


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
def test_the_shape_of_pixels(fuser, a, tmp_path, name):
    b = h264(tmp_path / "b.mkv", aspect=Fraction(4, 3))
    fuse(fuser, a, b, tmp_path / name)
    with av.open(str(tmp_path / name)) as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


class TestInterlaced:
    def test_is_deinterlaced_and_that_is_said(self, fuser, a, tmp_path):
        b = h264(tmp_path / "b.mp4", params="tff=1:qp=0")
        assert read_video(b)[0].interlaced_frame
        outcome = fuse(fuser, a, b, tmp_path / "o.mkv")
        fused = read_video(tmp_path / "o.mkv")
        assert (len(fused), fused[0].interlaced_frame) == (6, False)
        assert "is interlaced" in messages(outcome)

    def test_what_moved_between_the_fields_is_no_comb(self, fuser, tmp_path):
        """A bar that moves by 8 pixels between two fields has ragged edges if they are woven together."""
        frames = []
        for index in range(6):
            frame = np.full((48, 64), 60, np.uint8)
            frame[::2, 4 + 8 * index : 12 + 8 * index] = 200
            frame[1::2, 8 + 8 * index : 16 + 8 * index] = 200
            frames.append(frame)
        gray = [np.dstack([frame] * 3) for frame in frames]
        woven, fielded = (
            h264(tmp_path / f"{name}.mkv", gray, params=params) for name, params in (("w", ""), ("f", "tff=1:qp=0"))
        )
        combs = []
        for source in (woven, fielded):
            fuse(fuser, source, source, tmp_path / f"o{source.name}", codec="ffv1")
            rows = plane(read_video(tmp_path / f"o{source.name}")[2]).astype(int)
            combs.append(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())
        assert combs[1] < 0.3 * combs[0]


class TestProvenance:
    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
    def test_is_read_back(self, fuser, pair, tmp_path, suffix):
        from refinefuse.inference.provenance_files import read_provenance

        fuse(fuser, *pair, tmp_path / f"o{suffix}")
        found = read_provenance(tmp_path / f"o{suffix}")
        assert found.sources == ("ir.mkv", "vi.mkv")
        assert found.sha256 == fuser.fingerprint()

    def test_of_counts_names_their_range(self, fuser, tmp_path):
        from refinefuse.inference.provenance_files import read_provenance

        counts = [np.linspace(7000, 9000, 48 * 64).reshape(48, 64).astype(np.uint16)] * 6
        a = write_video(tmp_path / "a.mkv", counts, pixel_format="gray16le")
        fuse(fuser, a, h264(tmp_path / "b.mkv"), tmp_path / "o.mkv")
        low, high = read_provenance(tmp_path / "o.mkv").settings["range"].split(" counts")[0].split(" to ")
        assert (float(low), float(high)) == pytest.approx((7000, 9000), abs=2)

    def test_keeps_the_comment_of_b_and_can_be_left_out(self, fuser, a, tmp_path):
        b = h264(tmp_path / "b.mkv", metadata={"comment": "by the gate"})
        for provenance in (True, False):
            fuse_video(a, b, tmp_path / f"{provenance}.mp4", fuser=fuser, provenance=provenance)
            with av.open(str(tmp_path / f"{provenance}.mp4")) as file:
                comment = file.metadata["comment"]
            assert comment.startswith("by the gate")
            assert ('"refinefuse"' in comment) == provenance

    def test_survives_a_copy_of_the_streams(self, fuser, pair, tmp_path):
        from refinefuse.inference.provenance_files import read_provenance

        fuse(fuser, *pair, tmp_path / "o.mp4")
        with av.open(str(tmp_path / "o.mp4")) as source, av.open(str(tmp_path / "copy.mkv"), "w") as copy:
            copy.metadata.update(source.metadata)
            stream = copy.add_stream_from_template(source.streams.video[0], opaque=True)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
        assert read_provenance(tmp_path / "copy.mkv") is not None
