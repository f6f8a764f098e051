"""Device and precision of a network."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

import torch

from refinefuse.errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGE = 16 << 20  # bytes: between the planes of the largest one-tile image and those of strips


def resolve_device(name: str) -> torch.device:
    """Resolve a device name; `auto` is the first available of CUDA, MPS and CPU.

    Raises:
        InputError: if the name is not a device, or the device is not available on this machine or in this build of
            torch.
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
    """Names of the devices that torch can use here, fastest first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """Resolve the dtype of the features; `auto` is float32, or bfloat16 on CUDA devices that support it.

    Raises:
        InputError: if the name is unknown.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if name not in _DTYPES:
        raise InputError(f"`precision` must be auto, {', '.join(_DTYPES)}.\n  got: {name!r}")
    return _DTYPES[name]


def retain_freed_memory() -> None:
    """Make glibc keep freed large blocks in one arena instead of returning them to the kernel.

    A network allocates and frees the same large blocks for every image; by default each one is mapped and page-faulted
    again, which costs a factor of 2 to 3 on a CPU. The largest blocks, those of strips, are still returned, because
    keeping them would fragment the heap, as would per-thread arenas. This changes the whole process, so the command
    line calls it and the library never does. It has no effect with a C library other than glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
