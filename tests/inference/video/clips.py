"""Small videos, made on the spot."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="the extra `video` is not installed")


def scene(index, height=48, width=64, seed=0):
    """A still background with a bright square that moves by two pixels per frame; (h, w) uint8."""
    image = np.random.default_rng(seed).integers(40, 120, (height // 4, width // 4), np.uint8).repeat(4, 0).repeat(4, 1)
    left = (2 * index) % (width - 10)
    image[10:20, left : left + 10] = 230
    return image


def write_video(
    path: Path,
    frames,
    *,
    codec="ffv1",
    pixel_format="gray",
    rate=10,
    stamps=None,
    sound=False,
    options=None,
    container=None,
) -> Path:
    """A video of arrays: (h, w) for gray formats, (h, w, 3) RGB for others."""
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        track = file.add_stream("aac", rate=8000) if sound else None
        for index, pixels in enumerate(frames):
            form = pixel_format if pixels.ndim == 2 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=form)
            frame.pts = index * 1000 // rate if stamps is None else stamps[index]
            frame.time_base = Fraction(1, 1000)
            file.mux(stream.encode(frame.reformat(format=pixel_format)))
        file.mux(stream.encode(None))
        if track is not None:
            tone = np.sin(np.arange(8000 * len(frames) // rate) / 5).astype(np.float32)[None]
            for start in range(0, tone.shape[1] - 1023, 1024):
                piece = av.AudioFrame.from_ndarray(tone[:, start : start + 1024], format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = 8000, start, Fraction(1, 8000)
                file.mux(track.encode(piece))
            file.mux(track.encode(None))
    return path


def read_video(path):
    """All frames."""
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def plane(frame, index=0):
    """One plane of a frame as an array."""
    data = frame.planes[index]
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    rows = np.frombuffer(data, dtype).reshape(-1, data.line_size // np.dtype(dtype).itemsize)
    return rows[: data.height, : data.width].copy()
