"""Videos in, a video out: exact planes, timestamps, audio, and what goes wrong."""

import numpy as np
import pytest
from clips import av, plane, read_video, scene, write_video

from refinefuse import Fuser
from refinefuse.errors import AlignmentError, InputError, PairingError
from refinefuse.image.files import write_image
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.video.encoder import VideoEncoder
from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions, VideoResult


def fuse(fuser, a, b, output, *, overwrite=False, **options):
    return fuse_video(a, b, output, fuser=fuser, options=VideoOptions(**options), overwrite=overwrite)


def times(frames):
    return [float(frame.pts * frame.time_base) for frame in frames]


def test_luma_is_fused_and_chroma_kept_bit_by_bit(fuser, pair, tmp_path):
    outcome = fuse(fuser, *pair, tmp_path / "out.mkv", codec="ffv1")
    fused, sources = read_video(tmp_path / "out.mkv"), [read_video(path) for path in pair]
    assert outcome.frames == len(fused) == 12
    for a, b, f in zip(*sources, fused, strict=True):
        for chroma in (1, 2):
            assert np.array_equal(plane(f, chroma), plane(b, chroma))
        expected = (plane(a) / 255 + (plane(b).astype(float) - 16) / 219) / 2 * 219 + 16
        assert np.abs(plane(f) - expected).max() <= 0.51
    assert times(fused) == times(sources[1])


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [("o.mp4", "auto", "h264"), ("o.mov", "hevc", "hevc"), ("o.mkv", "auto", "h264"), ("o.avi", "auto", "ffv1")],
)
def test_codecs_by_suffix_and_by_option(fuser, pair, tmp_path, name, codec, expected):
    fuse(fuser, *pair, tmp_path / name, codec=codec)
    fused = read_video(tmp_path / name)
    with av.open(str(tmp_path / name)) as file:
        assert file.streams.video[0].codec_context.name == expected
    assert len(fused) == 12
    assert times(fused)[:2] == pytest.approx([0, 0.1])


def test_audio_is_copied(fuser, pair, tmp_path):
    loud = write_video(
        tmp_path / "b.mkv", [scene(i) for i in range(30)], codec="libx264", pixel_format="yuv420p", sound=True
    )
    quiet = write_video(tmp_path / "a.mkv", [scene(i) for i in range(30)])
    for a, b, name in ((quiet, loud, "1.mp4"), (loud, quiet, "2.mkv")):
        fuse(fuser, a, b, tmp_path / name)
        with av.open(str(tmp_path / name)) as out, av.open(str(loud)) as file:
            expected, found = ([bytes(p) for p in c.demux(audio=0) if p.size] for c in (file, out))
        assert len(found) >= len(expected) - 2
        assert found == expected[: len(found)]


def test_rates_are_matched_by_time(fuser, tmp_path):
    slow = [np.full((16, 16), 10 * i, np.uint8) for i in range(10)]
    a = write_video(tmp_path / "a.mkv", slow, rate=5)
    b = write_video(tmp_path / "b.mkv", [np.zeros((16, 16), np.uint8)] * 40, rate=20)
    outcome = fuse(fuser, a, b, tmp_path / "o.mkv", codec="ffv1")
    assert outcome.frames == 40
    seen = [int(plane(frame)[0, 0]) * 2 for frame in read_video(tmp_path / "o.mkv")]
    for index, value in enumerate(seen):
        assert abs(value / 10 / 5 - index / 20) <= 0.1 + 1e-6 or index >= 38
    assert outcome.note == ""


def test_uneven_timestamps_are_kept(fuser, tmp_path):
    stamps = [0, 40, 130, 135, 400, 1000]
    frames = [np.full((16, 16), 30 * i, np.uint8) for i in range(6)]
    a, b = (write_video(tmp_path / f"{name}.mkv", frames, stamps=stamps) for name in "ab")
    fuse(fuser, a, b, tmp_path / "o.mkv", codec="ffv1")
    fused = read_video(tmp_path / "o.mkv")
    assert times(fused) == [stamp / 1000 for stamp in stamps]
    assert [int(plane(frame)[0, 0]) for frame in fused] == [30 * i for i in range(6)]


