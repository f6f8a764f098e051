"""Videos in every container: frames, time, sound, languages by players and their tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from clips import plane, read_video
from numpy.typing import NDArray
from outputs import FRAMES, RATE, Outputs
from programs import Client, run

HEIGHT, WIDTH = 96, 128
LEVELS = 3  # by which decoders' own conversions from limited range to full may differ


def _luma(path: Path) -> NDArray[Any]:
    """All frames as full-range gray, by PyAV."""
    import av

    with av.open(str(path)) as file:
        return np.stack(
            [frame.reformat(format="gray", dst_color_range=2).to_ndarray() for frame in file.decode(video=0)]
        )


def _in_each(check: Callable[[str, Path], None], says: str) -> Callable[[Outputs], str]:
    def run_all(outputs: Outputs) -> str:
        for suffix, path in outputs.videos.items():
            check(suffix, path)
        return f"{', '.join(suffix[1:].upper() for suffix in outputs.videos)}: {says}"

    return run_all


def _by_pyav(outputs: Outputs) -> str:
    """The luma is what the API makes of the frames of the sources."""
    results = outputs.videos
    a, b = (_luma(outputs.folder / name) for name in ("a.mkv", "b.mp4"))
    expected = np.stack([outputs.fuser.fuse(*pair) for pair in zip(a, b, strict=True)]).astype(int)
    for suffix, path in results.items():
        difference = np.abs(_luma(path) - expected).mean()
        assert difference < (1 if suffix == ".avi" else 2), f"{suffix}: {difference:.2f} levels from the API"
    return f"{FRAMES} frames each; luma within 1 level of the API's on average (FFV1), 2 (H.264)"


def _opencv(suffix: str, path: Path) -> None:
    import cv2

    capture = cv2.VideoCapture(str(path))
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    assert round(rate, 3) == RATE, f"{suffix}: {rate} frames per second"
    assert abs(count - FRAMES) <= 2, f"{suffix}: {count} frames by the duration of the file, sound included"
    frames = []
    while (got := capture.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2GRAY))
    assert len(frames) == FRAMES, f"{suffix}: {len(frames)} frames"
    difference = np.abs(np.stack(frames).astype(int) - _luma(path)).mean()
    assert difference < LEVELS, f"{suffix}: {difference:.1f} levels from PyAV"


def _ffprobe(suffix: str, path: Path) -> None:
    found = json.loads(
        run("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", path)
    )
    kinds = {stream["codec_type"]: stream for stream in found["streams"]}
    video, sound = kinds["video"], kinds["audio"]
    assert video["nb_read_frames"] == str(FRAMES), f"{suffix}: {video['nb_read_frames']} frames"
    assert video["avg_frame_rate"] == f"{RATE}/1", f"{suffix}: {video['avg_frame_rate']} frames per second"
    assert abs(float(found["format"]["start_time"])) < 0.07, f"{suffix}: starts at {found['format']['start_time']}"
    assert abs(float(found["format"]["duration"]) - FRAMES / RATE) < 0.13, f"{suffix}: {found['format']['duration']} s"
    if suffix != ".avi":
        language = sound["tags"]["language"]
        assert language == ("ger" if suffix == ".mov" else "deu"), f"{suffix}: {language}"
        assert kinds["subtitle"]["tags"]["language"] == "eng", suffix
        assert {key.lower() for key in found["format"]["tags"]} >= {"creation_time", "title"}, suffix


def _mediainfo(suffix: str, path: Path) -> None:
    tracks = json.loads(run("mediainfo", "--Output=JSON", path))["media"]["track"]
    video = next(track for track in tracks if track["@type"] == "Video")
    assert float(video["FrameRate"]) == RATE, f"{suffix}: {video['FrameRate']}"
    assert int(video["FrameCount"]) == FRAMES, f"{suffix}: {video['FrameCount']}"
    if suffix != ".avi":
        sound = next(track for track in tracks if track["@type"] == "Audio")
        assert sound["Language"] == "de", f"{suffix}: {sound['Language']}"


def _mkvmerge(outputs: Outputs) -> str:
    for suffix, path in outputs.videos.items():
        found = json.loads(run("mkvmerge", "-J", path))
        assert not found["errors"] + found["warnings"], f"{suffix}: {found['errors']} {found['warnings']}"
        kinds = sorted(track["type"] for track in found["tracks"])
        wanted = ["audio", "subtitles", "video"] if suffix == ".mkv" else ["audio", "video"]  # it knows no mov_text
        assert kinds == wanted, f"{suffix}: {kinds}"
    return "tracks of every container, no warning"


def _gstreamer(suffix: str, path: Path) -> None:
    raw = path.with_name("frames.raw")
    pipeline = "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=I420 ! filesink location={}"
    run("gst-launch-1.0", "-q", *pipeline.format(path, raw).split())
    frames = np.fromfile(raw, np.uint8).reshape(-1, HEIGHT * WIDTH * 3 // 2)[:, : HEIGHT * WIDTH]
    assert len(frames) == FRAMES, f"{suffix}: {len(frames)} frames"
    expected = np.stack([plane(frame).ravel() for frame in read_video(path)])
    assert np.array_equal(frames, expected), f"{suffix}: other luma than PyAV's"


def _chromium(outputs: Outputs) -> str:
    page = outputs.folder / "page.html"
    page.write_text(
        f'<title></title><video src="{outputs.videos[".mp4"].name}" muted preload="auto"></video><script>'
        'const v = document.querySelector("video"); v.addEventListener("loadeddata", () => v.currentTime = 1.5);'
        'v.addEventListener("seeked", () => document.title = [v.videoWidth, v.videoHeight, v.duration].join(" "));'
        "</script>"
    )
    options = "--headless --no-sandbox --disable-gpu --virtual-time-budget=20000 --dump-dom"
    said = run("chromium", *options.split(), page.as_uri())
    title = said.partition("<title>")[2].partition("</title>")[0].split()
    assert title[:2] == ["128", "96"], f"{title}"
    assert abs(float(title[2]) - 2) < 0.13, f"lasts {title[2]} s"
    return "MP4 plays: size, duration, seeks to 1.5 s"


_FILES = "MP4, MOV, MKV, AVI"

CLIENTS = (
    Client("PyAV", _FILES, _by_pyav, "av"),
    Client("OpenCV", _FILES, _in_each(_opencv, f"{FRAMES} frames, {RATE} a second, levels"), "opencv-python-headless"),
    Client(
        "FFmpeg",
        _FILES,
        _in_each(_ffprobe, "frames, rate, start, duration, languages, title"),
        "ffmpeg",
        ("ffprobe", "-version"),
    ),
    Client(
        "MediaInfo", _FILES, _in_each(_mediainfo, "rate, frames, language"), "mediainfo", ("mediainfo", "--Version")
    ),
    Client("MKVToolNix", _FILES, _mkvmerge, "mkvtoolnix", ("mkvmerge", "--version")),
    Client(
        "GStreamer",
        _FILES,
        _in_each(_gstreamer, "frames, luma as PyAV's, difference 0"),
        "gstreamer1.0-tools",
        ("gst-launch-1.0", "--version"),
    ),
    Client("Chromium", "MP4", _chromium, "chromium", ("chromium", "--version")),
)
