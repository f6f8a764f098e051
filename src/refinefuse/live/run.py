"""The live view: fuse the newest frame of the faster camera with the nearest frame of the other one."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, current_thread, main_thread
from typing import Any

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inspection import Preview, chosen_kinds
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.video.color_range import luma_plane, luma_range_of, neutral_chroma, with_luma
from refinefuse.inference.video.frames import listening
from refinefuse.live.adapt import AdaptiveRange, SteadyContext, SteadyImage
from refinefuse.live.camera import Camera, LiveFrame
from refinefuse.live.fused_frame import FusedFrame, canvas_of, write_text
from refinefuse.live.offset import LARGEST, ClockOffset
from refinefuse.live.outputs import Output

_WAIT = 0.1  # seconds between checks for a stop request
_STALE = 1.0  # seconds after which the last frame of a camera is no longer shown
_FASTER = 1.2  # rate ratio above which the other camera becomes the leader
_KEPT = 5000  # number of latencies to keep
_log = logging.getLogger("refinefuse")


@dataclass(frozen=True)
class LiveOptions:
    """Options of live fusion.

    Attributes:
        thermal: range and polarity of `a`. Without a range, that of raw counts adapts slowly to the scene.
        alignment: transform from pixels of `b` to `a`.
        offset: delay of `a` relative to `b` in seconds; None measures it.
        overlay: draw frame rate and latency on the image.
        timeout: seconds to wait for the first frames.
        duration: seconds to run; None means no limit.

    Raises:
        InputError: a value is out of range.
    """

    thermal: ThermalOptions = field(default_factory=ThermalOptions)
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    offset: float | None = None
    overlay: bool = False
    timeout: float = 10.0
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.alignment.align:
            raise InputError("Live frames cannot be aligned one by one.\nCalibrate the rig, and pass it as `rig`.")
        for name, value in (("timeout", self.timeout), ("duration", self.duration)):
            if value is not None and not value > 0:
                raise InputError(f"`{name}` must be above 0 seconds.\n  got: {value:g}")
        if self.offset is not None and not abs(self.offset) <= LARGEST:
            raise InputError(f"`offset` must be from -{LARGEST} to {LARGEST} seconds.\n  got: {self.offset:g}")


@dataclass
class LiveResult:
    """Statistics of a live view.

    Attributes:
        frames: number of fused frames.
        seconds: duration, counted from the first frame.
        dropped: number of frames of the faster camera that arrived while another one was being fused.
        num_disconnects: number of times each camera was lost: `a`, `b`.
        latencies: seconds from the arrival of a frame to its fused frame reaching the outputs, for the last 5000.
        failures: outputs that stopped, with the reasons.
        interrupted: the interrupt by which the user stopped it.
    """

    frames: int = 0
    seconds: float = 0.0
    dropped: int = 0
    num_disconnects: tuple[int, int] = (0, 0)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    failures: list[str] = field(default_factory=list)
    interrupted: KeyboardInterrupt | None = None

    def latency(self, percent: float) -> float:
        """Return a percentile of the latency in seconds."""
        return float(np.percentile(list(self.latencies) or [0.0], percent))

    @property
    def rate(self) -> float:
        """Fused frames per second."""
        return self.frames / self.seconds if self.seconds else 0.0


class LiveView:
    """Fuse two cameras until they end or the user stops it.

    Args:
        fuser: the network.
        a: the source whose color is not used.
        b: the source whose color is kept.
        options: options of live fusion.
    """

    def __init__(self, fuser: Fuser, a: str, b: str, options: LiveOptions) -> None:
        if fuser.color not in ("b", "gray"):
            raise InputError(f"`color` must be b or gray for a live view.\n  got: {fuser.color}")
        self.result = LiveResult()
        self._fuser, self._options = fuser, options
        self._news = Condition()
        self._a, self._b = (Camera(name, self._news) for name in (a, b))
        self._sizes: tuple[tuple[int, int], tuple[int, int]] = (0, 0), (0, 0)
        self._range = AdaptiveRange(options.thermal.range)
        self._context, self._image = SteadyContext(), SteadyImage()
        self._leader, self._number = self._b, -1
        self._offset = ClockOffset()
        self._start = 0.0

    def state(self) -> dict[str, Any]:
        """Return frame rates, latency and the state of the cameras, for display."""
        return {
            "fps": round(self.result.rate, 2),
            "latency_ms": round(1000 * self.result.latency(50), 1),
            "latency_p99_ms": round(1000 * self.result.latency(99), 1),
            "frames": self.result.frames,
            "dropped": self.result.dropped,
            "offset_ms": round(1000 * self.offset, 1),
            "cameras": [
                {"name": one.name, "state": one.state, "reason": one.reason, "fps": round(one.rate, 1)}
                for one in (self._a, self._b)
            ],
        }

    @property
    def offset(self) -> float:
        """Delay of camera `a` relative to `b` in seconds: as given, or as measured so far."""
        given = self._options.offset
        return self._offset.seconds if given is None else given

    def run(self, outputs: Sequence[Output]) -> LiveResult:
        """Fuse until a file ends, the duration is reached, or the user stops it; then close all outputs.

        Raises:
            InputError: a camera is absent at the start, the sizes do not match, or one changes its size.
        """
        with listening():
            try:
                for camera in (self._a, self._b):
                    camera.start()
                self._begin()
                for output in outputs:
                    output.start()
                self._loop(outputs)
            except KeyboardInterrupt as error:
                self.result.interrupted = error
            finally:
                with _uninterrupted():
                    self._finish(outputs)
                    for camera in (self._a, self._b):
                        camera.stop()
        return self.result

    def _begin(self) -> None:
        """Wait for the first frames and check that they match."""
        first = [camera.require_frame(self._options.timeout) for camera in (self._a, self._b)]
        self._sizes = first[0].size, first[1].size
        transform = self._options.alignment.transform
        if transform is not None:
            transform.check_size("a", self._sizes[0])
            transform.check_size("b", self._sizes[1])
        elif self._sizes[0] != self._sizes[1]:
            named = [
                f"{h} x {w}   '{camera.name}'" for (h, w), camera in zip(self._sizes, (self._a, self._b), strict=True)
            ]
            raise InputError(
                f"`a` and `b` must have the same height and width.\n  a: {named[0]}\n  b: {named[1]}\n"
                "Calibrate the rig (`refinefuse rig calibrate`), and pass it as `rig`."
            )
        self._start = time.monotonic()

    def _loop(self, outputs: Sequence[Output]) -> None:
        known = ["live", "live"]
        while not self._is_over(outputs):
            with self._news:
                self._news.wait_for(self._has_news, _WAIT)
            states = [camera.state for camera in (self._a, self._b)]
            for camera, state, before in zip((self._a, self._b), states, known, strict=True):
                if state != before:
                    _log.warning(
                        "camera '%s': %s%s", camera.name, state, f" ({camera.reason})" if camera.reason else ""
                    )
            known = list(states)
            fused = self._next()
            if fused is not None:
                for output in outputs:
                    output.put(fused)
                self.result.frames += 1
                self.result.latencies.append(time.monotonic() - fused.time)
                self.result.seconds = time.monotonic() - self._start

    def _is_over(self, outputs: Sequence[Output]) -> bool:
        duration = self._options.duration
        ended = any(camera.state == "ended" for camera in (self._a, self._b))
        late = duration is not None and time.monotonic() - self._start >= duration
        return ended or late or bool(outputs and all(output.failure for output in outputs))

    def _has_news(self) -> bool:
        newest = self._leader.latest()
        return newest is not None and newest.number != self._number

    def _choose_leader(self) -> None:
        """Let the faster camera set the frame rate, or the other one if it is lost."""
        other = self._a if self._leader is self._b else self._b
        lost = self._leader.state != "live" and other.state == "live"
        if lost or (other.state == "live" and other.rate > _FASTER * self._leader.rate > 0):
            self._leader, newest = other, other.latest()
            self._number = newest.number - 1 if newest else -1

    def _next(self) -> FusedFrame | None:
        """Return the next fused frame; None if there is no new frame."""
        self._choose_leader()
        newest = self._leader.latest()
        if newest is None or newest.number == self._number:
            return None
        self.result.dropped += max(0, newest.number - self._number - 1) if self._number >= 0 else 0
        self._number = newest.number
        a, b = self._match(newest)
        for frame, size, name in ((a, self._sizes[0], "a"), (b, self._sizes[1], "b")):
            if frame is not None and frame.size != size:
                raise InputError(
                    f"The frame size of `{name}` changed during the stream.\n  expected: {size[0]} x {size[1]}\n"
                    f"  got: {frame.size[0]} x {frame.size[1]}\nStart again with a rig of that size."
                )
        if a is not None and b is not None and self._options.offset is None and self._offset.add(a, b):
            _log.info("camera '%s' is %.0f ms later than '%s'", self._a.name, 1000 * self.offset, self._b.name)
        return None if b is None else self._fuse(a, b, newest.time)

    def _match(self, newest: LiveFrame) -> tuple[LiveFrame | None, LiveFrame | None]:
        """Match frames in time: the newest of the leading camera, or an older one if the other camera lags."""
        leads_b = self._leader is self._b
        other = self._a if leads_b else self._b
        late = self.offset if leads_b else -self.offset  # delay of the other camera
        if late > 0 and other.state == "live":
            newest = self._leader.nearest(newest.time - late) or newest
        matched = other.nearest(newest.time + late)
        return (matched, newest) if leads_b else (newest, matched)

    def _fuse(self, a: LiveFrame | None, b: LiveFrame, moment: float) -> FusedFrame:
        canvas = canvas_of(b.image)
        plane, luma_range = luma_plane(canvas), luma_range_of(canvas)
        fixed = luma_range.normalize(plane)
        missing_a, missing_b = (
            frame is None or (moment - frame.time > _STALE and camera.state != "live")
            for frame, camera in ((a, self._a), (b, self._b))
        )
        if self._fuser.color == "gray" or missing_b:
            for chroma in canvas.planes[1:3]:
                neutral_chroma(chroma, 8)
        if a is not None and not missing_a:
            moving = self._thermal(a)
            if self._options.alignment.moves:
                moving, _ = self._options.alignment.register(moving, fixed)
            if self.result.frames == 0 and not missing_b:
                self._inspect(moving, fixed)
            fused = moving if missing_b else self._predict(moving, fixed, moment)
            luma_range.put(fused, plane)
        if self._options.overlay:
            lost = [name for name, missing in (("a", missing_a), ("b", missing_b)) if missing]
            latency_ms = 1000 * (time.monotonic() - moment)
            write_text(
                plane, f"{self._leader.rate:.1f} fps  {latency_ms:.0f} ms{'  lost: ' * bool(lost)}{', '.join(lost)}"
            )
        return FusedFrame(moment, canvas)

    def _inspect(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """Warn if the first frames are misaligned: the rig may belong to other cameras, or a camera has moved."""
        for warning in Preview((a, b)).inspect(chosen_kinds(polarity=self._options.thermal.polarity == "auto")):
            hint = " Does the rig belong to these cameras?" if self._options.alignment.moves else ""
            _log.warning("in the first frames, %s.%s", warning, hint if warning.kind == "alignment" else "")

    def _thermal(self, a: LiveFrame) -> torch.Tensor:
        prepared = with_luma(a.image)
        plane, found = luma_plane(prepared), luma_range_of(prepared)
        counts = a.image.format.name.startswith("gray") and a.image.format.components[0].bits > 8
        if counts or self._options.thermal.range is not None:
            found = self._range.update(plane, a.time)
        return (found.inverted() if self._options.thermal.polarity == "black-hot" else found).normalize(plane)

    def _predict(self, a: torch.Tensor, b: torch.Tensor, moment: float) -> torch.Tensor:
        context = self._context.update(self._fuser.encode_context(a, b), moment)
        return self._image.update(self._fuser.predict(a, b, context).fused, a, b)

    def _finish(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            output.close()
            if output.failure:
                self.result.failures.append(f"{output.name}: {output.failure}")
        self.result.num_disconnects = self._a.num_disconnects, self._b.num_disconnects


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore further Ctrl-C while recordings are being finished."""
    if current_thread() is not main_thread():  # signals arrive only in the main thread
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
