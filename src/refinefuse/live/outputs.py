"""Where fused frames go: files, streams, a pipe, a window; each in a thread of its own that never makes others wait."""

from __future__ import annotations

import sys
from abc import abstractmethod
from fractions import Fraction
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from refinefuse.atomic import temporary_name
from refinefuse.errors import InputError
from refinefuse.inference.threads import BoundedQueue
from refinefuse.inference.video.containers import check_video_target, container_of
from refinefuse.inference.video.frames import import_av, reason_of
from refinefuse.inference.video.tags import copy_color_tags
from refinefuse.live.fused_frame import FusedFrame

PipeFormat = Literal["yuv420p", "rgb24", "bgr24", "gray"]

_WAITING = 8  # frames that wait for an output; older ones are dropped
_CLOCK = Fraction(1, 90000)
_PUSHED = {"rtsp": "rtsp", "rtp": "rtp_mpegts", "srt": "mpegts", "udp": "mpegts", "tcp": "mpegts"}
_PROMPT = {"preset": "ultrafast", "tune": "zerolatency", "crf": "22", "g": "50"}


class Output:
    """Takes frames in a thread of its own.

    Attributes:
        name: for messages.
        frames: how many it wrote.
        failure: why it stopped, in words; empty while it works.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.frames = 0
        self.failure = ""
        self._queue: BoundedQueue[FusedFrame] = BoundedQueue(_WAITING, drop=True)
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take frames."""
        self._thread.start()

    def put(self, frame: FusedFrame) -> None:
        """Hand over a frame; never waits."""
        self._queue.put(frame)

    def close(self) -> None:
        """Write what waits, and finish."""
        self._queue.finish()
        if self._thread.ident is None:
            self.finish()
        else:
            self._thread.join()

    def _run(self) -> None:
        try:
            for frame in self._queue:
                self.write(frame)
                self.frames += 1
        except Exception as error:  # reported at the end of the run
            self.failure = reason_of(error)
            self._queue.close()
        try:
            self.finish()
        except Exception as error:  # the first one says more
            self.failure = self.failure or reason_of(error)

    @abstractmethod
    def write(self, frame: FusedFrame) -> None:
        """Write one frame."""

    def finish(self) -> None:
        """Close what is open."""


class EncodedOutput(Output):
    """H.264 into a file or to an address.

    Args:
        name: of the file, or the address.
        form: FFmpeg's name of the format.
        encoder: FFmpeg's name and its options.
        options: of the format.
    """

    def __init__(self, name: str, form: str, encoder: tuple[str, dict[str, str]], options: dict[str, str]) -> None:
        super().__init__(name)
        self._form, self._encoder, self._options = form, encoder, options
        self._target = name
        self._container: Any = None
        self._stream: Any = None
        self._start, self._last = 0.0, -1

    def write(self, frame: FusedFrame) -> None:
        """Encode one frame; its time is that at which it came."""
        image = frame.image
        if self._container is None:
            self._start = frame.time
            self._container = import_av().open(
                self._target, "w", format=self._form, container_options=self._options, timeout=(5.0, 5.0)
            )
            codec, options = self._encoder
            stream: Any = self._container.add_stream(codec, rate=30, options=dict(options))
            stream.width, stream.height, stream.pix_fmt = image.width, image.height, image.format.name
            stream.codec_context.time_base = _CLOCK
            stream.codec_context.thread_count = 1
            copy_color_tags(image, stream.codec_context)
            self._stream = stream
        stamp = max(round((frame.time - self._start) / _CLOCK), self._last + 1)
        self._last = stamp
        timed = image.reformat()
        timed.pts, timed.time_base, timed.pict_type = stamp, _CLOCK, 0
        self._container.mux(self._stream.encode(timed))

    def finish(self) -> None:
        """Write what the encoder holds, and the end of the file."""
        if self._container is not None:
            try:
                if not self.failure:
                    self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()


class Recording(EncodedOutput):
    """A file that can be played whatever ends it.

    Args:
        path: .mp4, .mov, .mkv or .avi.
        overwrite: replace a file that exists.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        encoding = check_video_target(path, "auto", overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        container = container_of(path)
        super().__init__(
            str(path), container.format, (encoding.encoder, dict(encoding.options)), dict(container.options)
        )
        self._path, self._temporary = path, temporary_name(path)
        self._target = str(self._temporary)

    def finish(self) -> None:
        """Finish the file and give it its name; without a frame there is no file."""
        try:
            super().finish()
        finally:
            if self.frames:
                self._temporary.replace(self._path)
            self._temporary.unlink(missing_ok=True)


class Push(EncodedOutput):
    """A stream to an address: rtsp://, rtp://, udp://, tcp://, or srt:// where FFmpeg was built with it.

    Raises:
        InputError: the address is of another kind, or the protocol is missing.
    """

    def __init__(self, address: str) -> None:
        scheme = address.partition("://")[0]
        if scheme not in _PUSHED or "://" not in address:
            raise InputError(
                f"Cannot send to '{address}': unknown kind of address.\n"
                f"  expected: {', '.join(f'{one}://' for one in _PUSHED)}\nUse one of these, or `listen`."
            )
        super().__init__(
            address, _PUSHED[scheme], ("libx264", _PROMPT), {"rtsp_transport": "tcp"} if scheme == "rtsp" else {}
        )


class Pipe(Output):
    """Raw frames on standard output, one after another.

    Args:
        form: of the pixels, by FFmpeg's name.
    """

    def __init__(self, form: PipeFormat) -> None:
        super().__init__("standard output")
        self._pixel_format = form

    def write(self, frame: FusedFrame) -> None:
        """Write the bytes of one frame."""
        sys.stdout.buffer.write(frame.image.to_ndarray(format=self._pixel_format).tobytes())
        sys.stdout.buffer.flush()


class Window(Output):
    """A window on the screen.

    Raises:
        InputError: this OpenCV shows no windows.
    """

    def __init__(self) -> None:
        import cv2

        super().__init__("RefineFuse")
        try:
            cv2.namedWindow(self.name, cv2.WINDOW_NORMAL)
        except cv2.error:
            raise InputError(
                "OpenCV cannot open a window: this is the headless build, or there is no display.\n"
                "Use `listen` and watch in a browser, or `pipe` with a player such as ffplay."
            ) from None
        cv2.destroyAllWindows()

    def write(self, frame: FusedFrame) -> None:
        """Show one frame."""
        import cv2

        cv2.imshow(self.name, frame.image.to_ndarray(format="bgr24"))
        cv2.waitKey(1)
