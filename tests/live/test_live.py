"""Two cameras over real sockets: what comes out, what is lost and found, what is refused."""

import io
import itertools
import json
import os
import resource
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np
import pytest
import torch
from scenes import scene
from streams import FakeCamera, age, clock_image, read_clock

from refinefuse import AlignmentOptions, Rig
from refinefuse.cli import main
from refinefuse.errors import InputError
from refinefuse.live.adapt import AdaptiveRange, SteadyContext, SteadyImage
from refinefuse.live.camera import Camera, LiveFrame
from refinefuse.live.offset import ClockOffset
from refinefuse.live.outputs import Pipe, Push, Recording
from refinefuse.live.run import LiveOptions, LiveView
from refinefuse.live.server import MjpegServer
from refinefuse.network.context import Context

av = pytest.importorskip("av")
SIZE = (120, 400)


def write_file(path, images, rate=20, form="gray"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *images[0].shape, form
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=form)))
        container.mux(stream.encode(None))
    return str(path)


def serve_h264(frames, rate, silent_for=0):
    """The address of a stream of H.264 in MPEG-TS, at its rate, whose first frame alone is a key frame."""
    file, ends = io.BytesIO(), [0]
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": "1000", "tune": "zerolatency"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clock_image(SIZE), format="gray")))
            ends.append(file.tell())
    server = socket.create_server(("127.0.0.1", 0))

    def send():
        client, _ = server.accept()
        with server, client, suppress(OSError):
            for begin, end in itertools.pairwise(ends):
                client.sendall(file.getvalue()[begin:end])
                time.sleep(1 / rate)
            time.sleep(silent_for)

    threading.Thread(target=send, daemon=True).start()
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def in_background(view, outputs):
    thread = threading.Thread(target=view.run, args=(outputs,))
    thread.start()
    return thread


