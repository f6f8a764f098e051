"""Small videos, made on the spot, and what they hold."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="the extra `video` is not installed")

RATE = 16000  # of sound


def scene(index, height=48, width=64, seed=0):
    """A still background with a bright square that moves by two pixels per frame; (h, w) uint8."""
    image = np.random.default_rng(seed).integers(40, 120, (height // 4, width // 4), np.uint8).repeat(4, 0).repeat(4, 1)
    left = (2 * index) % (width - 10)
    image[10:20, left : left + 10] = 230
    return image


def beep(seconds, at, loud=0.2):
    """Sound (1, n) that is silent but for a tone of `loud` seconds that begins at `at`."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.where((time >= at) & (time < at + loud), 0.6 * np.cos(2 * np.pi * 440 * time), 0).astype(np.float32)[None]


def write_video(
    path: Path,
    frames,
    *,
    codec="ffv1",
    pixel_format="gray",
    rate=10,
    stamps=None,
    start=0,
    sound=False,
    sounds=(),
    subtitles=(),
    telemetry=None,
    metadata=None,
    chapters=(),
    tags=None,
    aspect=None,
    rotation=0,
    options=None,
    container=None,
) -> Path:
    """A video of arrays: (h, w) for gray formats, (h, w, 3) RGB for others.

    Args:
        stamps: of the packets in ms, in their order; None: even ones.
        start: ms by which the whole video is late.
        sound: a tone from the start.
        sounds: of each track the codec, samples (1, n), the second at which they start, and metadata.
        subtitles: of each track the codec and metadata; "one" and "two" from 0.2 s and 0.6 s on, 0.2 s each.
        telemetry: codec of a track of data: two packets of 0.4 s.
        metadata: of the file.
        chapters: as `av` takes them.
        tags: attributes of the codec context.
    """
    with av.open(str(path), "w", format=container) as file:
        file.metadata.update(metadata or {})
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            sounds = [("aac", 0.6 * np.sin(np.arange(RATE * len(frames) // rate) / 5).astype(np.float32)[None], 0, {})]
        tracks = [_sound_track(file, *one) for one in sounds]
        texts = [_text_track(file, *one) for one in subtitles]
        texts += [_data_track(file, telemetry)] if telemetry else []
        if chapters:
            file.set_chapters(list(chapters))
        packets = _video_packets(stream, frames, pixel_format, rate, stamps, start)
        packets += [packet for track in (*tracks, *texts) for packet in track()]
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            file.mux(packet)
    return path


def _video_packets(stream, frames, pixel_format, rate, stamps, start):
    packets = []
    for index, pixels in enumerate(frames):
        form = pixel_format if pixels.ndim == 2 else "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=form)
        frame.pts, frame.time_base = start + index * 1000 // rate, Fraction(1, 1000)
        packets += stream.encode(frame.reformat(format=pixel_format))
    packets += stream.encode(None)
    for packet, stamp in zip(packets, stamps or [], strict=bool(stamps)):
        packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), stamp, stamp
    return packets


def _sound_track(file, codec, samples, start, metadata):
    track = file.add_stream(codec, rate=48000 if codec == "libopus" else RATE)
    track.layout = "mono"
    track.metadata.update(metadata)

    def packets():
        found = []
        for index in range(0, samples.shape[1], 1024):
            piece = av.AudioFrame.from_ndarray(samples[:, index : index + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.time_base = RATE, Fraction(1, RATE)
            piece.pts = round(start * RATE) + index
            found += track.encode(piece)
        return found + track.encode(None)

    return packets


def _text_track(file, codec, metadata):
    track = file.add_stream(codec)
    track.codec_context.subtitle_header = _STYLES
    track.codec_context.time_base = Fraction(1, 1000)
    track.metadata.update(metadata)

    def packets():
        for index, text in enumerate((b"one", b"two")):
            packet = av.Packet(len(text).to_bytes(2, "big") + text if codec == "mov_text" else text)
            packet.stream, packet.time_base = track, Fraction(1, 1000)
            packet.pts = packet.dts = 200 + 400 * index
            packet.duration = 200
            yield packet

    return packets


TELEMETRY = (b"47.1 N, 8.5 E", b"47.2 N, 8.6 E")


def _data_track(file, codec):
    track = file.add_data_stream(codec)

    def packets():
        for index, data in enumerate(TELEMETRY):
            packet = av.Packet(data)
            packet.stream, packet.time_base = track, Fraction(1, 1000)
            packet.pts = packet.dts = 400 * index
            packet.duration = 400
            yield packet

    return packets


_STYLES = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, PrimaryColour\r\n"
    b"Style: Default,Arial,16,&HFFFFFF\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Text\r\n"
)


def read_video(path):
    """All frames."""
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def times(frames):
    """Seconds at which frames are shown."""
    return [float(frame.pts * frame.time_base) for frame in frames]


def onset(path, track=0):
    """Seconds from the first frame to the beep, and those that all sound lasts."""
    with av.open(str(path)) as file:
        first = times([next(file.decode(video=0))])[0]
    with av.open(str(path)) as file:
        pieces = list(file.decode(audio=track))
    rate = pieces[0].sample_rate
    begin = float(pieces[0].pts * pieces[0].time_base)
    levels = [piece.to_ndarray() for piece in pieces]
    planar = pieces[0].format.is_planar
    loud = np.abs(np.concatenate([one[0] if planar else one.reshape(-1) for one in levels]).astype(float))
    heard = np.flatnonzero(loud > loud.max() / 4)
    return begin + heard[0] / rate - first, len(loud) / rate


def subtitles_of(path):
    """The words of the first subtitle track, with their seconds."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(subtitles=0) if packet.size > 2]
        return [
            (round(float(packet.pts * packet.time_base), 2), text.dialogue.decode())
            for packet in packets
            for text in packet.decode()
        ]


def telemetry_of(path):
    """What the tracks hold that are neither video nor audio nor subtitles, with its seconds."""
    with av.open(str(path)) as file:
        others = [one for one in file.streams if one.type in ("data", "unknown")]
        packets = [packet for packet in file.demux(others) if packet.size] if others else []
        return [(round(float(packet.pts * packet.time_base), 2), bytes(packet)) for packet in packets]


def plane(frame, index=0):
    """One plane of a frame as an array."""
    data = frame.planes[index]
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    rows = np.frombuffer(data, dtype).reshape(-1, data.line_size // np.dtype(dtype).itemsize)
    return rows[: data.height, : data.width].copy()
