"""Process-wide state of the command line: threads, signals, messages and global options."""

from __future__ import annotations

import _thread
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Session:
    """The global options.

    Attributes:
        debug: show the traceback of an error, and of each failure in a folder.
        quiet: print only warnings and errors.
        threads: number of CPU threads; 0 means all available to this process.
        options: options of the command, as written on the command line.
    """

    debug: bool = False
    quiet: bool = False
    threads: int = 0
    options: Collection[str] = ()


session = Session()
"""Session of this run; set by `main`."""


def to_stderr(message: str) -> None:
    """Print a message to standard error, with parameters as options: `overwrite` becomes --overwrite.

    The library writes parameters in backticks; only those that are options of the command are replaced.
    """

    def option(found: re.Match[str]) -> str:
        flag = f"--{found[1].lower().removeprefix('refinefuse_').replace('_', '-')}"
        return f"{flag} {found[2] or ''}".rstrip() if flag in session.options else found[0]

    print(re.sub(r"`(\w+)(?:=([^`]+))?`", option, message), file=sys.stderr)


@contextmanager
def logging_debug() -> Iterator[None]:
    """With --debug, print the log of the package, such as the traceback of each failure in a folder."""
    log = logging.getLogger("refinefuse")
    level, handler = log.level, logging.StreamHandler()
    if session.debug:
        log.setLevel(logging.DEBUG)
        log.addHandler(handler)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


def print_failures(failed: Mapping[str, str], unpaired: Sequence[str] = ()) -> int:
    """Print the failures and unpaired files of a folder run; return the exit code.

    Failures with the same reason are grouped under the first message; --debug logs each of them.
    """
    from refinefuse.errors import format_names

    by_reason: dict[str, list[str]] = {}
    for name, message in failed.items():
        by_reason.setdefault(_reason(message), []).append(name)
    for first, *others in by_reason.values():
        to_stderr(f"\n{first}: {failed[first]}")
        if others:
            to_stderr(f"Likewise {len(others)} more:\n{format_names(others)}")
    if unpaired:
        count = f"{len(unpaired)} unpaired files (no file of the same name in the other folder):"
        to_stderr(f"\n{count}\n{format_names(unpaired)}")
    return 1 if failed or unpaired else 0


def _reason(message: str) -> str:
    """Strip quoted names and numbers from a message, so that failures of different files can be grouped."""
    return re.sub(r"'[^'\n]*'|[\d.]+", "", message)


def reopen_closed_streams() -> None:
    """Redirect closed standard streams to the null device, so that output never ends up in a file opened later."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115  # open for the lifetime of the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115


def limit_pixels(count: int | None) -> None:
    """Set the maximum image size in pixels for this process and its children; None keeps that of the environment."""
    if count is not None:
        os.environ["REFINEFUSE_MAX_PIXELS"] = str(count)


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C."""


def wait_passively() -> None:
    """Make OpenMP threads sleep while they wait, unless the environment overrides it.

    By default they spin and take CPU time from other jobs: with another busy process, torch becomes many times slower.
    Must be called before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def prepare() -> None:
    """Configure threads and memory allocation for fusing. Imports torch."""
    import cv2

    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.inference.resources import limit_threads

    retain_freed_memory()
    cv2.setNumThreads(limit_threads(session.threads))


@contextmanager
def stopping_cleanly() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM within the context, so that no half-written file is left."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def insisting() -> Iterator[None]:
    """Raise an interrupt again if Python swallowed it.

    Python ignores exceptions raised in a destructor or a weak-reference callback: a Ctrl-C that arrives there would be
    lost, and the run would continue to its end.
    """
    before = sys.unraisablehook

    def again(ignored: sys.UnraisableHookArgs) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            before(ignored)
            return
        number = signal.SIGTERM if issubclass(ignored.exc_type, Terminated) else signal.SIGINT
        threading.Timer(0.1, _thread.interrupt_main, [number]).start()  # delayed: an exception raised here is ignored

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
