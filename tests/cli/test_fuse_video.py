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
from refinefuse.inference.video.encoder import VideoEncoder


def test_two_videos(tmp_path, run):
    a, b = (write_video(tmp_path / f"{name}.mkv", [scene(i) for i in range(n)]) for name, n in (("a", 5), ("b", 9)))
    code, out, _ = run("video", a, b, "-o", tmp_path / "o.mp4")
    assert code == 0
    assert "5 frames in" in out
    assert "slowest: " in out
    assert "before `b`" in out
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


NOISE = [np.random.default_rng(i).integers(0, 256, (48, 64), np.uint8) for i in range(100)] * 15


def wait_for_bytes(running, folder):
    """Until the encoder has written something."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 50_000 for path in folder.glob(".refinefuse*")):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_interrupt_leaves_a_file_that_plays(tmp_path, process):
    a = write_video(tmp_path / "a.mkv", NOISE)
    running = process("video", a, a, "-o", tmp_path / "o.avi")
    wait_for_bytes(running, tmp_path)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert 0 < len(read_video(tmp_path / "o.avi")) < 1500
    assert f"{len(read_video(tmp_path / 'o.avi'))} frames in" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_old_file_stays_after_a_signal(tmp_path, process, number, code):
    a = write_video(tmp_path / "a.mkv", NOISE)
    old = write_video(tmp_path / "o.avi", NOISE[:3]).read_bytes()
    running = process("video", a, a, "-o", tmp_path / "o.avi", "--overwrite")
    wait_for_bytes(running, tmp_path)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in err) == (code, False)
    assert (tmp_path / "o.avi").read_bytes() == old
    assert f"{len(read_video(tmp_path / 'o.partial.avi'))} frames in" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "o.avi", "o.partial.avi"]


def test_a_rename_that_fails(tmp_path, run, monkeypatch):
    publish = VideoEncoder._publish

    def taken(self, *, complete):
        self.path.mkdir()  # somebody made a folder of that name meanwhile
        publish(self, complete=complete)

    monkeypatch.setattr(VideoEncoder, "_publish", taken)
    a = write_video(tmp_path / "a.mkv", NOISE[:5])
    code, _, err = run("video", a, a, "-o", tmp_path / "o.mp4")
    assert (code, "Cannot write" in err, "Traceback" in err) == (2, True, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "o.mp4"]


def test_folders_named_like_videos_are_folders(pairs, run):
    for folder in ("ir", "vi"):
        (pairs / folder).rename(pairs / f"{folder}.mp4")
    assert run("fuse", pairs / "ir.mp4", pairs / "vi.mp4", "-o", pairs / "out")[0] == 0
    assert len([path for path in (pairs / "out").iterdir() if not path.name.startswith(".")]) == 3
    assert run("video", pairs / "ir.mp4", pairs / "vi.mp4", "-o", pairs / "o.mp4")[0] == 0
    assert len(read_video(pairs / "o.mp4")) == 3


def test_a_tiny_rate_is_not_a_common_one(pairs, run):
    assert run("video", pairs / "ir", pairs / "vi", "-o", pairs / "o.mp4", "--fps", "0.0001")[0] == 0
    assert [frame.time for frame in read_video(pairs / "o.mp4")] == pytest.approx([0, 1e4, 9e4])  # 1, 2 and 10
    for rate in ("1e20", "1e-9", "nan"):
        code, _, err = run("video", pairs / "ir", pairs / "vi", "-o", pairs / "p.mp4", "--fps", rate)
        assert (code, "--fps must" in err) == (2, True)


def test_no_provenance(pairs, run):
    for name, options in (("o.mkv", []), ("p.mkv", ["--no-provenance"])):
        assert run("video", pairs / "ir", pairs / "vi", "-o", pairs / name, *options)[0] == 0
    assert run("info", pairs / "o.mkv")[0] == 0
    assert run("info", pairs / "p.mkv")[0] == 1


def test_folders_of_16_bit_counts(tmp_path, run):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            write_image(tmp_path / folder / f"{index}.png", 30000 + scene(index).astype(np.uint16))
    assert run("video", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "o.mkv", "--codec", "ffv1")[0] == 0
    assert read_video(tmp_path / "o.mkv")[0].format.name == "gray16le"


@pytest.mark.parametrize("output", ["o.mp4", "o.png"])
def test_two_images_belong_to_another_command(pairs, run, output):
    code, _, err = run("video", pairs / "ir/1.png", pairs / "vi/1.png", "-o", pairs / output)
    assert code == 2
    assert "These are images, not videos.\nUse `refinefuse fuse`." in err
    assert not (pairs / output).exists()
