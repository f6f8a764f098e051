"""A batch from S3 to S3, by a server on this machine that throttles and fails a part of the requests.

Usage: python benchmarks/storage.py IR VI [--pairs 1000] [--side 64] [--throttled 0.1] [--failing 0.1]

Needs moto[server] and s3fs. Pairs are cut from those of the folders IR and VI. Prints what became of them: every result
once, with the bytes that `refinefuse fuse` gives.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import fsspec
from cluster import WEIGHTS, cut_pairs

from refinefuse.batch.cluster import ClusterOptions
from refinefuse.batch.items import find_items
from refinefuse.batch.run import run_batch
from refinefuse.batch.work import BatchOptions
from refinefuse.inference.folders import fuse_folder
from refinefuse.inference.fuser import Fuser

PORT = 5599
ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"


class Unreliable:
    """A WSGI application that answers some requests as an overloaded server does.

    Args:
        app: what answers the others.
        throttled: fraction of requests that are answered by "slow down".
        failing: fraction of requests that fail.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], throttled: float, failing: float) -> None:
        self.app = app
        self.throttled, self.failing = throttled, failing
        self.counts = {"answered": 0, "throttled": 0, "failed": 0}
        self._random, self._lock = random.Random(0), Lock()  # noqa: S311  # no secret

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or do not."""
        with self._lock:
            draw = self._random.random()
            what = "throttled" if draw < self.throttled else "failed"
            what = what if draw < self.throttled + self.failing else "answered"
            self.counts[what] += 1
        if what == "answered":
            return self.app(environ, start_response)
        status, code = {"throttled": ("503 Slow Down", "SlowDown"), "failed": ("500 Error", "InternalError")}[what]
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", "application/xml")])
        return [ERROR.format(code=code).encode()]


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ir", type=Path)
    parser.add_argument("vi", type=Path)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--throttled", type=float, default=0.1)
    parser.add_argument("--failing", type=float, default=0.1)
    options = parser.parse_args()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
    }  # fmt: skip
    from moto.server import DomainDispatcherApplication, create_backend_app  # not among the project's dependencies
    from werkzeug.serving import make_server

    app = Unreliable(DomainDispatcherApplication(create_backend_app), 0.0, 0.0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", PORT, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cut_pairs(options.ir, options.vi, folder, options.pairs, options.side)
        store = fsspec.filesystem("s3")
        store.mkdir("fleet")
        for side in ("ir", "vi"):
            store.put(str(folder / side), f"fleet/{side}", recursive=True)
        app.throttled, app.failing = options.throttled, options.failing
        app.counts = dict.fromkeys(app.counts, 0)
        start = time.perf_counter()
        summary = run_batch(find_items(["s3://fleet"]), "s3://fleet/out", BatchOptions(WEIGHTS), ClusterOptions())
        found: dict[str, Any] = {"seconds": time.perf_counter() - start, "requests": dict(app.counts)}
        app.throttled = app.failing = 0.0
        fuse_folder(folder / "ir", folder / "vi", folder / "alone", fuser=Fuser(WEIGHTS))
        store.invalidate_cache()
        made = {Path(path).name: data for path, data in store.cat("fleet/out/*.png").items()}
        found |= {
            "objects": len(store.find("fleet")),
            "fused": len(summary.fused),
            "failed": len(summary.failed),
            "results": len(made),
            "of the bytes of a folder run": sum(
                made.get(path.name) == path.read_bytes() for path in (folder / "alone").glob("*.png")
            ),
        }
    server.shutdown()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