@pytest.mark.parametrize("longer", ["a", "b"])
def test_the_shorter_ends_it_and_that_is_said(fuser, tmp_path, longer):
    paths = [
        write_video(tmp_path / f"{name}.mkv", [scene(i) for i in range(20 if name == longer else 8)]) for name in "ab"
    ]
    outcome = fuse(fuser, *paths, tmp_path / "o.mkv")
    assert outcome.frames == 8
    assert f"before `{longer}`" in outcome.note
    assert len(read_video(tmp_path / "o.mkv")) == 8


def test_every_third_frame_at_its_own_time(fuser, pair, tmp_path):
    outcome = fuse(fuser, *pair, tmp_path / "o.mkv", codec="ffv1", frame_stride=3)
    assert outcome.frames == 4
    assert times(read_video(tmp_path / "o.mkv")) == pytest.approx([0, 0.3, 0.6, 0.9])


def test_counts_of_16_bits_have_one_range_for_the_whole_sequence(fuser, tmp_path):
    counts = [(20000 + 8 * scene(i).astype(np.uint16)).astype(np.uint16) for i in range(10)]
    counts[7][:24] += 500  # a warm thing appears late: what does not change must not pump
    a = write_video(tmp_path / "a.mkv", counts, pixel_format="gray16le")
    b = write_video(tmp_path / "b.mkv", [np.full((48, 64), 100, np.uint8)] * 10)
    fuse(fuser, a, b, tmp_path / "o.mkv", codec="ffv1")
    fused = [plane(frame).astype(int) for frame in read_video(tmp_path / "o.mkv")]
    assert max(np.abs(frame[30:] - fused[0][30:]).max() for frame in fused) == 0
    assert fused[0].max() - fused[0].min() > 40  # not the full range of 65535
    assert fused[7].max() > fused[0].max()


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_range_and_polarity_of_the_user(fuser, tmp_path, codec):
    counts = [np.full((16, 16), value, np.uint16) for value in (7000, 8000, 9000, 12000)]
    a = write_video(tmp_path / "a.mkv", counts, pixel_format="gray16le")
    b = write_video(tmp_path / "b.mkv", [np.zeros((16, 16), np.uint8)] * 4)
    for polarity, expected in (("auto", (0, 1, 2, 4)), ("black-hot", (4, 3, 2, 0))):
        thermal = ThermalOptions(IntensityRange.parse("7000,11000"), polarity)
        fuse(fuser, a, b, tmp_path / "o.mkv", codec=codec, thermal=thermal, overwrite=True)
        white = 255 if codec == "ffv1" else 219
        black = 0 if codec == "ffv1" else 16
        found = [int(plane(frame)[8, 8]) for frame in read_video(tmp_path / "o.mkv")]
        assert found == pytest.approx([black + white * weight_map / 8 for weight_map in expected], abs=1.5)


