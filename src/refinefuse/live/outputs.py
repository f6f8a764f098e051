"""Outputs of fused frames: file, stream, pipe and window, each in its own thread that never blocks the others."""

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

_WAITING = 8  # queue length per output; older frames are dropped
_CLOCK = Fraction(1, 90000)
_PUSHED = {"rtsp": "rtsp", "rtp": "rtp_mpegts", "srt": "mpegts", "udp": "mpegts", "tcp": "mpegts"}
_PROMPT = {"preset": "ultrafast", "tune": "zerolatency", "crf": "22", "g": "50"}


class Output:
    """Write frames in a separate thread.

    Attributes:
        name: name used in messages.
        frames: number of frames written.
        failure: why the output stopped; empty while it works.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.frames = 0
        self.failure = ""
        self._queue: BoundedQueue[FusedFrame] = BoundedQueue(_WAITING, drop=True)
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, frame: FusedFrame) -> None:
        """Queue a frame without blocking."""
        self._queue.put(frame)

    def close(self) -> None:
        """Write the queued frames, and finish."""
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
        except Exception as error:  # keep the first failure, which is more informative
            self.failure = self.failure or reason_of(error)

    @abstractmethod
    def write(self, frame: FusedFrame) -> None:
        """Write one frame."""

    def finish(self) -> None:
        """Release all resources."""


class EncodedOutput(Output):
    """Encode as H.264 to a file or an address.

    Args:
        name: file name or address.
        form: FFmpeg's name of the container format.
        encoder: FFmpeg's name of the encoder, and its options.
        options: options of the container format.
    """

    def __init__(self, name: str, form: str, encoder: tuple[str, dict[str, str]], options: dict[str, str]) -> None:
        super().__init__(name)
        self._form, self._encoder, self._options = form, encoder, options
        self._target = name
        self._container: Any = None
        self._stream: Any = None
        self._start, self._last = 0.0, -1

    def write(self, frame: FusedFrame) -> None:
        """Encode one frame, with its arrival time as timestamp."""
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
        """Flush the encoder and close the file."""
        if self._container is not None:
            try:
                if not self.failure:
                    self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()


class Recording(EncodedOutput):
    """A recording that stays playable if the process is killed.

    Args:
        path: .mp4, .mov, .mkv or .avi file.
        overwrite: replace an existing file.

    Raises:
        InputError: the file cannot be written.
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
        """Finish the file and move it into place; without frames, no file is written."""
        try:
            super().finish()
        finally:
            if self.frames:
                self._temporary.replace(self._path)
            self._temporary.unlink(missing_ok=True)


class Push(EncodedOutput):
    """Stream to an address: rtsp://, rtp://, udp://, tcp://, or srt:// if FFmpeg was built with it.

    Raises:
        InputError: the address is invalid, or FFmpeg lacks the protocol.
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
    """Write raw frames to standard output.

    Args:
        form: FFmpeg's name of the pixel format.
    """

    def __init__(self, form: PipeFormat) -> None:
        super().__init__("standard output")
        self._pixel_format = form

    def write(self, frame: FusedFrame) -> None:
        """Write the bytes of one frame."""
        sys.stdout.buffer.write(frame.image.to_ndarray(format=self._pixel_format).tobytes())
        sys.stdout.buffer.flush()


class Window(Output):
    """Show frames in a window.

    Raises:
        InputError: this build of OpenCV has no window support.
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
