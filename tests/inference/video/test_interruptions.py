"""However a run ends: the old file or a whole new one, the error and its exit code, nothing left behind."""

import errno
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from clips import av, read_video, scene, write_video

from refinefuse.errors import InputError
from refinefuse.inference.video import encoder as encoder_module
from refinefuse.inference.video.encoder import VideoEncoder
from refinefuse.inference.video.fuse import fuse_video, fuse_videos
from refinefuse.inference.video.options import VideoOptions


def fuse(fuser, a, b, output, *, overwrite=False, **options):
    return fuse_video(a, b, output, fuser=fuser, options=VideoOptions(**options), overwrite=overwrite)


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".refinefuse")]


class TestTheOldFile:
    """What `--overwrite` replaces is there until the new one is whole."""

    @pytest.fixture
    def old(self, fuser, pair, tmp_path):
        fuse(fuser, *pair, tmp_path / "o.mp4")
        return (tmp_path / "o.mp4").read_bytes()

    def ended_by(self, monkeypatch, error, after):
        """Raise an error in the encoding thread after some frames."""
        write, count = VideoEncoder.write, iter(range(10_000))

        def failing(self, frame):
            if next(count) == after:
                raise error
            write(self, frame)

        monkeypatch.setattr(VideoEncoder, "write", failing)

    def test_stays_if_a_frame_cannot_be_written(self, fuser, pair, tmp_path, old, monkeypatch):
        self.ended_by(monkeypatch, InputError("disk full"), 5)
        outcome = fuse(fuser, *pair, tmp_path / "o.mp4", overwrite=True)
        assert (tmp_path / "o.mp4").read_bytes() == old
        assert outcome.path == tmp_path / "o.partial.mp4"
        assert len(read_video(outcome.path)) == outcome.frames == 5
        assert "disk full" in outcome.failure
        assert not leftovers(tmp_path)

    def test_stays_if_a_damaged_frame_ends_it(self, fuser, pair, tmp_path, old):
        data = bytearray(pair[1].read_bytes())
        with av.open(str(pair[1])) as file:
            packet = [bytes(one) for one in file.demux(video=0) if one.size][6]
        at = data.index(packet) + len(packet) // 2
        data[at : at + 20] = bytes(byte ^ 0x5A for byte in data[at : at + 20])
        (tmp_path / "bad.mkv").write_bytes(data)
        outcome = fuse(fuser, pair[0], tmp_path / "bad.mkv", tmp_path / "o.mp4", overwrite=True, on_error="stop")
        assert outcome.path == tmp_path / "o.partial.mp4"
        assert (tmp_path / "o.mp4").read_bytes() == old

    def test_is_replaced_in_the_end(self, fuser, pair, tmp_path, old):
        outcome = fuse(fuser, *pair, tmp_path / "o.mp4", overwrite=True, frame_stride=2)
        assert outcome.path == tmp_path / "o.mp4"
        assert (tmp_path / "o.mp4").read_bytes() != old
        assert sorted(path.name for path in tmp_path.glob("o*")) == ["o.mp4"]


class TestErrorsOfThreads:
    def test_a_rename_that_fails(self, fuser, pair, tmp_path, monkeypatch):
        def refused(self, target):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(target))

        monkeypatch.setattr(Path, "replace", refused)
        with pytest.raises(InputError, match=r"Cannot write '.*o\.mp4': Operation not permitted"):
            fuse(fuser, *pair, tmp_path / "o.mp4")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ir.mkv", "vi.mkv"]

    def test_an_encoder_that_fails_at_once(self, fuser, pair, tmp_path, monkeypatch):
        def broken(self, *arguments):
            raise ValueError("no such profile")

        monkeypatch.setattr(VideoEncoder, "_video_stream", broken)
        with pytest.raises(InputError, match=r"Cannot encode the video '.*': no such profile"):
            fuse(fuser, *pair, tmp_path / "o.mp4")
        assert not leftovers(tmp_path)

    @pytest.mark.parametrize("index", [0, 1])
    def test_a_decoder_that_fails(self, fuser, pair, tmp_path, monkeypatch, index):
        from refinefuse.inference.video.file_source import VideoSource

        steps = VideoSource._steps

        def broken(self):
            for number, step in enumerate(steps(self)):
                if number == 5 and self.name == str(pair[index]):
                    raise MemoryError("out of memory")
                yield step

        monkeypatch.setattr(VideoSource, "_steps", broken)
        outcome = fuse(fuser, *pair, tmp_path / "o.mkv")
        assert f"Cannot decode '{pair[index]}' any further: out of memory" in outcome.failure
        assert len(read_video(tmp_path / "o.mkv")) == outcome.frames > 0

    def test_a_full_disk(self, fuser, tmp_path):
        frames = [np.random.default_rng(index).integers(0, 256, (240, 320), np.uint8) for index in range(40)]
        a = write_video(tmp_path / "a.mkv", frames)
        if not Path("/dev/full").exists():
            pytest.skip("no device that is full")
        full = tmp_path / ".full"
        full.symlink_to("/dev/full")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoder_module, "temporary_file", lambda _: nullcontext(full))
            with pytest.raises(InputError, match="No space left"):
                fuse(fuser, a, a, tmp_path / "o.mp4")
        assert sorted(path.name for path in tmp_path.iterdir()) == [".full", "a.mkv"]


def test_an_interruption_of_the_api_is_raised(fuser, pair, tmp_path, monkeypatch):
    result = fuse_videos(lambda: fuser, *map(str, pair), tmp_path / "o.mkv", VideoOptions())
    assert result.interrupted is None
    calls = iter(range(100))

    def stop(done, total):
        if next(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fuse_video(*pair, tmp_path / "p.mkv", fuser=fuser, progress=stop)
    assert 0 < len(read_video(tmp_path / "p.mkv")) < 12


class TestLostFrames:
    def test_frames_before_the_first_key_frame_are_named(self, fuser, pair, tmp_path):
        """A recording that begins in the middle of a group cannot be decoded up to its first key frame."""
        options = {"g": "8", "bf": "0", "x264-params": "scenecut=0:keyint=8:min-keyint=8"}
        frames = [np.dstack([scene(index)] * 3) for index in range(12)]
        whole = write_video(tmp_path / "w.mkv", frames, codec="libx264", pixel_format="yuv420p", options=options)
        with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as cut:
            stream = cut.add_stream_from_template(source.streams.video[0], opaque=True)
            for number, packet in enumerate(source.demux(video=0)):
                if packet.dts is not None and number >= 5:
                    packet.stream = stream
                    cut.mux(packet)
        outcome = fuse(fuser, pair[0], tmp_path / "cut.mkv", tmp_path / "o.mkv")
        assert outcome.frames + len(outcome.damaged) == 7
        assert len(outcome.damaged) >= 1

    def test_an_ordinary_video_has_none(self, fuser, tmp_path):
        frames = [np.dstack([scene(index)] * 3) for index in range(30)]
        for name, codec in (("x.mp4", "libx264"), ("x.mkv", "libx265"), ("x.webm", "libvpx-vp9"), ("x.avi", "mpeg4")):
            source = write_video(tmp_path / name, frames, codec=codec, pixel_format="yuv420p")
            outcome = fuse(fuser, source, source, tmp_path / "o.mkv", overwrite=True)
            assert (outcome.frames, outcome.damaged) == (30, [])
