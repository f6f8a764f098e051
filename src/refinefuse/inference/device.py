"""Where and how precisely a network runs."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

import torch

from refinefuse.errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGE = 16 << 20  # bytes: planes of the largest image that is fused in one tile are smaller, those of strips larger


def resolve_device(name: str) -> torch.device:
    """The device that a name means; `auto` is the first of CUDA, MPS and CPU that this machine has.

    Raises:
        InputError: if the name is no device, or this machine or this build of torch lacks it.
    """
    here = available_devices()
    if name == "auto":
        return torch.device(here[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"`device` must be auto, cpu, cuda, cuda:N or mps.\n  got: {name!r}") from error
    if str(device) not in {*here, *(known.partition(":")[0] for known in here)}:  # "cuda" is one of them
        raise InputError(
            f"This machine has no device {name!r}, or this build of torch cannot use it.\n"
            f"  available: {', '.join(here)}"
        )
    return device


def available_devices() -> list[str]:
    """Names of the devices that torch can use here, the fastest first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The dtype of the network's features; `auto` is float32, but bfloat16 on a CUDA device that computes in it.

    Raises:
        InputError: if the name is unknown.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if name not in _DTYPES:
        raise InputError(f"`precision` must be auto, {', '.join(_DTYPES)}.\n  got: {name!r}")
    return _DTYPES[name]


def retain_freed_memory() -> None:
    """Let glibc keep large blocks that are freed instead of giving them back to the kernel, in one arena.

    A network frees and takes the same large blocks for every image; by default each of them is mapped and faulted
    in anew, which costs a factor of 2 to 3 on a CPU. The largest blocks, those of strips, are given back: kept, they
    leave gaps that nothing fits into, and so would arenas of each thread. It changes the whole process, so the command
    line calls it and the library never does. Without effect where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
