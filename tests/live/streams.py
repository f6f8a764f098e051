"""Cameras for tests: MJPEG over HTTP on loopback, with the time of each frame written into its pixels."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import cv2
import numpy as np

BITS, SIDE = 24, 16  # of the clock: milliseconds modulo 2 ** 24, a square of the top row for each bit


def clock_image(size, seed=0, color=True):
    """A scene with a bright clock on top; and the milliseconds that it shows."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    milliseconds = int(time.monotonic() * 1000) % 2**BITS
    image = ((x // 20 + y // 20 + seed) % 2 * 90 + 60 + (x + milliseconds // 8) % 40).astype(np.uint8)
    for bit in range(BITS):
        image[:SIDE, bit * SIDE : (bit + 1) * SIDE] = 255 * (milliseconds >> bit & 1)
    return np.dstack([image, image // 2, 255 - image]) if color and seed else image


def read_clock(luma):
    """The milliseconds that a clock shows."""
    bits = [luma[4 : SIDE - 4, bit * SIDE + 4 : (bit + 1) * SIDE - 4].mean() > 128 for bit in range(BITS)]
    return sum(int(bit) << number for number, bit in enumerate(bits))


def age(milliseconds):
    """How long ago a clock showed this, in milliseconds."""
    return (int(time.monotonic() * 1000) - milliseconds) % 2**BITS


class FakeCamera:
    """Serves MJPEG at a rate; `stop` cuts all connections, `start` serves again at the same port."""

    def __init__(self, rate, size=(120, 400), seed=0):
        self.rate, self.size, self.seed, self.port = rate, size, seed, 0
        self.start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    def start(self):
        camera, self._ended = self, Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                ended = camera._ended
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                start, count = time.monotonic(), 0
                while not ended.is_set():
                    jpeg = cv2.imencode(".jpg", clock_image(camera.size, camera.seed))[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    count += 1
                    ended.wait(max(0, start + count / camera.rate - time.monotonic()))

            def log_message(self, *arguments):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, block_on_close, allow_reuse_address = True, False, True

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
