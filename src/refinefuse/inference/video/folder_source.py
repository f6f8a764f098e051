"""Images of a folder as the frames of a video."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refinefuse.errors import RefineFuseError
from refinefuse.image.files import read_image
from refinefuse.inference.video.color_range import luma_plane, with_luma
from refinefuse.inference.video.frames import CorruptFrame, Frame, import_av
from refinefuse.inference.video.tags import ImageTags

if TYPE_CHECKING:
    from av import VideoFrame

_SAMPLES = 16  # images sampled for the fixed range
_TIME_OF_DAY = re.compile(r"\d{8}[-_T ]?\d{6}")
_FORMATS = {("uint8", 2): "gray", ("uint16", 2): "gray16le", ("uint8", 3): "rgb24", ("uint16", 3): "rgb48le"}


class FolderSource:
    """Images of a folder as the frames of a video. Missing numbers in their names leave gaps in time.

    Attributes:
        name: name of the folder.
        size: (h, w) of the first image, in pixels.
        rate: frames per second.
        count: number of frames, including gaps.
        aspect: pixel aspect ratio; None means square.
        start: presentation time of the first image in seconds.
        tags: tags of that image: none.
        metadata: metadata of the file: none.
        track_metadata: metadata of the video stream: none.
        disposition: disposition of that stream: default.
        remarks: missing frames, as text.

    Args:
        files: the images in order.
        rate: frames per second.

    Raises:
        InputError: if the first image cannot be read.
    """

    is_camera = False
    aspect = None
    disposition = 1
    start = Fraction(0)

    def __init__(self, files: Sequence[Path], rate: Fraction) -> None:
        self.name = str(files[0].parent)
        self.rate = rate
        self.metadata: dict[str, str] = {}
        self.track_metadata: dict[str, str] = {}
        self._files = files
        self._numbers = frame_numbers([file.stem for file in files])
        self.count = self._numbers[-1] + 1
        missing = self.count - len(files)
        self.remarks = [f"{missing} frames are missing in '{self.name}': the frame before each gap is held"] * bool(
            missing
        )
        first = _as_frame(read_image(files[0]))
        self.size, self.tags = (first.height, first.width), ImageTags.of(first)

    def __iter__(self) -> Iterator[Frame | CorruptFrame]:
        """Yield all frames in order; files that cannot be read as `CorruptFrame`."""
        for file, number, following in zip(self._files, self._numbers, [*self._numbers[1:], self.count], strict=True):
            try:
                image = _as_frame(read_image(file))
            except RefineFuseError as error:
                yield CorruptFrame(f"'{file}'", str(error))
                continue
            moment = number / self.rate
            yield Frame(image, moment, float(moment), (following - number) / self.rate, f"'{file}'")

    def sample(self) -> list[np.ndarray[Any, Any]]:
        """Luma planes of images sampled from the folder."""
        chosen = sorted({len(self._files) * number // _SAMPLES for number in range(_SAMPLES)})
        planes = []
        for number in chosen:
            with suppress(RefineFuseError):
                planes.append(luma_plane(with_luma(_as_frame(read_image(self._files[number])))).copy())
        return planes

    def close(self) -> None:
        """Do nothing: no file is open."""


def frame_numbers(names: Sequence[str]) -> list[int]:
    """Frame index of each file, from 0, from the last number in its name if these numbers count frames.

    They do if they increase, at least half of them by the same step and all by multiples of it. Otherwise no frame is
    assumed to be missing.
    """
    plain = list(range(len(names)))
    found = [re.search(r"(\d+)\D*$", name) for name in names]
    if len(names) < 2 or not all(found) or any(map(_TIME_OF_DAY.search, names)):
        return plain
    values = [int(match[1]) for match in found if match]
    steps = Counter(following - value for value, following in pairwise(values))
    step = min(steps)
    if step <= 0 or 2 * steps[step] < len(names) - 1 or any(one % step for one in steps):
        return plain
    return [(value - values[0]) // step for value in values]


def _as_frame(pixels: np.ndarray[Any, Any]) -> VideoFrame:
    """Convert an image to a video frame; alpha is dropped, float becomes 16 bit."""
    if pixels.dtype == np.float32:
        pixels = (pixels * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    frame: VideoFrame = import_av().VideoFrame.from_ndarray(
        np.ascontiguousarray(pixels), format=_FORMATS[pixels.dtype.name, pixels.ndim]
    )
    return frame
