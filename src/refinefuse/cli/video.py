"""`refinefuse video`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from refinefuse.cli.arguments import NetworkArguments, ThermalArguments

EXAMPLES = """\
  refinefuse video ir.mp4 vi.mp4 -o fused.mp4
  refinefuse video /dev/video2 rtsp://camera/stream -o fused.mkv --rig rig.json
  refinefuse video ir/ vi/ -o fused.mp4 --fps 10
"""


@dataclass
class ResultArguments:
    """Result.

    Attributes:
        output: Fused video: .mp4, .mov, .mkv or .avi.
        codec: Codec; auto is h264, but ffv1 (lossless) for .avi.
        color: Source of the color.
        overwrite: Replace an existing file.
        no_provenance: Do not record how the video was made (see `refinefuse info`).
    """

    output: Path
    codec: Literal["auto", "h264", "hevc", "ffv1"] = "auto"
    color: Literal["b", "gray"] = "b"
    overwrite: bool = False
    no_provenance: bool = False


@dataclass
class SourceArguments:
    """Sources.

    Attributes:
        fps: Frame rate of folders; without it, that of the other video, or 25.
        frame_stride: Fuse only every Nth frame.
        on_error: Skip a damaged frame, or stop there.
        transform: Apply a transform to A, from `refinefuse align --save-transform`.
        rig: Apply a rig to A, from `refinefuse rig calibrate`.
        distance: Distance of the scene in meters, for a rig calibrated at two distances.
        strict: Refuse a video whose first frames cause warnings.
    """

    fps: float | None = None
    frame_stride: int = 1
    on_error: Literal["skip", "stop"] = "skip"
    transform: Path | None = None
    rig: Path | None = None
    distance: float | None = None
    strict: bool = False


def run(
    a: str,
    b: str,
    *,
    results: ResultArguments,
    sources: SourceArguments,
    thermal: ThermalArguments,
    network: NetworkArguments,
) -> int:
    """Fuse two videos, cameras, streams or folders of frames.

    Frame rate, timestamps, color and audio are those of B; each of its frames is fused with the frame of A that is
    nearest in time. After an interruption, the result can be played up to that point. Needs the extra `video`.

    Args:
        a: Infrared video, camera (/dev/video0), stream (rtsp://...) or folder of images.
        b: Visible video, camera, stream or folder of images.
        results: Where results go.
        sources: How sources are read.
        thermal: How A is read.
        network: What fuses.
    """
    from refinefuse.cli.session import prepare, session

    prepare()
    from refinefuse.cli.arguments import load_given
    from refinefuse.cli.reporting import Loader, check_kind, report_video
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.inference.video.fuse import fuse_videos
    from refinefuse.inference.video.options import VideoOptions
    from refinefuse.weights.store import DEFAULT

    check_kind("video", (a, b), str(results.output))
    options = VideoOptions(
        codec=results.codec,
        fps=sources.fps,
        frame_stride=sources.frame_stride,
        on_error=sources.on_error,
        thermal=thermal.options(),
        alignment=AlignmentOptions(
            transform=load_given(sources.transform, sources.rig, sources.distance), strict=sources.strict
        ),
    )
    loader = Loader(lambda: network.load(DEFAULT, results.color))
    outcome = fuse_videos(
        loader,
        a,
        b,
        results.output,
        options,
        overwrite=results.overwrite,
        progress=not session.quiet,
        provenance=not results.no_provenance,
    )
    return report_video(outcome, loader)
