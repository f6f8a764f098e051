"""Eight videos that other people's programs once read wrongly: each made as it was reported, read as they read it."""

import cv2
import numpy as np
import pytest
from clips import av, beep, read_video, scene, subtitles_of, write_video

from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions

RATE, FRAMES = 25, 50  # two seconds
GRAY = [scene(index) for index in range(FRAMES)]
COLOR = [np.dstack([scene(index, seed=seed) for seed in (1, 2, 3)]) for index in range(FRAMES)]
TONE = beep(2, 0.5)


def write(path, frames=GRAY, codec="libx264", pixel_format="yuv420p", **options):
    return write_video(path, frames, codec=codec, pixel_format=pixel_format, rate=RATE, **options)


@pytest.fixture(scope="module")
def a(tmp_path_factory):
    """The first source of all of them."""
    return write(tmp_path_factory.mktemp("a") / "i.mp4")


@pytest.fixture
def fused(fuser, a, tmp_path):
    """Fuse a video with the first source: the file, and the warnings."""

    def fuse(b, name, **options):
        outcome = fuse_video(a, b, tmp_path / name, fuser=fuser, options=VideoOptions(**options))
        return tmp_path / name, " ".join(warning.message for warning in outcome.warnings)

    return fuse


def streams(path, kind):
    """The tracks of a kind: codec, start and end in seconds, language."""
    with av.open(str(path)) as file:
        found = []
        for one in file.streams:
            if one.type == kind:
                start, length = (float((time or 0) * one.time_base) for time in (one.start_time, one.duration))
                found.append((one.codec_context.codec.canonical_name, start, start + length, one.language))
        return found


def seen_by_opencv(path):
    """Frames per second and number of frames, by the header alone."""
    capture = cv2.VideoCapture(str(path))
    return capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)


def test_r1_avi_rate(a, fused):
    path, _ = fused(a, "r1.avi")
    assert seen_by_opencv(path) == (RATE, FRAMES)


def test_r2_opus(fused, tmp_path):
    b = write(tmp_path / "o.mkv", sounds=[("libopus", TONE, 0, {})])
    for name, codec in (("r2.avi", "pcm_s16le"), ("r2.mov", "aac")):
        path, warnings = fused(b, name)
        assert [one[0] for one in streams(path, "audio")] == [codec]
        assert f"(opus) was encoded as {codec}" in warnings


def test_r3_sound_start(fused, tmp_path):
    b = write(tmp_path / "s.mp4", sounds=[("aac", TONE, 0.5, {})])
    path, _ = fused(b, "r3.mp4")
    (expected,), (found,) = streams(b, "audio"), streams(path, "audio")
    assert expected[1] > 0.4
    assert found[1] == pytest.approx(expected[1], abs=0.002)


def test_r4_every(fused, tmp_path):
    b = write(tmp_path / "e.mp4", sounds=[("aac", TONE, 0, {})])
    path, _ = fused(b, "r4.mp4", frame_stride=RATE)
    (video,), (sound,) = streams(path, "video"), streams(path, "audio")
    assert video[2] == pytest.approx(2, abs=0.01)
    assert sound[2] == pytest.approx(2, abs=0.07)  # a packet of AAC


def test_r5_rgb_source(fused, tmp_path):
    path, _ = fused(write(tmp_path / "g.mkv", COLOR, "ffv1", "bgr0"), "r5.mp4")
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.pix_fmt, int(context.colorspace)) in {("yuv420p", 1), ("yuv420p", 5), ("yuv420p", 6)}


def test_r6_full_range_avi(fused, tmp_path):
    b = write(tmp_path / "f.avi", COLOR, "mjpeg", "yuvj420p", options={"qscale": "1"})
    levels = []
    for name in ("r6.avi", "r6.mp4"):
        frame = read_video(fused(b, name)[0])[0]
        levels.append(np.percentile(frame.to_ndarray(format="gray"), [5, 25, 50, 75, 95]))
    assert np.abs(levels[0] - levels[1]).max() <= 3


def test_r7_ts_start(fused, tmp_path):
    b = write(tmp_path / "t.ts", start=100_000)
    path, _ = fused(b, "r7.mkv")
    with av.open(str(path)) as file:
        assert file.start_time == 0
        assert file.duration == pytest.approx(2e6, abs=50_000)
    assert seen_by_opencv(path)[1] == pytest.approx(FRAMES, abs=1)


def test_r8_tracks(fused, tmp_path):
    marks = {"language": "deu"}
    b = write(tmp_path / "m.mkv", sounds=[("flac", TONE, 0, marks)], subtitles=[("subrip", {})])
    path, warnings = fused(b, "r8.mkv")
    assert [(one[0], one[3]) for one in streams(path, "audio")] == [("flac", "deu")]
    assert [text.rsplit(",", 1)[-1] for _, text in subtitles_of(path)] == ["one", "two"]
    assert "lost" not in warnings