def test_two_streams_are_fused_served_and_recorded(fuser, tmp_path):
    with FakeCamera(20) as a, FakeCamera(8, seed=1) as b:
        view = LiveView(fuser, a.address, b.address, LiveOptions(duration=60, overlay=True))
        server = MjpegServer("0", view.state)
        thread = in_background(view, [server, Recording(tmp_path / "live.mp4", overwrite=False)])
        ages = []
        with av.open(f"{server.name}stream.mjpg", timeout=10) as client:
            for frame, _ in zip(client.decode(video=0), range(20), strict=False):
                ages.append(age(read_clock(frame.to_ndarray(format="gray"))))
        assert np.median(ages) < 5000  # how long is measured elsewhere; here: that the frames are fresh ones
        with urllib.request.urlopen(f"{server.name}status.json", timeout=10) as answer:
            state = json.loads(answer.read())
        assert [camera["state"] for camera in state["cameras"]] == ["live", "live"]
        assert state["frames"] >= 20
        with urllib.request.urlopen(f"{server.name}frame.jpg", timeout=10) as answer:
            assert answer.read()[:2] == b"\xff\xd8"
        with urllib.request.urlopen(server.name, timeout=10) as answer:
            assert b"stream.mjpg" in answer.read()
        foreign = urllib.request.Request(server.name, headers={"Host": f"elsewhere.example:{server.port}"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(foreign, timeout=10)
        view._options = LiveOptions(duration=0.01)
        thread.join(20)
    assert view.result.failures == []
    with av.open(str(tmp_path / "live.mp4")) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == view.result.frames > 20
    assert [path.name for path in tmp_path.iterdir()] == ["live.mp4"]


@pytest.mark.parametrize("side", [0, 1])
def test_a_lost_camera_is_opened_again(fuser, side):
    with FakeCamera(15) as a, FakeCamera(15, seed=1) as b:
        view = LiveView(fuser, a.address, b.address, LiveOptions(duration=60))
        server = MjpegServer("0", view.state)
        thread = in_background(view, [server])
        camera, one = (a, b)[side], (view._a, view._b)[side]

        def wait_for(state):
            end = time.monotonic() + 20
            while one.state != state and time.monotonic() < end:
                time.sleep(0.05)
            return one.state == state

        assert wait_for("live")
        camera.stop()
        assert wait_for("disconnected")
        frames = view.result.frames
        end = time.monotonic() + 20
        while view.result.frames < frames + 5 and time.monotonic() < end:
            time.sleep(0.05)
        assert view.result.frames >= frames + 5  # the other one is shown meanwhile
        camera.start()
        assert wait_for("live")
        view._options = LiveOptions(duration=0.01)
        thread.join(20)
        assert not thread.is_alive()
        assert view.result.num_disconnects[side] == 1


def test_a_stream_is_shown_from_its_first_key_frame_on():
    camera = Camera(serve_h264(frames=100, rate=25), threading.Condition())
    camera.start()
    try:
        assert camera.require_frame(10).image.key_frame
    finally:
        camera.stop()


def test_files_play_at_their_rate_and_end(fuser, tmp_path, capfdbinary):
    a = write_file(tmp_path / "a.mkv", [clock_image(SIZE) for _ in range(10)])
    b = write_file(tmp_path / "b.mkv", [clock_image(SIZE) for _ in range(10)])
    view = LiveView(fuser, a, b, LiveOptions())
    start = time.monotonic()
    result = view.run([pipe := Pipe("gray")])
    assert time.monotonic() - start > 0.4
    assert len(capfdbinary.readouterr().out) == pipe.frames * SIZE[0] * SIZE[1] > 0
    assert result.frames == pipe.frames


def test_raw_counts_and_a_rig(fuser, tmp_path):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    counts = (7000 + x + y).astype(np.uint16)
    a = write_file(tmp_path / "a.mkv", [counts] * 5, form="gray16le")
    b = write_file(tmp_path / "b.mkv", [np.full((100, 300), 128, np.uint8)] * 5)
    shift = np.array([[1.0, 0, 50], [0, 1, 10], [0, 0, 1]])
    rig = Rig(SIZE, (100, 300), shift)
    view = LiveView(fuser, a, b, LiveOptions(alignment=AlignmentOptions(transform=rig.transform())))
    view.run([recording := Recording(tmp_path / "out.mkv", overwrite=False)])
    assert recording.frames
    with av.open(str(tmp_path / "out.mkv")) as video:
        image = next(video.decode(video=0)).to_ndarray(format="gray").astype(float)
    assert image.shape == (100, 300)
    assert image[50, 250] > image[50, 50] + 20  # counts rise to the right


def test_what_does_not_go_together_is_refused(fuser, tmp_path):
    a = write_file(tmp_path / "a.mkv", [clock_image(SIZE)] * 3)
    b = write_file(tmp_path / "b.mkv", [clock_image((100, 400))] * 3)
    with pytest.raises(InputError, match="must have the same height and width"):
        LiveView(fuser, a, b, LiveOptions()).run([])
    rig = AlignmentOptions(transform=Rig(SIZE, SIZE, np.eye(3)).transform())
    with pytest.raises(InputError, match="another size of `b`"):
        LiveView(fuser, a, b, LiveOptions(alignment=rig)).run([])
    with pytest.raises(InputError, match="cannot be aligned one by one"):
        LiveOptions(alignment=AlignmentOptions(align=True))
    with pytest.raises(InputError, match="kind of address"):
        Push("ftp://somewhere")
    with pytest.raises(InputError, match="Cannot listen"):
        MjpegServer("nowhere", dict)


def test_a_camera_that_changes_its_size_ends_the_view(fuser):
    with FakeCamera(15) as a, FakeCamera(15) as b:
        view = LiveView(fuser, a.address, b.address, LiveOptions(duration=60))
        timer = threading.Timer(1.5, lambda: setattr(b, "size", (144, 400)))
        timer.start()
        with pytest.raises(InputError, match=r"size of `b` changed.*\n  expected: 120 x 400\n  got: 144 x 400"):
            view.run([])


def test_an_absent_camera_is_named(tmp_path, capsys):
    a = write_file(tmp_path / "a.mkv", [clock_image(SIZE)] * 40)
    absent = "http://127.0.0.1:9/stream.mjpg"
    output = tmp_path / "f.mp4"
    assert main(["live", a, absent, "--record", str(output), "--timeout", "1"]) == 2
    assert f"Camera '{absent}' sends no frames: Connection refused" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mp4"))
    assert main(["live", a, a]) == 2
    assert "No output was chosen" in capsys.readouterr().err


def test_a_camera_that_falls_silent_is_lost(monkeypatch):
    monkeypatch.setattr("refinefuse.live.camera._SILENCE", 0.3)
    camera = Camera(serve_h264(frames=40, rate=40, silent_for=5), threading.Condition())
    camera.start()
    try:
        camera.require_frame(10)
        end = time.monotonic() + 5
        while camera.reason != "timed out" and time.monotonic() < end:
            time.sleep(0.02)
        assert (camera.num_disconnects, camera.reason) == (1, "timed out")
    finally:
        camera.stop()


def test_a_full_disk_ends_the_recording_alone(fuser, tmp_path):
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, SIZE, np.uint8) for _ in range(40)]
    a, b = (write_file(tmp_path / f"{name}.mkv", images) for name in "ab")
    view = LiveView(fuser, a, b, LiveOptions())
    server = MjpegServer("0", view.state)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        result = view.run([Recording(tmp_path / "f.mp4", overwrite=False), server])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(result.failures) == 1
    assert "File too large" in result.failures[0]
    assert server.frames > 0
    assert not server.failure


