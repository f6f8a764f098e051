"""A batch on a Ray cluster of three nodes on this machine: one is killed, the head is killed and started again.

Usage: python benchmarks/cluster.py IR VI [--pairs 2000] [--side 160] [--scale]

Pairs are cut from those of the folders IR and VI. Prints what became of them: every result once, with the bytes that
`refinefuse fuse` gives, the time of a pair against that of a folder run, and with --scale one worker against two.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from refinefuse.batch.cluster import ClusterOptions
from refinefuse.batch.items import find_items
from refinefuse.batch.run import run_batch
from refinefuse.batch.work import BatchOptions
from refinefuse.data.pairs import pair_folders
from refinefuse.image.files import read_image, write_image
from refinefuse.inference.folders import fuse_folder
from refinefuse.inference.fuser import Fuser

WEIGHTS = "infrared-visible-nano"
PORT = 6399
RAY = Path(sys.executable).with_name("ray")


def start_node(name: str) -> subprocess.Popen[bytes]:
    """One node with one processor; the one called head leads."""
    leads = ["--head", f"--port={PORT}", "--include-dashboard=false", "--disable-usage-stats"]
    role = leads if name == "head" else [f"--address=127.0.0.1:{PORT}"]
    options = ["--num-cpus=1", "--object-store-memory=100000000", f"--node-name={name}", "--block"]
    node = subprocess.Popen([RAY, "start", *role, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(15)
    return node


def kill_node(node: subprocess.Popen[bytes]) -> int:
    """Kill the processes of a node all at once, as a machine that loses its power does."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    found = [node.pid]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    for pid in found:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    node.wait()
    return len(found)


def cut_pairs(ir: Path, vi: Path, folder: Path, count: int, side: int) -> None:
    """So many pairs of small images."""
    pairs = [(read_image(pair.a), read_image(pair.b)) for pair in pair_folders(ir, vi).pairs]
    for number in range(count):
        a, b = pairs[number % len(pairs)]
        top, left = 7 * (number // len(pairs)) % (a.shape[0] - side), 11 * number % (a.shape[1] - side)
        for sub, image in (("ir", a), ("vi", b)):
            write_image(folder / sub / f"{number:05}.png", image[top : top + side, left : left + side].copy())


def count_done(folder: Path) -> int:
    """Results that are there."""
    return sum(1 for _ in folder.glob("*.png"))


def run_until(folder: Path, out: Path, count: int) -> subprocess.Popen[bytes]:
    """Start the command, and return when so many results are there or it has ended."""
    words = ["batch", str(folder), "-o", str(out), "--address", f"127.0.0.1:{PORT}", "--weights", WEIGHTS]
    process = subprocess.Popen([sys.executable, "-m", "refinefuse", "--quiet", *words])
    while count_done(out) < count and process.poll() is None:
        time.sleep(0.2)
    return process


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ir", type=Path)
    parser.add_argument("vi", type=Path)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--scale", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    cut_pairs(options.ir, options.vi, folder, options.pairs, options.side)
    out, found = folder / "out", {}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    nodes = {name: start_node(name) for name in ("head", "second", "third")}
    try:
        start = time.perf_counter()
        process = run_until(folder, out, options.pairs // 4)
        found["processes of the node that was killed"] = kill_node(nodes.pop("second"))
        while count_done(out) < options.pairs // 2 and process.poll() is None:
            time.sleep(0.2)
        found["done when the head was killed"] = count_done(out)
        kill_node(nodes.pop("head"))
        try:
            found["exit code then"] = process.wait(90)
        except subprocess.TimeoutExpired:
            process.terminate()
            found["exit code then"] = f"waits for the head; {process.wait()} when it is terminated"
        kill_node(nodes.pop("third"))
        nodes = {name: start_node(name) for name in ("head", "second", "third")}
        found["exit code of the same command again"] = run_until(folder, out, options.pairs + 1).wait()
        found["seconds"] = time.perf_counter() - start
    finally:
        for node in nodes.values():
            kill_node(node)
    start = time.perf_counter()
    fuse_folder(folder / "ir", folder / "vi", folder / "alone", fuser=Fuser(WEIGHTS))
    found["seconds a pair, folder run"] = (time.perf_counter() - start) / options.pairs
    expected = {path.name: path.read_bytes() for path in (folder / "alone").glob("*.png")}
    made = {path.name: path.read_bytes() for path in out.glob("*.png")}
    found["results"] = len(made)
    found["left over"] = sorted(path.name for path in out.iterdir() if path.suffix not in (".png", ".parquet"))
    found["of the bytes of a folder run"] = sum(made.get(name) == data for name, data in expected.items())
    if options.scale:
        items = find_items([str(folder)])
        for workers in (1, 2):
            start = time.perf_counter()
            cluster = ClusterOptions(max_workers=workers)
            run_batch(items[:400], str(folder / f"scale{workers}"), BatchOptions(WEIGHTS), cluster)
            found[f"seconds of 400 pairs, {workers} workers"] = time.perf_counter() - start
    print(json.dumps(found, indent=1))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
