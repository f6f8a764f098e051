"""`refinefuse fuse` with videos, as a user meets it."""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "inference" / "video"))
from clips import read_video, scene, write_video

from refinefuse.image.files import write_image


def test_two_videos(tmp_path, run):
    a, b = (write_video(tmp_path / f"{name}.mkv", [scene(i) for i in range(n)]) for name, n in (("a", 5), ("b", 9)))
    code, out, _ = run("video", a, b, "-o", tmp_path / "o.mp4")
    assert code == 0
    assert "5 frames in" in out
    assert "slowest: " in out
    assert "`b` is longer" in out
    assert len(read_video(tmp_path / "o.mp4")) == 5


def test_two_folders_become_a_video(pairs, run):
    code, _, _ = run("video", pairs / "ir", pairs / "vi", "-o", pairs / "o.mp4", "--fps", 10)
    assert code == 0
    assert len(read_video(pairs / "o.mp4")) == 3


def test_a_damaged_file_in_the_sequence(pairs, run):
    (pairs / "ir/2.png").write_bytes(b"")
    code, _, err = run("video", pairs / "ir", pairs / "vi", "-o", pairs / "o.mp4")
    assert code == 1
    assert "ir/2.png" in err
    assert len(read_video(pairs / "o.mp4")) == 3
    code, _, err = run("video", pairs / "ir", pairs / "vi", "-o", pairs / "p.mp4", "--on-error", "stop")
    assert (code, "--on-error skip" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-o", "o.gif"), ".mp4"),
        (("-o", "o.mp4", "--codec", "ffv1"), "*.mkv"),
        (("-o", "o.mp4", "--codec", "divx"), "codec"),
        (("-o", "o.mp4", "--montage", "s.png"), "`refinefuse fuse`"),
        (("-o", "o.png"), ".mp4"),
    ],
)
def test_wrong_use(tmp_path, run, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mkv", [scene(0)])
    code, _, err = run("video", "a.mkv", "a.mkv", *words)
    assert (code, text in err, "Traceback" in err) == (2, True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_without_av(tmp_path, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = run("video", "a.mp4", "b.mp4", "-o", tmp_path / "o.mp4")
    assert (code, "pip install 'refinefuse[video]'" in err) == (2, True)


def test_interrupt_leaves_a_file_that_plays(tmp_path, process):
    frames = [np.random.default_rng(i).integers(0, 256, (48, 64), np.uint8) for i in range(100)] * 15
    a = write_video(tmp_path / "a.mkv", frames)
    running = process("video", a, a, "-o", tmp_path / "o.avi")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 50_000 for path in tmp_path.glob(".refinefuse*")):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert 0 < len(read_video(tmp_path / "o.avi")) < 1500
    assert f"{len(read_video(tmp_path / 'o.avi'))} frames in" in out


def test_folders_of_16_bit_counts(tmp_path, run):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            write_image(tmp_path / folder / f"{index}.png", 30000 + scene(index).astype(np.uint16))
    assert run("video", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "o.mkv", "--codec", "ffv1")[0] == 0
    assert read_video(tmp_path / "o.mkv")[0].format.name == "gray16le"
