"""Times of frames: repaired where they do not rise, kept where something is missing, at any rate."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from clips import av, plane, read_video, scene, times, write_video

from refinefuse.errors import InputError
from refinefuse.image.files import write_image
from refinefuse.inference.video.file_source import VideoSource
from refinefuse.inference.video.folder_source import frame_numbers
from refinefuse.inference.video.frames import CorruptFrame, exact_rate
from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions
from refinefuse.inference.video.timestamps import RisingTimes, TimedImage


def fuse(fuser, a, b, output, **options):
    return fuse_video(a, b, output, fuser=fuser, options=VideoOptions(**options))


def images(stamps):
    """Images without pixels, with stamps in ms."""
    for stamp in stamps:
        if stamp == "corrupt":
            yield CorruptFrame("x", "corrupt")
            continue
        image = av.VideoFrame(16, 16, "gray")
        image.pts, image.time_base = stamp, Fraction(1, 1000)
        yield image


def timed(stamps, **options):
    found = RisingTimes(images(stamps), Fraction(40, 1000), **options)
    result = [
        (round(float(one.moment * 1000)), round(float(one.duration * 1000)))
        if isinstance(one, TimedImage)
        else "corrupt"
        for one in found
    ]
    return result, found.repaired


class TestRisingTimes:
    def test_stamps_that_rise_are_kept_with_their_gaps(self):
        assert timed([10, 50, 300, 340]) == ([(10, 40), (50, 250), (300, 40), (340, 40)], 0)

    def test_repeated_stamps_share_the_time_to_the_next(self):
        found, repaired = timed([0, 40, 40, 40, 160, 200])
        assert (found, repaired) == ([(0, 40), (40, 40), (80, 40), (120, 40), (160, 40), (200, 40)], 2)

    def test_doubled_stamps_do_not_make_the_video_longer(self):
        found, _ = timed([0, 0, 40, 40, 80, 80, 120])
        assert [moment for moment, _ in found] == [0, 20, 40, 60, 80, 100, 120]

    def test_trembling_stamps_keep_the_order_of_decoding(self):
        found, repaired = timed([0, 40, 30, 80, 120])
        assert ([moment for moment, _ in found], repaired) == ([0, 40, 60, 80, 120], 1)

    def test_a_clock_that_starts_anew_continues(self):
        found, _ = timed([5000, 5040, 0, 40, 80])
        assert [moment for moment, _ in found] == [5000, 5040, 5080, 5120, 5160]

    def test_no_stamps_at_all(self):
        assert timed([None, None, None]) == ([(0, 40), (40, 40), (80, 40)], 0)

    def test_many_equal_stamps_do_not_wait_for_ever(self):
        found, _ = timed([0] * 200)
        moments = [moment for moment, _ in found]
        assert len(moments) == 200
        assert all(later > earlier for earlier, later in pairwise(moments))

    def test_damage_keeps_its_position(self):
        found, _ = timed([0, 40, "corrupt", 120])
        assert found == [(0, 40), (40, 80), "corrupt", (120, 40)]

    def test_cameras_do_not_wait(self):
        events = iter(RisingTimes(images([0, 40, 40, 90]), Fraction(40, 1000), live=True))
        assert [round(float(next(events).moment * 1000)) for _ in range(4)] == [0, 40, 80, 90]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".avi"])
def test_repeated_stamps_in_a_file(fuser, tmp_path, suffix):
    frames = [np.full((48, 64), 12 * index, np.uint8) for index in range(20)]
    stamps = [40 * index for index in range(20)]
    stamps[8] = stamps[9] = stamps[10] = stamps[7]
    a = write_video(tmp_path / "a.mkv", frames, rate=25)
    b = write_video(tmp_path / "b.mkv", frames, rate=25, stamps=stamps, codec="mjpeg", pixel_format="yuvj420p")
    outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}")
    shown = times(read_video(tmp_path / f"o{suffix}"))
    assert shown == pytest.approx([0.04 * index for index in range(20)], abs=0.002)
    assert [warning.kind for warning in outcome.warnings if "3 frames of" in warning.message] == ["metadata"]


class TestFolders:
    def folder(self, path, numbers, name="frame_{:06d}.png"):
        path.mkdir()
        for number in numbers:
            write_image(path / name.format(number), np.full((16, 16), 10 * number, np.uint8))
        return path

    @pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
    def test_gaps_are_said_and_kept(self, fuser, tmp_path, suffix):
        numbers = [number for number in range(20) if not 6 <= number <= 10]
        a, b = (self.folder(tmp_path / name, numbers) for name in ("ir", "vi"))
        outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}", fps=10)
        shown = read_video(tmp_path / f"o{suffix}")
        assert times(shown) == pytest.approx([number / 10 for number in numbers], abs=0.002)
        assert any("5 frames are missing" in warning.message for warning in outcome.warnings)

    def test_a_gap_in_one_folder(self, fuser, tmp_path):
        a, b = self.folder(tmp_path / "ir", [0, 1, 2, 4, 5]), self.folder(tmp_path / "vi", range(6))
        outcome = fuse(fuser, a, b, tmp_path / "o.mkv", fps=10)
        assert times(read_video(tmp_path / "o.mkv")) == pytest.approx([0, 0.1, 0.2, 0.4, 0.5])
        assert any("1 files of" in warning.message for warning in outcome.warnings)

    def test_a_folder_beside_a_video_keeps_its_gaps(self, fuser, tmp_path):
        b = write_video(tmp_path / "b.mkv", [np.zeros((16, 16), np.uint8)] * 10)
        fuse(fuser, self.folder(tmp_path / "ir", [0, 1, 2, 8, 9]), b, tmp_path / "o.mkv", codec="ffv1")
        seen = [int(plane(frame)[0, 0]) * 2 // 10 for frame in read_video(tmp_path / "o.mkv")]
        assert seen[4] == 2
        assert seen[8:] == [8, 9]

    @pytest.mark.parametrize(
        ("names", "numbers"),
        [
            (["f0", "f1", "f4"], [0, 1, 4]),
            (["f10", "f15", "f20", "f30"], [0, 1, 2, 4]),
            (["a1x", "a2x", "a4x"], [0, 1, 3]),
            (["one", "two", "six"], [0, 1, 2]),
            (["f1", "f5", "f17", "f400"], [0, 1, 2, 3]),  # these count something else
            (["f1-a7", "f2-a7", "f5-a7"], [0, 1, 2]),
            (["20240101_120059", "20240101_120100", "20240101_120101"], [0, 1, 2]),
            (["f3"], [0]),
        ],
    )
    def test_which_numbers_count_frames(self, names, numbers):
        assert frame_numbers(names) == numbers


class TestRates:
    @pytest.mark.parametrize("rate", [1 / 86400, 0.0001, 0.5, 29.97, 1000])
    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
    def test_extremes_of_folders(self, fuser, tmp_path, rate, suffix):
        for name in ("ir", "vi"):
            (tmp_path / name).mkdir()
            for index in range(4):
                write_image(tmp_path / name / f"{index}.png", scene(index))
        outcome = fuse(fuser, tmp_path / "ir", tmp_path / "vi", tmp_path / f"o{suffix}", fps=rate)
        shown = times(read_video(tmp_path / f"o{suffix}"))
        assert outcome.frames == 4
        assert shown == pytest.approx([index / rate for index in range(4)], rel=1e-3, abs=6e-4)

    @pytest.mark.parametrize("rate", [0, -1, 1e-6, 1e20, float("nan"), float("inf")])
    def test_what_no_container_holds_is_refused(self, rate):
        with pytest.raises(InputError, match=r"`fps` must be from 1/86400(.|\n)*got: "):
            VideoOptions(fps=rate)

    def test_broadcast_rates_are_exact(self):
        assert [exact_rate(rate) for rate in (29.97, 23.976, 59.94, 25, 0.1)] == [
            Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60000, 1001), 25, Fraction(1, 10)
        ]  # fmt: skip

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    @pytest.mark.parametrize("step", [86_400_000, 10_000_000])
    def test_a_slow_video(self, fuser, tmp_path, suffix, step):
        frames = [scene(index) for index in range(4)]
        stamps = [step * index for index in range(4)]
        a, b = (write_video(tmp_path / f"{name}.mkv", frames, stamps=stamps) for name in "ab")
        fuse(fuser, a, b, tmp_path / f"o{suffix}")
        assert times(read_video(tmp_path / f"o{suffix}")) == pytest.approx([stamp / 1000 for stamp in stamps], rel=1e-3)

    @pytest.mark.parametrize(("suffix", "frames_before"), [(".mp4", 2), (".avi", 3)])
    def test_a_gap_that_a_container_cannot_hold_ends_the_video(self, fuser, tmp_path, suffix, frames_before):
        frames = [scene(index) for index in range(6)]
        stamps = [0, 100, 200, 10**10, 10**10 + 100, 10**10 + 200]
        a, b = (write_video(tmp_path / f"{name}.mkv", frames, stamps=stamps) for name in "ab")
        outcome = fuse(fuser, a, b, tmp_path / f"o{suffix}")
        assert ".mkv" in outcome.failure
        assert len(read_video(tmp_path / f"o{suffix}")) == outcome.frames == frames_before

    def test_an_avi_file_says_the_true_rate(self, fuser, pair, tmp_path):
        fuse(fuser, *pair, tmp_path / "o.avi")
        with av.open(str(tmp_path / "o.avi")) as file:
            stream = file.streams.video[0]
            assert (stream.average_rate, stream.base_rate, stream.frames) == (10, 10, 12)


class TestMissingFrames:
    """What a file says that it holds, beside what is there."""

    @staticmethod
    def remarks(path):
        source = VideoSource(str(path))
        assert len(list(source)) == 10
        source.close()
        return source.remarks

    @pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4", ".mov"])
    def test_nothing_is_said_of_a_whole_file(self, tmp_path, suffix):
        codec, form = ("libx264", "yuv420p") if suffix in (".mp4", ".mov") else ("ffv1", "gray")
        frames = [scene(index) if form == "gray" else np.dstack([scene(index)] * 3) for index in range(10)]
        path = write_video(tmp_path / f"whole{suffix}", frames, codec=codec, pixel_format=form, start=300)
        assert self.remarks(path) == []

    def test_a_matroska_file_that_says_it_lasts_longer(self, tmp_path):
        path = write_video(tmp_path / "cut.mkv", [scene(index) for index in range(10)])
        data = path.read_bytes()
        assert data.count(b"00:00:01.000000000") == 1
        path.write_bytes(data.replace(b"00:00:01.000000000", b"00:00:01.300000000"))
        assert self.remarks(path) == [f"about 3 of the frames that '{path}' declares are missing"]

    def test_an_avi_that_says_it_holds_more(self, tmp_path):
        ticks = {"time_base": Fraction(1, 10)}
        path = write_video(tmp_path / "cut.avi", [scene(index) for index in range(10)], tags=ticks)
        assert self.remarks(path) == []
        data = bytearray(path.read_bytes())
        length = data.index(b"strh") + 40
        assert data[length] == 10
        data[length] = 13
        path.write_bytes(data)
        assert self.remarks(path) == [f"about 3 of the frames that '{path}' declares are missing"]

    def test_an_mp4_that_was_cut_off(self, tmp_path):
        frames = [np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8) for index in range(20)]
        path, options = tmp_path / "cut.mp4", {"movflags": "faststart"}
        whole = write_video(tmp_path / "a.mp4", frames, codec="mpeg4", pixel_format="yuv420p")
        with av.open(str(whole)) as file, av.open(str(path), "w", options=options) as target:  # its index comes first
            stream = target.add_stream_from_template(file.streams.video[0])
            for packet in file.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        source = VideoSource(str(path))
        found = len(list(source))
        source.close()
        assert 0 < found < 20
        assert any(remark.startswith("about ") for remark in source.remarks)
