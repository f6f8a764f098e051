"""Live fusion end to end: two MJPEG cameras on loopback, whose frames show the time, read back from the fused stream.

Usage: python benchmarks/live.py [--seconds 20] [--rates 25 9] [--cores 2] [--kill]
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
PORT = 8199


def memory(process: int) -> float:
    """Resident MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def start(cameras: tuple[FakeCamera, FakeCamera], cores: int) -> subprocess.Popen[bytes]:
    """The command, on the first cores."""
    words = ["live", *(camera.address for camera in cameras), "--listen", str(PORT), "--backend", "onnxruntime"]
    command = [sys.executable, "-m", "refinefuse", *words, "--threads", str(cores)]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])  # what is started now inherits it
    process = subprocess.Popen(command)  # noqa: S603  # ourselves
    os.sched_setaffinity(0, allowed)
    return process


def status() -> dict[str, Any]:
    """What /status.json says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/status.json") as answer:
        return json.loads(answer.read())


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rates", nargs=2, type=float, default=(25, 9))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="cut camera B half-way, for a second")
    options = parser.parse_args()
    cameras = FakeCamera(options.rates[0], SIZE), FakeCamera(options.rates[1], SIZE, 1)
    began = time.monotonic()
    process = start(cameras, options.cores)
    client = None
    while client is None:
        try:
            client = av.open(f"http://127.0.0.1:{PORT}/stream.mjpg", timeout=10)
        except av.error.FFmpegError:
            time.sleep(0.2)
    ages, sizes, first, cut, back = [], [], time.monotonic(), 0.0, 0.0
    for frame in client.decode(video=0):
        now = time.monotonic()
        if now > first + 1:  # what FFmpeg gathered while it looked at the stream is old
            ages.append(age(read_clock(frame.to_ndarray(format="gray"))))
            sizes.append(memory(process.pid))
        if options.kill and not cut and now > first + options.seconds / 2:
            cameras[1].stop()
            cut = time.monotonic()
        elif cut and not back and now > cut + 1:
            cameras[1].start()
            back = time.monotonic()
        elif back and back > 0 and status()["cameras"][1]["state"] == "live":
            print(f"camera B was back {now - back:.1f} s after it could be")
            back = -1.0
        if now > first + options.seconds:
            break
    print(json.dumps(status()))
    process.send_signal(signal.SIGINT)
    process.wait(30)
    median, late = np.percentile(ages, [50, 99])
    rate = len(ages) / (options.seconds - 1)
    print(
        f"{options.rates[0]:g}/{options.rates[1]:g} Hz, {options.cores} cores: {rate:.1f} fps, latency {median:.0f} "
        f"ms (median), {late:.0f} ms (99 %), first frame after {first - began:.1f} s, "
        f"memory {sizes[0]:.0f} to {sizes[-1]:.0f} MiB"
    )
    os._exit(0)  # readers that FFmpeg holds would keep the process


if __name__ == "__main__":
    main()
