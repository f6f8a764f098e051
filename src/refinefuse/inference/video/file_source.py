"""Read frames from a video file, a camera or a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from refinefuse.errors import InputError
from refinefuse.image.pixels import check_pixel_count
from refinefuse.inference.video.color_range import luma_plane, with_luma
from refinefuse.inference.video.deinterlace import progressive
from refinefuse.inference.video.frames import CorruptFrame, Frame, import_av, reason_of, usable_rate
from refinefuse.inference.video.tags import ImageTags
from refinefuse.inference.video.timestamps import RisingTimes

if TYPE_CHECKING:
    from av import VideoFrame

_CAMERAS = ("rtsp:", "rtsps:", "rtmp:", "udp:", "tcp:", "srt:", "rtp:", "/dev/video")
_TIMEOUT = 15.0  # seconds without data from a stream
_SAMPLES = 16  # frames sampled for the fixed range
_LONGEST_GROUP = 60  # maximum number of frames decoded from a key frame to a sample
_DAMAGE = re.compile(r"error while decoding|CRC mismatch|conceal|damaged|corrupt|overread|invalid data", re.IGNORECASE)
_DURATION = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")  # of a track of a Matroska file
_ATTACHED_IMAGES = 0x400 | 0x800  # dispositions of cover art and thumbnails
_ONE_IMAGE_A_PACKET = ("h264", "hevc", "mjpeg", "ffv1", "rawvideo", "mpeg1video", "mpeg2video", "prores", "dnxhd")


def is_camera(source: str) -> bool:
    """Whether a source delivers frames in real time."""
    return source.startswith(_CAMERAS)


class VideoSource:
    """The first video stream of a file, a camera or a URL.

    Attributes:
        name: the name as given by the user.
        size: (h, w) in pixels, as coded.
        rate: frames per second, as stated by the file.
        count: number of frames; 0 if unknown.
        aspect: pixel aspect ratio.
        start: presentation time of the first frame in seconds, on its own clock.
        tags: tags of that frame.
        metadata: metadata of the file.
        track_metadata: metadata of the video stream.
        disposition: FFmpeg's disposition flags of the stream.
        remarks: repairs, as text, once all frames have been read.

    Raises:
        InputError: if it cannot be opened, or has no video that can be decoded.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_camera = is_camera(name)
        self.remarks: list[str] = []
        self._packets, self._last_tick = 0, 0  # packets with an image so far, and the last tick
        self._container = open_input(name)
        try:
            self._inspect()
            self._find_first()
        except BaseException:
            self._container.close()
            raise

    def _inspect(self) -> None:
        """Read the properties of the first video stream."""
        streams = [one for one in self._container.streams.video if not one.disposition & _ATTACHED_IMAGES]
        context = streams[0].codec_context if streams else None
        if context is None or not context.height or not context.width:
            raise InputError(f"'{self.name}' contains no video that can be decoded.\nConvert it, for example to H.264.")
        self._stream: Any = streams[0]
        self.size = (context.height, context.width)
        try:
            check_pixel_count(*self.size)
        except InputError as error:
            raise InputError(f"Cannot read '{self.name}': {error}") from None
        self.rate = usable_rate(Fraction(self._stream.average_rate or self._stream.guessed_rate or 25))
        context.thread_count = 1  # decoding is cheap, and log messages stay with their frame
        self.count = int(self._stream.frames or (self._container.duration or 0) * self.rate / import_av().time_base)
        self.aspect = self._stream.sample_aspect_ratio
        self.metadata, self.track_metadata = dict(self._container.metadata), dict(self._stream.metadata)
        self.disposition = int(self._stream.disposition)

    def _find_first(self) -> None:
        """Decode the first image, for properties that the container does not state."""
        events = RisingTimes(progressive(self._decoded(), self._on_interlaced), 1 / self.rate, live=self.is_camera)
        self._events, self._times = iter(events), events
        self._before: list[CorruptFrame | Any] = []
        for event in self._events:
            self._before.append(event)
            if not isinstance(event, CorruptFrame):
                self.start, self.tags = event.moment, ImageTags.of(event.image)
                return
        found = f"\n  got: {self._before[0].reason}" if self._before else ""
        raise InputError(f"'{self.name}' contains no frame that can be decoded.{found}")

    @property
    def index(self) -> int:
        """Index of the video stream among all streams of the file."""
        return int(self._stream.index)

    def __iter__(self) -> Iterator[Frame | CorruptFrame]:
        """Yield all frames in order, once; damaged ones as `CorruptFrame`."""
        end = self.start
        for event in chain(self._before, self._events):
            if isinstance(event, CorruptFrame):
                yield event
            else:
                time, end = event.moment - self.start, event.moment + event.duration
                yield Frame(event.image, event.moment, float(time), event.duration, self._frame_name(time))
        if self._times.repaired:
            self.remarks.append(f"{self._times.repaired} frames of '{self.name}' had no valid timestamp: spread evenly")
        lost = self._lost_at_end(end)
        if lost > 0:
            self.remarks.append(f"about {lost} of the frames that '{self.name}' declares are missing")

    def _lost_at_end(self, end: Fraction) -> int:
        """Number of frames missing relative to the duration in the file, the only sign of truncation."""
        stream, lasts = self._stream, _DURATION.fullmatch(self.track_metadata.get("DURATION", ""))
        if self._container.format.name == "avi":  # counts ticks, including empty ones
            without_gaps = self._packets == self._last_tick + 1
            return int(stream.duration or 0) - self._packets if without_gaps else 0
        if stream.frames:
            return int(stream.frames) - self._packets
        if lasts is None:
            return 0
        hours, minutes, seconds = map(Fraction, lasts.groups())
        return round((hours * 3600 + minutes * 60 + seconds - end) * self.rate)

    def _on_interlaced(self) -> None:
        self.remarks.append(f"'{self.name}' is interlaced: deinterlaced with bwdif")

    def _decoded(self) -> Iterator[VideoFrame | CorruptFrame]:
        """Yield images in display order, and a `CorruptFrame` for every packet that yields no image."""
        waiting: dict[int, list[str]] = {}  # damage of packets without an image so far, by timestamp
        for images, stamp, damage in self._steps():
            if stamp is None and damage and not images:
                yield CorruptFrame(f"a frame of '{self.name}'", damage)
            elif stamp is not None:
                waiting.setdefault(stamp, []).append(damage)
            for image in images:
                own = image.pts or 0
                before = sorted(stamp for stamp in waiting if image.pts is not None and stamp < own)
                yield from self._lost({stamp: waiting.pop(stamp) for stamp in before}, image.interlaced_frame)
                found, *others = waiting.pop(own, [""])
                if others:
                    waiting[own] = others
                damage = found or ("parts of it are missing" if image.is_corrupt else "")
                yield self._corrupt(image.pts, damage) if damage else image
        yield from self._lost(waiting, False)

    def _lost(self, packets: dict[int, list[str]], interlaced: bool) -> Iterator[CorruptFrame]:
        """Yield packets without an image; if decoders may merge packets, only damaged ones."""
        certain = self._stream.codec_context.name in _ONE_IMAGE_A_PACKET and not interlaced
        for stamp, damages in packets.items():
            for damage in damages:
                if damage or certain:
                    yield self._corrupt(stamp, damage or "it contains no image")

    def _corrupt(self, stamp: int | None, damage: str) -> CorruptFrame:
        start = self._stream.start_time or 0
        moment = Fraction(0) if stamp is None else (stamp - start) * self._stream.time_base
        return CorruptFrame(self._frame_name(moment), damage)

    def _frame_name(self, time: Fraction) -> str:
        return f"frame {round(time * self.rate)} of '{self.name}' ({float(time):.2f} s)"

    def _steps(self) -> Iterator[tuple[list[VideoFrame], int | None, str]]:
        """For each packet, yield its images, its timestamp and its damage.

        Decoders conceal damage with parts of other frames and only log it.
        """
        av = import_av()
        packets = self._container.demux(self._stream)
        while True:
            stamp = None
            try:
                packet = next(packets)
                if packet.size:
                    self._packets += 1
                    self._last_tick = packet.dts or 0
                stamp = packet.pts if packet.size and not packet.is_discard else None
                with av.logging.Capture() as messages:
                    images = list(packet.decode())
            except (StopIteration, av.error.EOFError):
                return
            except av.error.FFmpegError as error:  # in a packet, or in the file, which ends there
                yield [], stamp, reason_of(error)
                continue
            reports = [text.strip() for _, _, text in messages if _DAMAGE.search(text)]
            yield images, stamp, reports[0] if reports else ""

    def sample(self) -> list[np.ndarray[Any, Any]]:
        """Luma planes of frames sampled from a file; none for a camera."""
        planes: list[np.ndarray[Any, Any]] = []
        if self.is_camera or not self._container.duration:
            return planes
        with open_input(self.name) as container:
            stream = container.streams[self.index]
            for number in range(_SAMPLES):
                moment = container.duration * number // _SAMPLES + (container.start_time or 0)
                image = None
                with suppress(import_av().error.FFmpegError):  # the run itself reports the damage
                    container.seek(moment)  # to the previous key frame
                    for image in islice(container.decode(stream), _LONGEST_GROUP):
                        if image.time is not None and image.time * import_av().time_base >= moment:
                            break
                if image is not None:
                    planes.append(luma_plane(with_luma(image)).copy())
        return planes

    def close(self) -> None:
        """Close the file."""
        self._events = iter(())
        self._container.close()


def open_input(name: str) -> Any:
    """Open a video for reading.

    Raises:
        InputError: if that fails.
    """
    av = import_av()
    options = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
    form = "v4l2" if name.startswith("/dev/video") else None
    try:
        return av.open(name, format=form, options=options, timeout=_TIMEOUT, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"Cannot open the video '{name}': {reason_of(error)}.\n"
            "Check the path or address, and that it is a video. For a camera use a path such as /dev/video0; for "
            "two cameras use `refinefuse live`."
        ) from None