def test_counts_that_are_all_equal_are_refused(fuser, tmp_path):
    a = write_video(tmp_path / "a.mkv", [np.full((16, 16), 7, np.uint16)] * 3, pixel_format="gray16le")
    with pytest.raises(InputError, match="the same value"):
        fuse(fuser, a, a, tmp_path / "o.mkv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_folders_of_frames_become_a_video(fuser, tmp_path):
    for folder, channels in (("ir", None), ("vi", 3)):
        (tmp_path / folder).mkdir()
        for index in range(11):
            image = scene(index) if channels is None else np.stack([scene(index, seed=s) for s in (1, 2, 3)], -1)
            write_image(tmp_path / folder / f"{index}.png", image)
    outcome = fuse(fuser, tmp_path / "ir", tmp_path / "vi", tmp_path / "o.mkv", fps=12.5)
    fused = read_video(tmp_path / "o.mkv")
    assert outcome.frames == len(fused) == 11
    assert times(fused)[-1] == pytest.approx(10 / 12.5, abs=1e-3)
    mixed = write_video(tmp_path / "ir.mkv", [scene(i) for i in range(11)], rate=10)
    assert fuse(fuser, mixed, tmp_path / "vi", tmp_path / "m.mp4").frames == 11


def test_rgb_and_odd_sizes_keep_white_and_size(fuser, tmp_path):
    frames = [np.full((17, 23, 3), 255, np.uint8)] * 3
    a = write_video(tmp_path / "a.mkv", frames, pixel_format="bgr0")
    for name, codec in (("o.mp4", "h264"), ("o.mkv", "ffv1")):
        fuse(fuser, a, a, tmp_path / name, codec=codec, overwrite=True)
        rgb = read_video(tmp_path / name)[1].to_ndarray(format="rgb24")
        assert rgb.shape == (17, 23, 3)
        assert rgb.min() >= 253


def test_gray_takes_the_color_out(fuser, pair, tmp_path):
    gray = Fuser(fuser.model, device="cpu", color="gray")
    fuse(gray, *pair, tmp_path / "o.mkv", codec="ffv1")
    assert np.unique(plane(read_video(tmp_path / "o.mkv")[3], 1)).tolist() == [128]


class TestDamage:
    """A frame in the middle that cannot be decoded."""

    @pytest.fixture
    def damaged(self, tmp_path):
        path = write_video(tmp_path / "bad.mkv", [scene(i) for i in range(12)], options={"slicecrc": "1"})
        with av.open(str(path)) as file:
            packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
        data = path.read_bytes()
        start = data.index(packets[6]) + len(packets[6]) // 2
        path.write_bytes(data[:start] + bytes(x ^ 0x5A for x in data[start : start + 20]) + data[start + 20 :])
        return path

    def test_is_named_and_left_out(self, fuser, pair, damaged, tmp_path):
        outcome = fuse(fuser, pair[0], damaged, tmp_path / "o.mkv")
        assert outcome.frames == 11
        assert len(outcome.damaged) == 1
        assert "frame 6 of" in outcome.damaged[0]
        assert "bad.mkv" in outcome.damaged[0]

    def test_of_a_is_replaced_by_its_neighbor(self, fuser, pair, damaged, tmp_path):
        assert fuse(fuser, damaged, pair[1], tmp_path / "o.mkv").frames == 12

    def test_ends_it_if_asked(self, fuser, pair, damaged, tmp_path):
        outcome = fuse(fuser, pair[0], damaged, tmp_path / "o.mkv", on_error="stop")
        assert "frame 6" in outcome.failure
        assert len(read_video(tmp_path / "o.mkv")) == outcome.frames == 6

    def test_file_that_breaks_off(self, fuser, pair, tmp_path):
        data = pair[1].read_bytes()
        (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
        outcome = fuse(fuser, pair[0], tmp_path / "cut.mkv", tmp_path / "o.mkv")
        assert 2 <= outcome.frames < 12


class TestBadInput:
    """Each with its own message, and no file."""

    def refused(self, fuser, a, b, output, text, error=InputError, exists=False, **options):
        with pytest.raises(error, match=text):
            fuse(fuser, a, b, output, **options)
        assert not output.is_file() or exists
        assert not list(output.parent.glob(".refinefuse*")) if output.parent.is_dir() else True

    def test_sizes_differ(self, fuser, pair, tmp_path):
        other = write_video(tmp_path / "x.mkv", [scene(0, 32, 32)])
        self.refused(fuser, pair[0], other, tmp_path / "o.mp4", r"same height(.|\n)*a: 48 x 64(.|\n)*b: 32 x 32")

    def test_no_video(self, fuser, pair, tmp_path):
        (tmp_path / "x.mp4").write_bytes(b"hello" * 100)
        self.refused(fuser, pair[0], tmp_path / "x.mp4", tmp_path / "o.mp4", r"Cannot open the video '.*x\.mp4'")

    def test_missing(self, fuser, pair, tmp_path):
        self.refused(fuser, tmp_path / "none.mp4", pair[1], tmp_path / "o.mp4", "No such file")

    def test_sound_alone(self, fuser, pair, tmp_path):
        with av.open(str(tmp_path / "x.mkv"), "w") as file:
            track = file.add_stream("pcm_s16le", rate=8000)
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            piece.sample_rate = 8000
            file.mux(track.encode(piece))
        self.refused(fuser, tmp_path / "x.mkv", pair[1], tmp_path / "o.mp4", "no video")

    def test_unknown_suffix(self, fuser, pair, tmp_path):
        self.refused(fuser, *pair, tmp_path / "o.gif", r"expected: \.mp4")

    def test_codec_and_suffix_do_not_go_together(self, fuser, pair, tmp_path):
        self.refused(fuser, *pair, tmp_path / "o.mp4", r"\*\.mkv or \*\.avi", codec="ffv1")

    def test_unknown_codec(self, fuser, pair, tmp_path):
        self.refused(fuser, *pair, tmp_path / "o.mp4", "h264, hevc, ffv1", codec="vp9")

    def test_file_is_there(self, fuser, pair, tmp_path):
        (tmp_path / "o.mp4").write_bytes(b"mine")
        self.refused(fuser, *pair, tmp_path / "o.mp4", "`overwrite`", exists=True)
        assert (tmp_path / "o.mp4").read_bytes() == b"mine"

    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
    def test_first_frame_cannot_be_written(self, fuser, pair, tmp_path, monkeypatch, suffix):
        """FFmpeg crashes where it ends an MP4 that has no frame."""

        def refuse(*_):
            raise InputError("too long")

        monkeypatch.setattr(VideoEncoder, "_check_gap", refuse)
        self.refused(fuser, *pair, tmp_path / f"o{suffix}", "^too long$")

    def test_output_is_a_source(self, fuser, pair):
        with pytest.raises(InputError, match="named twice"):
            fuse(fuser, *pair, pair[1], overwrite=True)

    def test_every_and_fps(self, fuser, pair, tmp_path):
        self.refused(fuser, *pair, tmp_path / "o.mp4", "`frame_stride`", frame_stride=0)
        self.refused(fuser, *pair, tmp_path / "o.mp4", "`frame_stride`", frame_stride=10**20)
        self.refused(fuser, *pair, tmp_path / "o.mp4", "`fps`", fps=-1.0)

    def test_color_of_a(self, fuser, pair, tmp_path):
        self.refused(Fuser(fuser.model, device="cpu", color="a"), *pair, tmp_path / "o.mp4", "b or gray")

    def test_empty_folders(self, fuser, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        self.refused(fuser, tmp_path / "a", tmp_path / "b", tmp_path / "o.mp4", "no image", PairingError)


def test_the_lowest_rate_is_that_of_the_stretch_with_fewest_frames():
    even, stalled = [i / 10 for i in range(40)], [0.1, 0.2, 0.3, 1.8, 1.9, 2.5, 2.6]
    assert VideoResult(written=even).lowest_rate(2.0) == pytest.approx(10, abs=0.5)
    assert VideoResult(written=stalled).lowest_rate(1.0) == 0  # nothing from 0.3 to 1.3
    assert VideoResult(written=even[:5]).lowest_rate(2.0) is None
    assert VideoResult().lowest_rate(2.0) is None


def test_every_written_frame_is_timed(fuser, pair, tmp_path):
    outcome = fuse(fuser, *pair, tmp_path / "out.mkv", codec="ffv1")
    assert len(outcome.written) == outcome.frames
    assert outcome.written == sorted(outcome.written)


def test_an_exchanged_pair_is_reported_once(fuser, tmp_path):
    color = [np.dstack([scene(i, seed=seed) for seed in (1, 2, 3)]) for i in range(60)]
    gray = write_video(tmp_path / "gray.mkv", [scene(i) for i in range(60)])
    colored = write_video(tmp_path / "color.mkv", color, pixel_format="bgr0")
    outcome = fuse(fuser, colored, gray, tmp_path / "o.mkv", codec="ffv1")
    assert {warning.kind for warning in outcome.warnings} == {"order"}
    assert "order" not in {warning.kind for warning in fuse(fuser, gray, colored, tmp_path / "p.mkv").warnings}
    with pytest.raises(AlignmentError, match="swapped"):
        fuse(fuser, colored, gray, tmp_path / "q.mkv", alignment=AlignmentOptions(strict=True))
    assert not (tmp_path / "q.mkv").exists()
