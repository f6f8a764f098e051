"""A camera, a stream, or a file played like one: a dedicated thread reads it and keeps the latest frames."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Any, Literal

from refinefuse.errors import InputError
from refinefuse.inference.video.frames import import_av, reason_of

if TYPE_CHECKING:
    from av import VideoFrame

CameraState = Literal["connecting", "live", "disconnected", "ended"]

_OPENING, _SILENCE = 5.0, 2.0  # seconds after which a camera counts as absent, and as lost
_RETRY = 0.2  # seconds between attempts
_KEPT = 32  # number of latest frames to keep for matching: half a second at 60 Hz
_MEASURED = 50  # number of arrivals used to measure the frame rate
_PROMPT = {"flags": "low_delay", "fpsprobesize": "0", "analyzeduration": "500000"}
"""Not `nobuffer`: it discards the key frame that FFmpeg reads while probing a stream, so that nothing can be decoded
until the next one."""


@dataclass(frozen=True)
class LiveFrame:
    """One frame of a camera.

    Attributes:
        time: arrival time in seconds of `time.monotonic`.
        number: number of frames before it.
        image: the decoded frame.
    """

    time: float
    number: int
    image: VideoFrame

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.height, self.image.width


class Camera:
    """Read a source continuously, reopen it when it is lost, and keep its latest frames.

    Args:
        name: device number or path, address, or a video file, which is played at its own rate.
        news: notified when a frame arrives or the state changes.

    Attributes:
        name: name of the source, as given by the user.
        state: current state of the connection.
        reason: why the source was lost.
        num_disconnects: number of times the source was lost.
    """

    def __init__(self, name: str, news: Condition) -> None:
        self.name = name
        self.state: CameraState = "connecting"
        self.reason = ""
        self.num_disconnects = 0
        self._news = news
        self._stop = Event()
        self._frames: deque[LiveFrame] = deque(maxlen=_KEPT)
        self._arrivals: deque[float] = deque(maxlen=_MEASURED)
        self._count = 0
        self._is_file = Path(name).is_file()
        self._address = f"/dev/video{name}" if name.isdecimal() else name
        self._thread = Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        """Open the source and start reading it."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; a read that is waiting for the camera ends within two seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_SILENCE + _OPENING)

    @property
    def rate(self) -> float:
        """Measured frame rate in frames per second."""
        arrivals = list(self._arrivals)
        return (len(arrivals) - 1) / max(arrivals[-1] - arrivals[0], 1e-3) if len(arrivals) > 1 else 0.0

    def latest(self) -> LiveFrame | None:
        """The newest frame."""
        frames = list(self._frames)
        return frames[-1] if frames else None

    def nearest(self, moment: float) -> LiveFrame | None:
        """Return the kept frame whose arrival is nearest to a given time."""
        return min(list(self._frames), key=lambda frame: abs(frame.time - moment), default=None)

    def require_frame(self, seconds: float) -> LiveFrame:
        """Wait for the first frame.

        Raises:
            InputError: no frame arrived in time.
        """
        end = time.monotonic() + seconds
        with self._news:
            while (frame := self.latest()) is None and self.state != "ended":
                if not self._news.wait(max(0.0, end - time.monotonic())):
                    break
        if frame is None:
            raise InputError(
                f"Camera '{self.name}' sends no frames: {self.reason or 'nothing was received'}.\n"
                "Check the device or address, and that the camera is connected, switched on and not in use."
            )
        return frame

    def _run(self) -> None:
        av = import_av()
        while not self._stop.is_set():
            try:
                self._read()
                self._enter("ended" if self._is_file else "disconnected", "the stream ended")
            except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
                self._enter("ended" if self._is_file else "disconnected", reason_of(error))
            if self._is_file:
                return
            self._stop.wait(_RETRY)

    def _enter(self, state: CameraState, reason: str = "") -> None:
        if self._stop.is_set():
            return
        with self._news:
            self.num_disconnects += state == "disconnected" and self.state == "live"
            self.state, self.reason = state, reason
            self._news.notify_all()

    def _read(self) -> None:
        """Read frames until the source ends; FFmpeg raises an error when nothing arrives for a while."""
        with _open(self._address, prompt=not self._is_file) as container:
            stream: Any = container.streams.video[0]
            stream.codec_context.thread_count = 1
            begin: float | None = None
            for image in container.decode(stream):
                if self._is_file:
                    begin = time.monotonic() - (image.time or 0.0) if begin is None else begin
                    if self._stop.wait(max(0.0, begin + (image.time or 0.0) - time.monotonic())):
                        return
                if self._stop.is_set():
                    return
                self._take(image)

    def _take(self, image: VideoFrame) -> None:
        with self._news:
            now = time.monotonic()
            if self.state != "live":
                self.state, self.reason = "live", ""
                self._arrivals.clear()
            self._arrivals.append(now)
            self._frames.append(LiveFrame(now, self._count, image))
            self._count += 1
            self._news.notify_all()


def _open(address: str, *, prompt: bool) -> Any:
    options = dict(_PROMPT) if prompt else {}
    if address.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    form = "v4l2" if address.startswith("/dev/video") else None
    return import_av().open(
        address, format=form, options=options, timeout=(_OPENING, _SILENCE), metadata_errors="replace"
    )
