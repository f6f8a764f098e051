"""The command line: one function per command; its signature and docstring define the options and the help."""

from __future__ import annotations

import difflib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from importlib import import_module
from types import ModuleType

import refinefuse
from refinefuse.cli import parsing
from refinefuse.cli.session import (
    Terminated,
    insisting,
    limit_pixels,
    logging_debug,
    reopen_closed_streams,
    session,
    stopping_cleanly,
    to_stderr,
    wait_passively,
)
from refinefuse.errors import AlignmentError, RefineFuseError

COMMANDS = (
    "fuse", "video", "volume", "batch", "align", "info", "sample", "score", "metrics", "benchmark", "detect",
    "detect train", "downstream", "data list", "data verify", "data split", "train", "export", "bench", "studio",
    "doctor", "completion", "rig calibrate", "rig check", "rig convert", "live",
)  # fmt: skip
"""All commands in the order of the help; each is `run` in `refinefuse.cli.COMMAND` (`data list`: data_list)."""
FAMILY = ("fuse", "video", "volume", "align")
"""Commands whose options are easily confused."""
TRAINING = ("train", "detect train", "downstream")
"""Commands that Lightning stops on SIGTERM with a checkpoint, unless another handler is installed."""
FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
GLOBAL_OPTIONS = """\
global options:
  -h, --help     Print help for the program or a command.
  -V, --version  Print the version.
  --debug        Show the traceback of an error, and of each failure in a folder.
  --quiet        Print only warnings and errors.
  --threads N    Number of CPU threads; by default all that this process may use.
  --max-pixels N Largest image to read, in pixels; by default 200 million.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 on success, 1 if some items failed, 2 for incorrect usage, 130 if interrupted, 143 if terminated.
    """
    reopen_closed_streams()
    wait_passively()
    words = list(sys.argv[1:] if arguments is None else arguments)
    session.options = ()
    session.debug, session.quiet = "--debug" in words, "--quiet" in words
    if any("\0" in word for word in words):
        print("refinefuse: an argument contains a NUL character, which no file name can.", file=sys.stderr)
        return WRONG_USE
    try:
        return _dispatch([word for word in words if word not in ("--debug", "--quiet")])
    except RefineFuseError as error:
        return _fail(
            error, f"{type(error).__name__}: {error}", FAILED if isinstance(error, AlignmentError) else WRONG_USE
        )
    except Terminated as error:
        return _fail(error, "Terminated.", 128 + signal.SIGTERM)
    except KeyboardInterrupt as error:
        return _fail(error, "Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout has closed the pipe (`| head`): exit quietly, also when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # not handled elsewhere: name too long, disk full
        return _fail(error, f"{error.strerror or error}: '{error.filename}'", WRONG_USE)


def _fail(error: BaseException, message: str, code: int) -> int:
    if session.debug:
        traceback.print_exception(error)
    to_stderr(message)
    return code


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview(), flush=True)
        return 0 if words else WRONG_USE
    if words[0] in ("-V", "--version"):
        print(f"refinefuse {refinefuse.__version__}")
        return 0
    length = next((count for count in (2, 1) if " ".join(words[:count]) in COMMANDS), 0)
    if not length:
        return _unknown(words)
    command = " ".join(words[:length])
    parser = parser_of(command)
    session.options = parser.option_names
    found = parser.parse(words[length:])
    session.threads = found.get("threads", 0)
    limit_pixels(found["max_pixels"])
    run = module_of(command).run
    with ExitStack() as stack:
        stack.enter_context(insisting())
        stack.enter_context(logging_debug())
        if command not in TRAINING:
            stack.enter_context(stopping_cleanly())
        if session.quiet:
            nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123  # a device
            stack.enter_context(redirect_stdout(nowhere))
        code = parsing.call(run, found)
        sys.stdout.flush()
    return code


def _unknown(words: list[str]) -> int:
    of_two = any(command.startswith(f"{words[0]} ") for command in COMMANDS)
    said = " ".join(words[: 2 if of_two else 1])
    near = difflib.get_close_matches(said, COMMANDS, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    print(f"refinefuse: there is no command '{said}'.{hint}\nCommands: {', '.join(COMMANDS)}", file=sys.stderr)
    return WRONG_USE


def overview() -> str:
    """Return the text of `refinefuse --help`."""
    rows = [f"  {command:<15}{parsing.read_docstring(module_of(command).run)[0]}" for command in COMMANDS]
    return "\n".join(
        [
            "usage: refinefuse COMMAND [OPTIONS]",
            "",
            "Fuse two aligned images of the same scene from different sensors.",
            "",
            "commands:",
            *rows,
            "",
            GLOBAL_OPTIONS,
            "`refinefuse COMMAND --help` describes a command.",
        ]
    )


def parser_of(command: str) -> parsing.Parser:
    """Return the parser of a command."""
    return parsing.build_parser(command, module_of(command), lambda: _options_of_others(command))


def module_of(command: str) -> ModuleType:
    """Import and return the module of a command."""
    return import_module(f"refinefuse.cli.{command.replace(' ', '_')}")


def _options_of_others(command: str) -> dict[str, str]:
    """Return options that only other commands have, each with the first command that has it."""
    found: dict[str, str] = {}
    for other in FAMILY if command in FAMILY else ():
        for _, options in parsing.groups_of(module_of(other).run):
            for option in options:
                found.setdefault(option.flag, other)
    return found
