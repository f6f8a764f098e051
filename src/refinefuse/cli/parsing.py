"""Build parsers from functions: the signature and docstring of a command define its options and help.

A parameter without a default is positional or, if keyword-only, a required option; a default of False makes it a flag;
a dataclass is a group of options, one per field.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from refinefuse.errors import InputError
from refinefuse.renamed import renamed

SHORT = {"output": "-o", "weights": "-w"}
_MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """One parameter of a command.

    Attributes:
        name: name of the parameter.
        hint: type annotation.
        default: default value; `inspect.Parameter.empty` if required.
        help: help text.
        positional: whether it is positional.
        rest: whether it takes all remaining arguments.
    """

    name: str
    hint: Any
    default: Any
    help: str
    positional: bool = False
    rest: bool = False

    @property
    def needed(self) -> bool:
        """Whether it is part of the usage line."""
        return self.positional or self.default is _MISSING

    @property
    def usage(self) -> str:
        """Return its form in the usage line."""
        name = self.name.upper()
        if self.positional:
            return f"[{name} ...]" if self.rest else name
        return f"{SHORT.get(self.name, self.flag)} {name}"

    @property
    def flag(self) -> str:
        """Return its form on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def add_to(self, group: argparse._ArgumentGroup) -> None:
        """Add it to a parser or an argument group."""
        if self.positional:
            group.add_argument(
                self.name,
                type=_reader(self.hint),
                help=self.help,
                nargs="*" if self.rest else None,
                metavar=self.name.upper(),
            )
            return
        names = [SHORT[self.name], self.flag] if self.name in SHORT else [self.flag]
        if self.hint is bool:
            group.add_argument(*names, action="store_true", help=self.help)
            return
        required = self.default is _MISSING
        choices = ", ".join(choices_of(self.hint))
        default = "" if required or self.default in (None, "") else f"default: {self.default}"
        notes = "; ".join(note for note in (choices, default) if note)
        group.add_argument(
            *names,
            dest=self.name,
            type=_reader(self.hint),
            required=required,
            default=None if required else self.default,
            metavar=_metavar(self.name, self.hint),
            help=f"{self.help} ({notes})" if notes else self.help,
        )


