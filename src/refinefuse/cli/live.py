"""`refinefuse live`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refinefuse.cli.arguments import NetworkArguments, ThermalArguments
from refinefuse.cli.session import to_stderr

if TYPE_CHECKING:
    from refinefuse.live.outputs import Output
    from refinefuse.live.run import LiveResult, LiveView

EXAMPLES = """\
  refinefuse live /dev/video2 rtsp://camera/stream --rig rig.json --listen 8080
  refinefuse live http://127.0.0.1:81/ir.mjpg 0 --listen 8080 --record fused.mp4
  refinefuse live ir.mp4 vi.mp4 --pipe yuv420p | ffplay -f rawvideo -video_size 640x480 -
"""


@dataclass
class OutputArguments:
    """Outputs (at least one).

    Attributes:
        window: Show the fused video in a window.
        listen: Serve it over HTTP as MJPEG: PORT for this machine only, HOST:PORT for others, too.
        record: Record it to this file: .mp4, .mov or .mkv.
        push: Send it as H.264 to rtsp://, rtp://, udp:// or tcp://.
        pipe: Write raw frames in this pixel format to standard output.
        overwrite: Replace an existing file.
    """

    window: bool = False
    listen: str | None = None
    record: Path | None = None
    push: str | None = None
    pipe: Literal["yuv420p", "rgb24", "bgr24", "gray"] | None = None
    overwrite: bool = False


@dataclass
class LiveArguments:
    """Live view.

    Attributes:
        rig: Apply a rig to A, from `refinefuse rig calibrate`.
        distance: Distance of the scene in meters, for a rig calibrated at two distances.
        transform: Apply a transform to A, from `refinefuse align --save-transform`.
        offset: Milliseconds by which camera A lags behind camera B; without it, measured from motion.
        color: Source of the color.
        overlay: Write frame rate and latency into the image.
        timeout: Seconds to wait for the first frames.
        duration: Seconds to run; without it, until a file ends or Ctrl-C.
    """

    rig: Path | None = None
    distance: float | None = None
    transform: Path | None = None
    offset: float | None = None
    color: Literal["b", "gray"] = "b"
    overlay: bool = False
    timeout: float = 10.0
    duration: float | None = None


def run(
    a: str,
    b: str,
    *,
    outputs: OutputArguments,
    live: LiveArguments,
    thermal: ThermalArguments,
    network: NetworkArguments,
) -> int:
    """Fuse two running cameras.

    Each frame of the faster camera is fused with the nearest one of the other. Frames that arrive too fast are dropped,
    so that the latency stays low. A lost camera is reopened. Needs the extra `video`.

    Args:
        a: Infrared camera: device number or path, stream (rtsp://, http://), or video file, played at its own rate.
        b: Visible camera, likewise.
        outputs: Where fused frames go.
        live: How cameras are read.
        thermal: How A is read.
        network: What fuses.
    """
    from refinefuse.cli.session import prepare

    prepare()
    from refinefuse.cli.arguments import load_given
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.live.run import LiveOptions, LiveView

    options = LiveOptions(
        thermal=thermal.options(),
        alignment=AlignmentOptions(transform=load_given(live.transform, live.rig, live.distance)),
        offset=None if live.offset is None else live.offset / 1000,
        overlay=live.overlay,
        timeout=live.timeout,
        duration=live.duration,
    )
    _check(outputs)
    view = LiveView(network.load("infrared-visible-small", live.color), a, b, options)
    return _report(view.run(_open(outputs, view)))


def _check(outputs: OutputArguments) -> None:
    from refinefuse.errors import InputError

    if not (outputs.window or outputs.listen or outputs.record or outputs.push or outputs.pipe):
        raise InputError(
            "No output was chosen.\nUse --window, --listen PORT, --record FILE, --push URL or --pipe FORMAT."
        )


def _open(outputs: OutputArguments, view: LiveView) -> list[Output]:
    """Open the requested outputs; if one fails, close those already opened."""
    import sys

    from refinefuse.live import outputs as kinds
    from refinefuse.live.server import MjpegServer

    opened: list[Output] = []
    try:
        if outputs.window:
            opened.append(kinds.Window())
        if outputs.push:
            opened.append(kinds.Push(outputs.push))
        if outputs.pipe:
            opened.append(kinds.Pipe(outputs.pipe))
        if outputs.listen:
            opened.append(server := MjpegServer(outputs.listen, view.state))
            print(f"Serving {server.name}", file=sys.stderr, flush=True)
        if outputs.record:
            opened.append(kinds.Recording(outputs.record, overwrite=outputs.overwrite))
    except BaseException:
        for output in opened:
            output.close()
        raise
    return opened


def _report(result: LiveResult) -> int:
    import sys

    of_a, of_b = result.num_disconnects
    print(
        f"{result.frames} frames in {result.seconds:.1f} s, {result.rate:.1f} per second; latency "
        f"{1000 * result.latency(50):.0f} ms (median), {1000 * result.latency(99):.0f} ms (99th percentile); "
        f"{result.dropped} dropped; connection to A lost {of_a} times, to B {of_b} times.",
        file=sys.stderr,
    )
    for failure in result.failures:
        to_stderr(f"warning: output stopped: {failure}.")
    if result.interrupted is not None:
        raise result.interrupted
    return 1 if result.failures else 0
