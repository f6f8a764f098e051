"""Serve fused frames over HTTP: a page, an MJPEG stream, single frames, and the state as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

from refinefuse.errors import InputError
from refinefuse.live.fused_frame import FusedFrame, JpegEncoder
from refinefuse.live.outputs import Output

_BOUNDARY = "refinefuse"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_WAIT = 5.0  # seconds to wait for a frame, or for a client that does not read
_PAGE = b"""<!doctype html><meta charset="utf-8"><title>RefineFuse live</title>
<style>body{margin:0;background:#111}img{display:block;margin:auto;max-width:100%;height:100vh;object-fit:contain}</style>
<img src="/stream.mjpg" alt="fused video">"""


class MjpegServer(Output):
    """Serve the latest frame to any number of clients; slow clients miss frames.

    Args:
        address: PORT or HOST:PORT; without a host only this machine can connect.
        state: returns the content of /status.json.

    Raises:
        InputError: the address is invalid or in use.
    """

    def __init__(self, address: str, state: Callable[[], dict[str, Any]]) -> None:
        super().__init__(f"http://{address}")
        host, _, port = address.rpartition(":")
        host = host or _LOCAL[0]
        try:
            self._server = _Server((host, int(port)), _Handler)
        except (OSError, ValueError, OverflowError) as error:
            raise InputError(
                f"Cannot listen on '{address}': {getattr(error, 'strerror', None) or error}.\n"
                "Set `listen` to a free port (8080), or to an address of this machine and a port (0.0.0.0:8080)."
            ) from None
        self._server.hosts = {*_LOCAL, host} if host in _LOCAL else set()
        self._server.state = state
        self.port = int(self._server.server_address[1])
        self.name = f"http://{host}:{self.port}/"
        self._encoder = JpegEncoder()
        self._serving = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def start(self) -> None:
        """Start serving."""
        super().start()
        self._serving.start()

    def write(self, frame: FusedFrame) -> None:
        """Encode one frame for all connected clients."""
        if self._server.clients:
            jpeg = self._encoder.encode(frame.image)
            with self._server.news:
                self._server.latest = jpeg
                self._server.number += 1
                self._server.news.notify_all()

    def finish(self) -> None:
        """Disconnect all clients."""
        with self._server.news:
            self._server.closed = True
            self._server.news.notify_all()
        if self._serving.ident is not None:
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """HTTP server that holds the latest frame and notifies waiting clients."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.news = Condition()
        self.latest = b""
        self.number = 0
        self.clients = 0
        self.closed = False
        self.hosts: set[str] = set()
        self.state: Callable[[], dict[str, Any]] = dict

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""

    def next_frame(self, after: int) -> tuple[int, bytes] | None:
        """Wait for a frame newer than `after`; return its number and bytes, or None at the end or on a timeout."""
        with self.news:
            if not self.news.wait_for(lambda: self.closed or self.number > after, _WAIT) or self.closed:
                return None
            return self.number, self.latest


class _Handler(BaseHTTPRequestHandler):
    """Handle the requests of one client."""

    server: _Server
    timeout = _WAIT

    def do_GET(self) -> None:  # name required by http.server
        """Serve the page, the stream, a frame or the state."""
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0].strip("[]")
        if self.server.hosts and host not in self.server.hosts:  # DNS rebinding by another site
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer("text/html", _PAGE)
        elif path == "/status.json":
            self._answer("application/json", json.dumps(self.server.state()).encode())
        elif path in ("/stream.mjpg", "/frame.jpg"):
            self._frames(single=path == "/frame.jpg")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, *arguments: Any) -> None:
        """Suppress request logging."""

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _frames(self, *, single: bool) -> None:
        with self.server.news:
            self.server.clients += 1
            number = self.server.number
        try:
            if single:
                found = self.server.next_frame(number)
                if found is None:
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "no frame")
                else:
                    self._answer("image/jpeg", found[1])
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            while not self.server.closed:
                found = self.server.next_frame(number)
                if found is not None:
                    number, jpeg = found
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
                    self.wfile.write(f"{head}X-Timestamp: {time.time():.6f}\r\n\r\n".encode() + jpeg + b"\r\n")
        finally:
            with self.server.news:
                self.server.clients -= 1
