"""How `refinefuse studio` holds out when many people use it at once.

Usage: python benchmarks/studio.py [--users 20] [--seconds 60]

Each user uploads a rendered pair of 320 x 240, fuses it, looks at the result, downloads it and deletes the job, again
and again. Printed are the fusions, the errors, the waiting times, and the memory of the server with its engines.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import numpy as np

from refinefuse.samples import write_samples


class User:
    """One browser: its cookie, and what it has seen."""

    def __init__(self, address: str, pair: tuple[bytes, bytes]) -> None:
        self.address, self.pair = address, pair
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self.waits: list[float] = []
        self.errors: list[str] = []

    def ask(self, method: str, path: str, content: bytes | None = None, **query: str) -> bytes:
        """The answer of the studio."""
        kind = "application/json" if content in (None, b"{}") else "application/octet-stream"
        address = f"{self.address}{path}?{urlencode(query)}"
        request = Request(address, content, {"Content-Type": kind}, method=method)  # noqa: S310 - to the studio
        with self.opener.open(request, timeout=120) as answer:
            return bytes(answer.read())

    def fuse(self) -> None:
        """One pair, from the upload to the deleted job."""
        job = json.loads(self.ask("POST", "api/jobs", kind="images"))["id"]
        for slot, content in zip("ab", self.pair, strict=True):
            self.ask("PUT", f"api/jobs/{job}/files/{slot}", content, name=f"{slot}.png")
        start = time.perf_counter()
        self.ask("POST", f"api/jobs/{job}/start", b"{}")
        while (found := json.loads(self.ask("GET", f"api/jobs/{job}")))["state"] in ("waiting", "running"):
            time.sleep(0.5)
        self.waits.append(time.perf_counter() - start)
        if found["state"] != "done":
            raise RuntimeError(found["message"])
        for path in ("views/fused", "views/weight", "files/0"):
            self.ask("GET", f"api/jobs/{job}/{path}")
        self.ask("DELETE", f"api/jobs/{job}")

    def work(self, end: float) -> None:
        """Fuse until the time is over."""
        while time.perf_counter() < end:
            try:
                self.fuse()
            except (URLError, OSError, RuntimeError, KeyError) as error:
                self.errors.append(str(error))


@contextmanager
def studio() -> Iterator[tuple[int, str]]:
    """A studio of its own: its process and its address."""
    command = [sys.executable, "-m", "refinefuse", "studio", "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = next(filter(None, (re.search(r"http:\S+", line) for line in process.stdout or ())))
            yield process.pid, found[0]
        finally:
            process.terminate()


def memory(process: int) -> float:
    """MB that a process and its descendants hold."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    family, size = {process}, 0
    while len(family) > size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family) * 4096 / 1e6


def main() -> None:
    """Let the users work, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    wanted: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, studio() as (process, address):
        write_samples(Path(folder) / "samples")
        pair = tuple((Path(folder) / "samples" / kind / "smoke.png").read_bytes() for kind in ("ir", "vi"))
        users = [User(address, pair) for _ in range(wanted.users)]
        users[0].fuse()  # the engine is loaded
        held, start = [memory(process)], time.perf_counter()
        with ThreadPoolExecutor(wanted.users) as pool:
            working = [pool.submit(user.work, start + wanted.seconds) for user in users]
            while not all(done.done() for done in working):
                time.sleep(2)
                held.append(memory(process))
        seconds = time.perf_counter() - start
    waits, errors = ([one for user in users for one in getattr(user, name)] for name in ("waits", "errors"))
    each = [len(user.waits) for user in users]
    print(f"{wanted.users} users, {seconds:.0f} s: {len(waits)} fusions, {min(each)} to {max(each)} for each user")
    print(f"waiting for a result: median {np.median(waits):.1f} s, longest {max(waits):.1f} s")
    quarters = [np.mean(part) for part in np.array_split(held, 4)]
    print(f"memory in MB: {held[0]:.0f} before; by quarters {' '.join(f'{one:.0f}' for one in quarters)}")
    print(f"errors: {len(errors)}", *errors[:5], sep="\n  ")


if __name__ == "__main__":
    main()