def test_a_second_ctrl_c_does_not_lose_the_recording(fuser, tmp_path):
    class Impatient(Recording):
        def finish(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            super().finish()

    a, b = (write_file(tmp_path / f"{name}.mkv", [clock_image(SIZE)] * 8) for name in "ab")
    result = LiveView(fuser, a, b, LiveOptions()).run([Impatient(tmp_path / "f.mp4", overwrite=False)])
    assert result.failures == []
    with av.open(str(tmp_path / "f.mp4")) as video:
        assert len(list(video.decode(video=0))) == result.frames > 0


def test_the_range_follows_slowly():
    generator = np.random.default_rng(0)
    adaptive = AdaptiveRange(None)
    cold = generator.integers(7000, 8000, (100, 100)).astype(np.uint16)
    start = adaptive.update(cold, 0.0)
    for step in range(1, 26):  # noise moves nothing
        assert adaptive.update(generator.integers(7000, 8000, (100, 100)).astype(np.uint16), step / 25) == start
    hot = cold.copy()
    hot[:10] = 9000
    after = adaptive.update(hot, 1.04)
    assert start.white < after.white < start.white + 50
    for step in range(200):
        after = adaptive.update(hot, 1.08 + step / 25)
    assert after.white > 8900
    assert adaptive.update(np.full((100, 100), 5, np.uint16), 10.0) == after  # a closed shutter


def test_the_context_is_steady_and_keeps_no_ghosts():
    generator = np.random.default_rng(0)
    steady = SteadyContext()

    def sample_context(token=0.0):
        tokens = 0.01 * np.random.default_rng(generator.integers(1 << 30)).normal(size=(1, 16, 4))
        tokens[0, 3] += token
        return Context(*(torch.from_numpy(tokens) for _ in range(2)))

    for step in range(50):
        found = steady.update(sample_context(), step / 25)
    assert found.a.std() < 0.6 * sample_context().a.std()
    moved = sample_context(1.0)
    found = steady.update(moved, 2.0)
    assert found.a[0, 3].allclose(moved.a[0, 3])  # new at once
    gone = sample_context()
    found = steady.update(gone, 2.04)
    assert found.a[0, 3].allclose(gone.a[0, 3])  # and gone at once


def test_still_areas_flicker_less_and_moving_ones_keep_nothing():
    generator = np.random.default_rng(0)
    steady, plain, results = SteadyImage(), [], []
    for step in range(20):
        a, b = (torch.from_numpy(0.5 + generator.normal(0, 1 / 255, (1, 1, 40, 60)).astype(np.float32)) for _ in "ab")
        a[..., 10:20, step : step + 10] = 1.0  # a warm thing passes by
        plain.append((a + b) / 2)
        results.append(steady.update(plain[-1], a, b))
    still = np.s_[0, 0, 30:]
    flicker = [float(torch.diff(torch.stack(frames)[:, *still], dim=0).std()) for frames in (plain, results)]
    assert flicker[1] < 0.9 * flicker[0]
    assert torch.equal(results[-1][0, 0, 12:18, 18:21], plain[-1][0, 0, 12:18, 18:21])  # just left: no ghost


def test_a_rig_of_other_cameras_is_noticed(fuser, tmp_path, caplog):
    a, b = scene(3)
    images = {"a": np.roll(a, 20, 1), "b": b}
    files = [write_file(tmp_path / f"{name}.mkv", [image] * 60, rate=1) for name, image in images.items()]
    for x, warned in ((20, False), (-15, True)):
        caplog.clear()
        rig = Rig(b.shape, b.shape, np.array([[1.0, 0, x], [0, 1, 0], [0, 0, 1]]))
        view = LiveView(fuser, *files, LiveOptions(alignment=AlignmentOptions(transform=rig.transform())))
        thread = in_background(view, [])
        end = time.monotonic() + 30
        while view.result.frames == 0 and time.monotonic() < end:
            time.sleep(0.05)
        view._options = LiveOptions(duration=0.01)
        thread.join(20)
        assert view.result.frames
        assert ("Does the rig belong to these cameras?" in caplog.text) == warned


def moving(rate, delay, seconds, seed, *, form="gray"):
    """Frames of a camera whose frames come late: a bar that moves at random, before noise of the camera's own."""
    moments = np.arange(0, seconds, 0.01)
    position = np.cumsum(
        np.abs(np.random.default_rng(5).normal(size=len(moments) // 30 + 1).repeat(30)[: len(moments)])
    )
    noise = np.random.default_rng(seed)
    for number, moment in enumerate(np.arange(seed / 100, seconds - 1, 1 / rate)):
        image = 100 + noise.normal(0, 2, (48, 64))
        image[:, int(np.interp(moment, moments, position)) % 54 :][:, :10] += 80
        yield LiveFrame(moment + delay, number, av.VideoFrame.from_ndarray(image.round().astype(np.uint8), format=form))


def measured(a, b):
    """What is known at the end of the offset of two cameras."""
    offset, frames = ClockOffset(), list(b)
    for one in a:
        offset.add(one, min(frames, key=lambda frame: abs(frame.time - one.time)))
    return offset.seconds


@pytest.mark.parametrize("delay", [-0.24, 0.0, 0.31])
def test_the_offset_of_the_clocks_is_measured_from_motion(delay):
    assert measured(moving(25, delay, 16, 1), moving(9, 0, 16, 2)) == pytest.approx(delay, abs=0.02)


def test_without_motion_no_offset_is_made_up():
    generator = np.random.default_rng(0)
    still = [
        [LiveFrame(number / 25, number, av.VideoFrame.from_ndarray(image, format="gray"))
         for number, image in enumerate(generator.integers(90, 110, (400, 48, 64), np.uint8))]
        for _ in "ab"
    ]  # fmt: skip
    assert measured(*still) == 0


@pytest.mark.parametrize(("offset", "matched"), [(0.2, (0.8, 0.6)), (-0.2, (0.6, 0.8)), (None, (0.8, 0.8))])
def test_frames_of_one_moment_are_matched(fuser, offset, matched):
    view = LiveView(fuser, "a", "b", LiveOptions(offset=offset))
    image = av.VideoFrame.from_ndarray(clock_image(SIZE), format="gray")
    for camera in (view._a, view._b):
        camera.state = "live"
        camera._frames.extend(LiveFrame(number / 10, number, image) for number in range(9))
    assert tuple(frame.time for frame in view._match(view._b.latest())) == matched
