"""Write `tests/api/public_surface.txt`: every public name with its signature. A test fails when it differs.

Usage: python tools/public_surface.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_overloads

import refinefuse

FILE = Path(__file__).parents[1] / "tests" / "api" / "public_surface.txt"


def surface() -> str:
    """All public names and their signatures, one per line."""
    lines = (line for name in sorted(refinefuse.__all__) for line in _lines(name, getattr(refinefuse, name)))
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, ModuleType):
        yield f"module {name}"
        members = getattr(value, "__all__", None) or [key for key, one in vars(value).items() if _is_own(value, one)]
        for member in sorted(members):
            yield from (f"  {line}" for line in _lines(member, getattr(value, member)))
    elif inspect.isclass(value):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
        yield from (f"  {field}" for field in getattr(value, "_fields", ()))
        for member, one in sorted(vars(value).items()):
            if not member.startswith("_") or member in ("__init__", "__call__"):
                yield from (f"  {line}" for line in _member(member, one))
    elif get_args(value):
        yield f"{name} = {' | '.join(_name(one) for one in get_args(value))}"
    elif callable(value):
        yield from (f"def {name}{inspect.signature(one)}" for one in get_overloads(value) or [value])
    else:
        yield name


def _member(name: str, value: Any) -> Iterator[str]:
    function = getattr(value, "__func__", value)
    if isinstance(value, property | cached_property):
        yield f"{name} (property)"
    elif inspect.isfunction(function):
        yield from (f"def {name}{inspect.signature(one)}" for one in get_overloads(function) or [function])


def _is_own(module: ModuleType, value: object) -> bool:
    return getattr(value, "__module__", "") == module.__name__ and not getattr(value, "__name__", "_").startswith("_")


def _name(argument: Any) -> str:
    return getattr(argument, "__name__", None) or getattr(argument, "__forward_arg__", None) or str(argument)


def main() -> None:
    """Write the file."""
    FILE.write_text(surface(), encoding="utf-8")


if __name__ == "__main__":
    main()
