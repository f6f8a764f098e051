"""Damage as it happens to files: flipped bits, lost, repeated and foreign stretches, extreme numbers, early ends."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

INTERESTING = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
TEXT = (b"\x00", b"\xff", b"1e400", b"-1", b"NaN", b"9" * 400, b"[" * 5000, b"{", b"}", b'"', b"..", b"/", b"\xc3\x28")


def mutate(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Damage once, often twice, seldom more often; `others` are sound files to take foreign stretches from."""
    for _ in range(int(rng.geometric(0.6))):
        if data:
            data = MUTATIONS[rng.integers(len(MUTATIONS))](data, rng, others)
    return data


def _flip(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    out = bytearray(data)
    for index in rng.integers(len(out), size=int(rng.integers(1, 9))):
        out[index] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _overwrite(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    out, (start, stop) = bytearray(data), _stretch(data, rng)
    out[start:stop] = rng.bytes(stop - start) if rng.random() < 0.5 else bytes([rng.choice([0, 255])]) * (stop - start)
    return bytes(out)


def _number(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    form = str(rng.choice(["B", "<H", ">H", "<I", ">I", "<Q", ">Q"]))
    size = struct.calcsize(form)
    value = INTERESTING[rng.integers(len(INTERESTING))] % 256**size
    start = int(rng.integers(len(data)))
    return data[:start] + struct.pack(form, value) + data[start + size :]


def _text(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start, stop = _stretch(data, rng)
    return data[:start] + TEXT[rng.integers(len(TEXT))] + data[stop:]


def _cut(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start, stop = _stretch(data, rng)
    return data[:start] + data[stop:]


def _repeat(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start, stop = _stretch(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 20)) + data[stop:]


def _truncate(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return data[: rng.integers(len(data))]


def _splice(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    other = others[rng.integers(len(others))]
    start, stop = _stretch(other, rng)
    at = int(rng.integers(len(data)))
    return data[:at] + other[start:stop] + data[at + stop - start :]


def _stretch(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Where a stretch begins and ends: mostly short, and as often in the header as anywhere."""
    start = int(rng.integers(min(len(data), 256) if rng.random() < 0.5 else len(data)))
    return start, min(len(data), start + int(2 ** rng.uniform(0, 10)))


MUTATIONS: tuple[Callable[[bytes, np.random.Generator, list[bytes]], bytes], ...] = (
    _flip,
    _overwrite,
    _number,
    _text,
    _cut,
    _repeat,
    _truncate,
    _splice,
)
