"""The command line: one function a verb, each in its file; options and help come from signature and docstring."""

from __future__ import annotations

import argparse
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

import refinefuse
from refinefuse.errors import AlignmentError, RefineFuseError

VERBS = (
    "fuse", "align", "sample", "score", "metrics", "benchmark", "detect", "detect train", "data list", "data verify",
    "data split", "train", "export", "bench", "doctor",
)  # fmt: skip
"""Each is the function `run` in `refinefuse.cli.VERB` (`data list`: data_list), in the order of the help."""
ALIASES = {"output": "-o"}
FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


class _Help(DefaultHelpFormatter):
    """Help without Python's names of types: the text, and the default where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = action.option_strings and action.default not in (None, False, argparse.SUPPRESS)
        return f"{action.help or ''}{f' (default: {action.default})' if shown else ''}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 if all was done, 1 if some items failed, 2 for wrong use, 130 if interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        return _dispatch([word for word in words if word != "--debug"])
    except RefineFuseError as error:
        if debug:
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return FAILED if isinstance(error, AlignmentError) else WRONG_USE
    except KeyboardInterrupt:
        if debug:
            raise
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): say nothing, and keep Python from saying it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # what no part foresaw: a name that is too long, a disk that is full
        if debug:
            raise
        print(f"{error.strerror or error}: '{error.filename}'", file=sys.stderr)
        return WRONG_USE


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview(), flush=True)
        return 0 if words else WRONG_USE
    if words[0] == "--version":
        print(f"refinefuse {refinefuse.__version__}")
        return 0
    length = next((count for count in (2, 1) if " ".join(words[:count]) in VERBS), 0)
    if not length:
        said = " ".join(words[: 2 if any(verb.startswith(f"{words[0]} ") for verb in VERBS) else 1])
        print(f"refinefuse: there is no command '{said}'. Commands: {', '.join(VERBS)}", file=sys.stderr)
        return WRONG_USE
    verb = " ".join(words[:length])
    options: Namespace = parser_of(verb).parse_args(words[length:])
    code = _call(_function(verb), vars(options))
    sys.stdout.flush()
    return code


def _call(function: Callable[..., int], options: dict[str, Any]) -> int:
    """Call a verb with what the parser found; `*rest` after the other positional parameters."""
    first = [name for name, one in inspect.signature(function).parameters.items() if one.kind is not one.KEYWORD_ONLY]
    words = [word for name in first for word in (options[name] if isinstance(options[name], list) else [options[name]])]
    return function(*words, **{name: value for name, value in options.items() if name not in first})


def overview() -> str:
    """The text of `refinefuse --help`."""
    rows = [f"  {verb:<13}{_summary(_function(verb))}" for verb in VERBS]
    return "\n".join(
        [
            "usage: refinefuse COMMAND [OPTIONS]",
            "",
            "Fuse two aligned images of one scene that different sensors took.",
            "",
            "commands:",
            *rows,
            "",
            "`refinefuse COMMAND --help` says more. --version prints the version.",
            "--debug shows the traceback of an error.",
        ]
    )


def parser_of(verb: str) -> ArgumentParser:
    """The parser of one verb: required parameters are positional, keywords are options, those that are False flags."""
    function = _function(verb)
    text = docstring_parser.parse(inspect.getdoc(function) or "")
    signature = inspect.signature(function).parameters
    flags = [name for name, parameter in signature.items() if parameter.default is False]
    parser = ArgumentParser(
        prog=f"refinefuse {verb}",
        description=f"{text.short_description}\n\n{text.long_description or ''}",
        formatter_class=_Help,
    )
    rest = [name for name, parameter in signature.items() if parameter.kind is parameter.VAR_POSITIONAL]
    skipped: set[str | int] = {*flags, *rest}
    parser.add_function_arguments(function, as_group=False, as_positional=True, fail_untyped=True, skip=skipped)
    for described in text.params:
        if described.arg_name in rest:
            parser.add_argument(described.arg_name, nargs="*", type=str, help=described.description)
        if described.arg_name in flags:
            option = described.arg_name.replace("_", "-")
            parser.add_argument(f"--{option}", dest=described.arg_name, action="store_true", help=described.description)
    for name, action in list(parser._option_string_actions.items()):
        alias = ALIASES.get(name[2:], name.replace("_", "-"))
        if alias != name and alias not in action.option_strings:
            action.option_strings = [alias, *(word for word in action.option_strings if "_" not in word)]
            parser._option_string_actions[alias] = action
    return parser


def _function(verb: str) -> Callable[..., int]:
    function: Callable[..., int] = import_module(f"refinefuse.cli.{verb.replace(' ', '_')}").run
    return function


def _summary(function: Callable[..., int]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
