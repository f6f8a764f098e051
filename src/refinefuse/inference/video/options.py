"""Options for videos, and the result of fusing one."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from refinefuse.errors import InputError
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.inspection import PairWarning
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.threads import StageTimer
from refinefuse.inference.video.frames import exact_rate

Codec = Literal["auto", "h264", "hevc", "ffv1"]
OnError = Literal["skip", "stop"]
_LARGEST_STRIDE = 1_000_000_000


@dataclass(frozen=True)
class VideoOptions:
    """Options for videos.

    Attributes:
        codec: codec of the result; `auto` is h264, or ffv1 (lossless) for .avi.
        fps: frame rate of folders; None means that of the other video, or 25.
        frame_stride: fuse only every Nth frame of `b`.
        on_error: whether to skip a damaged frame or to stop there.
        thermal: range and polarity of `a`. Without a range, gray sources of more than 8 bits are scaled by their lowest
            and highest counts, fixed for the sequence.
        alignment: a transform that maps each pixel of `b` to its position in `a`.

    Raises:
        InputError: if a value is out of range.
    """

    codec: Codec = "auto"
    fps: float | None = None
    frame_stride: int = 1
    on_error: OnError = "skip"
    thermal: ThermalOptions = field(default_factory=ThermalOptions)
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)

    def __post_init__(self) -> None:
        if not 1 <= self.frame_stride <= _LARGEST_STRIDE:
            raise InputError(f"`frame_stride` must be from 1 to {_LARGEST_STRIDE}.\n  got: {self.frame_stride}")
        if self.fps is not None:
            exact_rate(self.fps)
        for name, kind in (("codec", Codec), ("on_error", OnError)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"`{name}` must be {', '.join(get_args(kind))}.\n  got: {getattr(self, name)!r}")
        if self.alignment.align:
            raise InputError(
                "Videos cannot be aligned frame by frame, because the result would shake.\nAlign one frame of each "
                "with `refinefuse align`, save the transform, and pass it as `transform`."
            )


@dataclass
class VideoResult:
    """The result of fusing a video.

    Attributes:
        frames: number of frames written.
        path: the file; None if there is none. If an existing file could not be replaced after an interruption, another
            name.
        seconds: duration of the run.
        damaged: frames that could not be decoded, with the reasons.
        note: which part of the longer source was left over, in words.
        cut: whether something of `b` was left over.
        failure: why the run ended early; empty if it did not. The frames written before can be played.
        interrupted: how the user stopped the run.
        warnings: what looks wrong with the pair in some of its frames, and what was lost or repaired.
        stages: working time of each stage.
        written: when each frame was encoded, in seconds from the start.
    """

    frames: int = 0
    path: Path | None = None
    seconds: float = 0.0
    damaged: list[str] = field(default_factory=list)
    note: str = ""
    cut: bool = False
    failure: str = ""
    interrupted: KeyboardInterrupt | None = None
    warnings: list[PairWarning] = field(default_factory=list)
    stages: tuple[StageTimer, ...] = ()
    written: list[float] = field(default_factory=list)

    def lowest_rate(self, window: float) -> float | None:
        """Frames per second in that stretch of `window` seconds, between the first frame and the last, with fewest.

        None if the frames do not fill one such stretch.
        """
        last = self.written[-1] if self.written else 0.0
        starts = [start for start in self.written if start + window <= last]
        counts = [bisect_right(self.written, start + window) - bisect_right(self.written, start) for start in starts]
        return min(counts) / window if counts else None

    def slowest(self) -> StageTimer:
        """The stage with the longest working time: the bottleneck."""
        return max(self.stages, key=lambda stage: stage.busy)
