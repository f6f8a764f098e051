"""Live fusion end to end: two MJPEG cameras on loopback, whose frames show the time, read back from the fused stream.

Usage: python benchmarks/live.py [--seconds 20] [--rates 25 9] [--cores 2] [--kill]

Jitter is the mean change of the latency from one frame to the next. The load is that of the whole machine, cameras and
reader included.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))
from streams import FakeCamera, age, read_clock

SIZE = (480, 640)
SETTLED = 1  # seconds after which the frames count: what FFmpeg gathered while it looked at the stream is old
REPORT = 60  # seconds between two lines of a long run


def memory(process: int) -> float:
    """Resident MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def start(cameras: tuple[FakeCamera, FakeCamera], cores: int, port: int) -> subprocess.Popen[bytes]:
    """The command, on the first cores."""
    words = ["live", *(camera.address for camera in cameras), "--listen", str(port), "--backend", "onnxruntime"]
    command = [sys.executable, "-m", "refinefuse", *words, "--threads", str(cores)]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])  # what is started now inherits it
    process = subprocess.Popen(command)  # ourselves
    os.sched_setaffinity(0, allowed)
    return process


def status(port: int) -> dict[str, Any]:
    """What /status.json says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json") as answer:
        return json.loads(answer.read())


class Watch:
    """What a reader of the fused stream sees, and cuts a camera off if it is to."""

    def __init__(self, process: int, camera: FakeCamera, port: int, cut_after: float | None) -> None:
        self.ages: list[float] = []
        self.sizes: list[float] = []
        self._process, self._camera, self._port = process, camera, port
        self._first = self._reported = time.monotonic()
        self._cut_after, self._cut, self._back = cut_after, 0.0, 0.0

    def see(self, luma: np.ndarray) -> float:
        """Take one fused frame; seconds since the first one."""
        now = time.monotonic()
        if now > self._first + SETTLED:
            self.ages.append(age(read_clock(luma)))
            self.sizes.append(memory(self._process))
        if now > self._reported + REPORT:
            self._reported = now
            recent = np.percentile(self.ages[-1000:], [50, 99])
            print(
                f"{now - self._first:5.0f} s: {recent[0]:.0f} ms, {recent[1]:.0f} ms, {self.sizes[-1]:.1f} MiB, "
                f"load {os.getloadavg()[0]:.1f}", flush=True
            )  # fmt: skip
        if self._cut_after is not None:
            self._interrupt(now)
        return now - self._first

    def _interrupt(self, now: float) -> None:
        if not self._cut and now > self._first + (self._cut_after or 0):
            self._camera.stop()
            self._cut = now
        elif self._cut and not self._back and now > self._cut + 1:
            self._camera.start()
            self._back = now
        elif self._back > 0 and status(self._port)["cameras"][1]["state"] == "live":
            print(f"camera B was back {now - self._back:.1f} s after it could be")
            self._back = -1.0


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rates", nargs=2, type=float, default=(25, 9))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--port", type=int, default=8199)
    parser.add_argument("--kill", action="store_true", help="cut camera B half-way, for a second")
    options = parser.parse_args()
    cameras = FakeCamera(options.rates[0], SIZE), FakeCamera(options.rates[1], SIZE, 1)
    began = time.monotonic()
    process = start(cameras, options.cores, options.port)
    client = None
    while client is None:
        try:
            client = av.open(f"http://127.0.0.1:{options.port}/stream.mjpg", timeout=10)
        except av.error.FFmpegError:
            time.sleep(0.2)
    first = time.monotonic()
    watch = Watch(process.pid, cameras[1], options.port, options.seconds / 2 if options.kill else None)
    for frame in client.decode(video=0):
        if watch.see(frame.to_ndarray(format="gray")) > options.seconds:
            break
    print(json.dumps(status(options.port)))
    process.send_signal(signal.SIGTERM)  # a job in the background ignores SIGINT
    process.wait(30)
    median, late = np.percentile(watch.ages, [50, 99])
    jitter = np.abs(np.diff(watch.ages)).mean()
    rate = len(watch.ages) / (options.seconds - SETTLED)
    parts = [float(np.median(part)) for part in np.array_split(watch.sizes, 10)]
    print(
        f"{options.rates[0]:g}/{options.rates[1]:g} Hz, {options.cores} cores: {rate:.1f} fps, latency {median:.0f} "
        f"ms (median), {late:.0f} ms (99 %), jitter {jitter:.1f} ms, first frame after {first - began:.1f} s, "
        f"memory by tenths of the run {' '.join(f'{part:.1f}' for part in parts)} MiB, load {os.getloadavg()[0]:.1f}"
    )
    os._exit(0)  # readers that FFmpeg holds would keep the process


if __name__ == "__main__":
    main()