class Parser(argparse.ArgumentParser):
    """A parser that suggests corrections for invalid arguments.

    Args:
        command: the command as typed by the user.
        others: options of other commands, each with its command.
        options: keyword arguments of `argparse.ArgumentParser`.
    """

    def __init__(self, command: str, others: Callable[[], Mapping[str, str]], **options: Any) -> None:
        super().__init__(prog=f"refinefuse {command}", allow_abbrev=False, add_help=False, **options)
        self.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
        self._negative_number_matcher = re.compile(r"-[\d.]")  # parse -600,1500 as a value, not as an option
        self._others = others

    @property
    def option_names(self) -> list[str]:
        """Return the long names of all options."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def parse(self, words: Sequence[str]) -> dict[str, Any]:
        """Parse arguments into option values; exit with code 2 on incorrect usage."""
        found, unknown = self.parse_known_args(list(words))
        if unknown:
            self._refuse(unknown)
        return vars(found)

    def _refuse(self, unknown: list[str]) -> NoReturn:
        word = next((word for word in unknown if word.startswith("-")), unknown[0]).partition("=")[0]
        new, command = renamed().get(word), self._others().get(word)
        near = difflib.get_close_matches(word, self.option_names, 1)
        if command:
            self.error(f"{word} is an option of `refinefuse {command}`.")
        if new:
            self.error(f"`{word}` is now `{new[0]}`.")
        self.error(f"unknown argument {word}.{f' Did you mean {near[0]}?' if near else ''}")

    def error(self, message: str) -> NoReturn:
        """Print the error and where to find help, and exit with code 2."""
        print(f"{self.prog}: {message}\n`{self.prog} --help` lists all options.", file=sys.stderr)
        raise SystemExit(2)


def build_parser(command: str, module: ModuleType, others: Callable[[], Mapping[str, str]]) -> Parser:
    """Build the parser of a command from `run` in its module, and from `EXAMPLES` if defined."""
    summary, details, _ = read_docstring(module.run)
    examples = getattr(module, "EXAMPLES", "")
    groups = list(groups_of(module.run))
    needed = [option.usage for _, options in groups for option in options if option.needed]
    parser = Parser(
        command,
        others,
        usage=f"refinefuse {command} {' '.join(needed)} [OPTIONS]",
        description=f"{summary}\n\n{details}".strip(),
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=_HelpFormatter,
    )
    for title, options in groups:
        group = parser.add_argument_group(title) if title else parser
        for option in options:
            option.add_to(group)  # type: ignore[arg-type]  # a parser has the same add_argument as a group
    if "--threads" not in parser._option_string_actions:
        parser.add_argument("--threads", type=_reader(int), default=0, help=argparse.SUPPRESS)
    parser.add_argument("--max-pixels", type=_reader(int), help=argparse.SUPPRESS)
    return parser


def call(function: Callable[..., int], found: dict[str, Any]) -> int:
    """Call a command with the values from its parser."""
    words: list[Any] = []
    keywords: dict[str, Any] = {}
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            words += found[name]
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kind = hints[name]
            inside = is_dataclass(kind)
            keywords[name] = kind(**{one.name: found[one.name] for one in fields(kind)}) if inside else found[name]
        else:
            words.append(found[name])
    return function(*words, **keywords)


def groups_of(function: Callable[..., int]) -> Iterator[tuple[str, list[Option]]]:
    """Yield the option groups of a command; the first one has no title."""
    _, _, helps = read_docstring(function)
    hints, plain, groups = get_type_hints(function), [], []
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints[name]
        if is_dataclass(hint):
            groups.append(_group(hint))
            continue
        rest = parameter.kind is parameter.VAR_POSITIONAL
        positional = parameter.kind is not parameter.KEYWORD_ONLY
        plain.append(Option(name, hint, parameter.default, helps.get(name, ""), positional, rest))
    yield "", plain
    yield from groups


def _group(kind: Any) -> tuple[str, list[Option]]:
    summary, _, helps = read_docstring(kind)
    hints = get_type_hints(kind)
    defaults = {one.name: _MISSING if one.default is MISSING else one.default for one in fields(kind)}
    options = [Option(name, hints[name], default, helps.get(name, "")) for name, default in defaults.items()]
    return summary.rstrip("."), options  # python -OO strips docstrings


def read_docstring(described: Any) -> tuple[str, str, dict[str, str]]:
    """Split a docstring into summary, description, and the entries of `Args:` or `Attributes:` by name."""
    summary, _, rest = (inspect.getdoc(described) or "").partition("\n")
    details, *sections = re.split(r"^(?:Args|Attributes|Returns|Raises|Example):\n", rest, flags=re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", sections[0] if sections else "", flags=re.MULTILINE)
    helps = {name: " ".join(line.strip() for line in text.splitlines()) for name, text in entries}
    return summary, details.strip(), helps


def choices_of(hint: Any) -> tuple[str, ...]:
    """Return the allowed values of a type; empty if they are not limited."""
    kinds = _alternatives(hint)
    literals = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    return tuple(literals) if all(get_origin(kind) is Literal for kind in kinds) else ()


def parse_size(option: str, text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH into height and width in pixels.

    Raises:
        InputError: the size is invalid; the message names the option.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise InputError(f"{option} must be HEIGHTxWIDTH in pixels.\n  expected: such as 480x640\n  got: {text!r}")
    return int(height), int(width)


def _alternatives(hint: Any) -> list[Any]:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [kind for kind in kinds if kind is not NoneType]


def _metavar(name: str, hint: Any) -> str:
    return "PATH" if Path in _alternatives(hint) else name.rpartition("_")[2].upper()


def _reader(hint: Any) -> Callable[[str], Any]:
    """Return a converter from an argument to a type; its errors list the allowed values."""
    kinds = _alternatives(hint)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    plain = [kind for kind in kinds if get_origin(kind) is not Literal]

    def read(text: str) -> Any:
        for kind in (str, *plain) if text in words else plain:
            with suppress(ValueError):
                return kind(text)
        near = difflib.get_close_matches(text, words, 1)
        expected = [*words, *({int: "a whole number", float: "a number"}.get(kind, "") for kind in plain)]
        raise argparse.ArgumentTypeError(
            f"expected: {', '.join(expected)}; got: {text!r}{f'. Did you mean {near[0]}?' if near else ''}"
        )

    return read


class _HelpFormatter(argparse.HelpFormatter):
    """Wrap text, keep the paragraphs of the description, and leave examples unchanged."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=100)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(action.option_strings)
        return f"{names} {action.metavar}" if names and action.nargs != 0 else names or str(action.metavar)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text.rstrip()
        paragraphs = text.split("\n\n")
        return "\n\n".join(super(_HelpFormatter, self)._fill_text(one, width, indent) for one in paragraphs)
