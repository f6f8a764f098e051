"""Where frames come from: a video file, a camera, a stream, or a folder of images."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from refinefuse.data.pairs import images_in, pair_folders
from refinefuse.errors import InputError, MissingDependencyError, RefineFuseError
from refinefuse.image.files import read_image
from refinefuse.inference.video.color_range import luma_plane, with_luma

if TYPE_CHECKING:
    from av import VideoFrame

VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv")
_CAMERAS = ("rtsp:", "rtsps:", "rtmp:", "udp:", "tcp:", "srt:", "rtp:", "/dev/video")
_TIMEOUT = 15.0  # seconds without a sign of life from a stream
_SAMPLES = 16  # frames from which fixed levels are taken
_LONGEST_GROUP = 60  # frames that are decoded at most to come from a key frame to a sample
_DAMAGE = re.compile(r"error while decoding|CRC mismatch|conceal|damaged|corrupt|overread|invalid data", re.IGNORECASE)
_FORMATS = {("uint8", 2): "gray", ("uint16", 2): "gray16le", ("uint8", 3): "rgb24", ("uint16", 3): "rgb48le"}


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        time: seconds after the first frame of its source.
        image: as it was decoded; its `pts` and `time_base` are set.
        name: which frame it is, for messages.
    """

    time: float
    image: VideoFrame
    name: str


@dataclass(frozen=True)
class CorruptFrame:
    """A frame that could not be decoded.

    Attributes:
        name: which frame it is, for messages.
        reason: what is wrong with it.
    """

    name: str
    reason: str


def is_video(source: str) -> bool:
    """Whether a name on the command line is a video, a camera or a stream."""
    return is_camera(source) or "://" in source or Path(source).suffix.lower() in VIDEO_EXTENSIONS


def is_camera(source: str) -> bool:
    """Whether frames come when they like, and not when they are asked for."""
    return source.startswith(_CAMERAS)


def import_av() -> ModuleType:
    """PyAV.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("av", "video", "Reading and writing videos") from error
    return av


@contextmanager
def listening() -> Iterator[None]:
    """Let FFmpeg report errors to whoever captures them, and to nobody else."""
    av = import_av()
    level, logger, silent = av.logging.get_level(), logging.getLogger("libav"), logging.NullHandler()
    propagate = logger.propagate
    av.logging.set_level(av.logging.ERROR)
    logger.addHandler(silent)
    logger.propagate = False
    try:
        yield
    finally:
        av.logging.set_level(level)
        logger.removeHandler(silent)
        logger.propagate = propagate


class VideoSource:
    """The first video stream of a file, a camera or a URL.

    Attributes:
        name: as the user gave it.
        size: (h, w) in pixels.
        rate: frames per second, by the file's own account.
        count: how many frames there are, 0 if that is not known.
        aspect: of the pixels.
        has_audio: whether there is audio that can be copied.

    Raises:
        InputError: if it cannot be opened, or has no video that can be decoded.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_camera = is_camera(name)
        self._container = _opened(name)
        try:
            self._inspect()
        except BaseException:
            self._container.close()
            raise

    def _inspect(self) -> None:
        """Read what the container says of its first video stream."""
        try:
            self._stream: Any = self._container.streams.video[0]
            context = self._stream.codec_context
            self.size = (context.height, context.width)
        except (IndexError, AttributeError):
            raise InputError(
                f"'{self.name}' holds no video that can be decoded.\nConvert it, for example to H.264."
            ) from None
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        context.thread_count = 1  # the network costs far more, and what a decoder logs stays with its frame
        self.count = int(self._stream.frames or (self._container.duration or 0) * self.rate / import_av().time_base)
        self.aspect = context.sample_aspect_ratio
        self.has_audio = bool(self._container.streams.audio) and not self.is_camera

    def __iter__(self) -> Iterator[Frame | CorruptFrame]:
        """All frames in their order; what cannot be decoded as it was meant comes as `CorruptFrame`."""
        packets = self._container.demux(self._stream)
        damaged: dict[int | None, str] = {}
        start: Fraction | None = None
        number = 0
        while (step := self._next(packets)) is not None:
            images, stamp, damage = step
            if damage:
                damaged[stamp] = damage
            for image in images:
                if image.pts is None:
                    image.pts, image.time_base = number, 1 / self.rate
                moment = image.pts * image.time_base
                start = moment if start is None else start
                name = self._frame_name(moment - start)
                damage = damaged.pop(image.pts, "parts of it are missing" if image.is_corrupt else "")
                yield CorruptFrame(name, damage) if damage else Frame(float(moment - start), image, name)
                number += 1
            if damage and not images:
                moment = number / self.rate if stamp is None else stamp * self._stream.time_base - (start or 0)
                yield CorruptFrame(self._frame_name(moment), damaged.pop(stamp, damage))

    def _frame_name(self, moment: Fraction) -> str:
        return f"frame {round(moment * self.rate)} of '{self.name}' ({float(moment):.2f} s)"

    @staticmethod
    def _next(packets: Iterator[Any]) -> tuple[list[Any], int | None, str] | None:
        """Images that the next packet brings, its timestamp, and what is wrong with it; None at the end.

        Decoders hide damage behind parts of other frames and only log it.
        """
        av = import_av()
        stamp = None
        try:
            packet = next(packets)
            stamp = packet.pts
            with av.logging.Capture() as messages:
                images = list(packet.decode())
        except (StopIteration, av.error.EOFError):
            return None
        except av.error.FFmpegError as error:  # in a packet; or in the file as a whole, which then ends
            quiet = isinstance(error, av.error.ExitError)
            return [], stamp, f"nothing came for {_TIMEOUT:g} seconds" if quiet else error.strerror or str(error)
        reports = [text.strip() for _, _, text in messages if _DAMAGE.search(text)]
        return images, stamp, reports[0] if reports else ""

    def sample(self) -> list[np.ndarray[Any, Any]]:
        """Luma planes of some frames from all over a file; none of a camera, whose past is gone."""
        planes: list[np.ndarray[Any, Any]] = []
        if self.is_camera or not self._container.duration:
            return planes
        with _opened(self.name) as container:
            stream = container.streams.video[0]
            for number in range(_SAMPLES):
                moment = container.duration * number // _SAMPLES + (container.start_time or 0)
                image = None
                with suppress(import_av().error.FFmpegError):  # the run itself will name what is damaged
                    container.seek(moment)  # to the key frame before
                    for image in islice(container.decode(stream), _LONGEST_GROUP):
                        if image.time is not None and image.time * import_av().time_base >= moment:
                            break
                if image is not None:
                    planes.append(luma_plane(with_luma(image)).copy())
        return planes

    def close(self) -> None:
        """Close the file."""
        self._container.close()


