"""Serve the studio until it is stopped, then clean up."""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from refinefuse.errors import InputError, optional
from refinefuse.weights.store import locate


def serve(
    host: str,
    port: int,
    announce: Callable[[str], None],
    *,
    weights: Sequence[Path],
    upload: int,
    hours: float,
    threads: int,
) -> None:
    """Serve the studio on this machine.

    Args:
        host: host to bind to; a host other than loopback requires a token.
        port: TCP port; 0 picks a free one.
        announce: called with the address to open.
        weights: additional weights files that users can choose.
        upload: maximum file size in MiB.
        hours: hours without access after which a job is deleted.
        threads: number of CPU threads for each of the two workers; 0 means all available to this process.

    Raises:
        InputError: the address cannot be used.
        MissingDependencyError: a package of the extra `web` is not installed.
        WeightsError: a weights file is missing.
    """
    with optional("web", "The studio"):
        import uvicorn

        from refinefuse.studio.app import create_app
    from refinefuse.studio.guard import is_loopback
    from refinefuse.studio.jobs import JobStore, Limits
    from refinefuse.studio.runner import Runner

    named = {path.stem: str(locate(path)) for path in weights}
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    with _bound(host, port) as listener, tempfile.TemporaryDirectory(prefix="refinefuse-studio-") as folder:
        store = JobStore(Path(folder), Limits(upload=upload, storage=8 * upload, hours=hours))
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
        announce(f"{address}?token={token}" if token else address)
        app = create_app(Runner(store, named, threads), token)
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (")[0].rstrip(".")
        raise InputError(f"Cannot serve on {host}, port {port}: {reason}.\nChoose another `port` or `host`.") from None