class FolderSource:
    """Images of a folder as the frames of a video.

    Attributes:
        name: of the folder.
        size: (h, w) of the first image, in pixels.
        rate: frames per second.
        count: how many images there are.
        aspect: of the pixels; None: square.

    Args:
        files: the images in their order.
        rate: frames per second.

    Raises:
        InputError: if the first image cannot be read.
    """

    is_camera = False

    def __init__(self, files: Sequence[Path], rate: Fraction) -> None:
        self.name = str(files[0].parent)
        self.rate = rate
        self.count = len(files)
        self.aspect = None
        self._files = files
        height, width = read_image(files[0]).shape[:2]
        self.size = (height, width)

    def __iter__(self) -> Iterator[Frame | CorruptFrame]:
        """All frames in their order; files that cannot be read come as `CorruptFrame`."""
        for number, file in enumerate(self._files):
            try:
                image = _as_frame(read_image(file))
            except RefineFuseError as error:
                yield CorruptFrame(f"'{file}'", str(error))
                continue
            image.pts, image.time_base = number, 1 / self.rate
            yield Frame(float(number / self.rate), image, f"'{file}'")

    def sample(self) -> list[np.ndarray[Any, Any]]:
        """Luma planes of some images from all over the folder."""
        chosen = sorted({len(self._files) * number // _SAMPLES for number in range(_SAMPLES)})
        planes = []
        for number in chosen:
            with suppress(RefineFuseError):
                planes.append(luma_plane(_as_frame(read_image(self._files[number]))).copy())
        return planes

    def close(self) -> None:
        """Nothing is open."""


Source: TypeAlias = VideoSource | FolderSource


def open_sources(a: str, b: str, rate: float | None, *, same_size: bool = True) -> tuple[Source, Source]:
    """Open the two sources of a video.

    Two folders are paired by name, as for images; a folder beside a video is taken in the order of its names.

    Args:
        a: file, folder, camera or URL of the first source.
        b: of the second.
        rate: frames per second of folders; None: that of the video beside them, or 25.
        same_size: whether they must be of one size.

    Raises:
        InputError: if one cannot be opened, or they differ in size and must not.
        PairingError: if two folders cannot be paired.
    """
    if rate is not None and not 0 < rate <= 1000:
        raise InputError(f"`fps` must be above 0 and at most 1000.\n  got: {rate:g}")
    by_user = None if rate is None else Fraction(rate).limit_denominator(1001)
    sources: list[Source]
    if Path(a).is_dir() and Path(b).is_dir():
        pairs = pair_folders(a, b).pairs
        sources = [FolderSource([getattr(pair, side) for pair in pairs], by_user or Fraction(25)) for side in "ab"]
    else:
        with ExitStack() as opened:  # closes the first file if the second cannot be used
            videos = [
                None if Path(name).is_dir() else opened.enter_context(closing(VideoSource(name))) for name in (a, b)
            ]
            beside = by_user or next(video.rate for video in videos if video)
            named = zip(videos, (a, b), strict=True)
            sources = [video or FolderSource(images_in(name), beside) for video, name in named]
            if same_size:
                _check_sizes(*sources)
            opened.pop_all()
        return sources[0], sources[1]
    if same_size:
        _check_sizes(*sources)
    return sources[0], sources[1]


def _check_sizes(a: Source, b: Source) -> None:
    if a.size != b.size:
        sizes = [f"{source.size[0]} x {source.size[1]}   '{source.name}'" for source in (a, b)]
        raise InputError(
            f"`a` and `b` must have the same height and width.\n  a: {sizes[0]}\n  b: {sizes[1]}\n"
            "Align a frame of each (refinefuse align --save-transform T.json), and give --transform T.json."
        )


def _opened(name: str) -> Any:
    av = import_av()
    options = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
    form = "v4l2" if name.startswith("/dev/video") else None
    try:
        return av.open(name, format=form, options=options, timeout=_TIMEOUT, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"Cannot open the video '{name}': {error.strerror or error}.\n"
            "Check the path or the address, and that it is a video."
        ) from None


def _as_frame(pixels: np.ndarray[Any, Any]) -> VideoFrame:
    """An image as a video frame; alpha is left out, float becomes 16 bit."""
    if pixels.dtype == np.float32:
        pixels = (pixels * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    frame: VideoFrame = import_av().VideoFrame.from_ndarray(
        np.ascontiguousarray(pixels), format=_FORMATS[pixels.dtype.name, pixels.ndim]
    )
    return frame
