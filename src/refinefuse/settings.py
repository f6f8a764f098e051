"""Settings in YAML files, defined by dataclasses. Reading a file never executes code.

Shipped files are in `refinefuse/recipes` and are found by name.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from refinefuse.atomic import write_atomic
from refinefuse.errors import ConfigError, format_names
from refinefuse.paths import as_path
from refinefuse.renamed import renamed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Item = TypeVar("Item")
Settings = TypeVar("Settings", bound="DataclassInstance")
RECIPES = Path(__file__).parent / "recipes"
LARGEST_FILE = 2**20
"""Bytes: no settings are longer, and a small file cannot expand beyond memory without anchors, which are refused."""


def locate_settings(name: str | os.PathLike[str], folder: str = "") -> Path:
    """Locate a settings file by path, or by the name of a shipped one.

    Args:
        name: a path such as `my.yaml`, or a name such as `infrared-visible`.
        folder: subfolder of the shipped files in `refinefuse/recipes`.

    Raises:
        ConfigError: if there is neither such a file nor such a name.
    """
    path, shipped = as_path(name), RECIPES / folder
    if path.is_file():
        return path
    names = sorted(file.stem for file in shipped.glob("*.yaml"))
    if str(name) in names:
        return shipped / f"{name}.yaml"
    raise ConfigError(
        f"'{name}' is neither a file nor the name of a shipped recipe.\nNames:\n{format_names(names, 20)}"
    )


def read_settings(
    kind: type[Settings], path: Path, called: str, prepare: Callable[[dict[str, Any]], None] | None = None
) -> Settings:
    """Read a YAML file.

    Args:
        kind: the dataclass to create.
        path: the file.
        called: what messages call it ("recipe").
        prepare: modifies the mapping before it is checked.

    Raises:
        ConfigError: if the file is missing, is not YAML, has an unknown key, or a value of the wrong type or out of
            range.
    """
    try:
        loaded = _load(path)
        if prepare and isinstance(loaded, dict):
            prepare(loaded)
        return _dataclass(kind, loaded, "")
    except OSError as error:
        raise ConfigError(f"Cannot read the {called} '{path}': {error.strerror}.") from error
    except (ConfigError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"The {called} '{path}' cannot be used.\n  {error}") from error


def _load(path: Path) -> object:
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"It is larger than {LARGEST_FILE} bytes.")
    text = content.decode("utf-8")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise ConfigError("It has an alias (`*name`). Write the value out.")
    loaded: object = yaml.safe_load(text)
    return loaded


def _dataclass(kind: type[Settings], value: object, where: str) -> Settings:
    if not isinstance(value, dict):
        raise _mismatch(where, "a mapping of keys to values", value)
    hints = get_type_hints(kind)
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]

    def read(name: str) -> tuple[str, object]:
        if name not in hints:
            raise ConfigError(f"`{_joined(where, name)}` is not a key.{_suggestion(name, list(hints))}")
        if name not in value:
            raise ConfigError(f"`{_joined(where, name)}` is missing.")
        return name, _value(hints[name], value[name], _joined(where, name))

    found, wrong = _read_each(read, dict.fromkeys([*map(str, value), *needed]))
    given = dict(found)
    if given.keys() >= set(needed):
        try:
            made = kind(**given)
        except ConfigError as error:
            wrong.append(f"in `{where}`: {error}" if where else str(error))
    if wrong:
        raise ConfigError("\n  ".join(wrong))
    return made


def _read_each(read: Callable[[Any], Item], items: Iterable[object]) -> tuple[list[Item], list[str]]:
    """Apply `read` to the items; also returns the errors of those that fail."""
    found, wrong = [], []
    for item in items:
        try:
            found.append(read(item))
        except ConfigError as error:
            wrong.append(str(error))
    return found, wrong


def _read_all(read: Callable[[Any], Item], items: Iterable[object]) -> list[Item]:
    """Apply `read` to all items, raising all errors together."""
    found, wrong = _read_each(read, items)
    if wrong:
        raise ConfigError("\n  ".join(wrong))
    return found


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _suggestion(key: str, known: list[str]) -> str:
    new = [name for name in renamed().get(key, ()) if name in known]
    if new:
        return f" It is now `{new[0]}`."
    close = difflib.get_close_matches(key, known, 1)
    return f" Did you mean `{close[0]}`?" if close else f"\n  expected: {', '.join(known)}"


def _mismatch(where: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"`{where or 'the file'}` must be {expected}.\n  got: {value!r:.80}")


def _value(hint: Any, value: object, where: str) -> object:
    """Check the value of a field against its type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # only `X | None` and `X | list[X]` occur
        if value is None and NoneType in arguments:
            return None
        listed = [each for each in arguments if get_origin(each) is list]
        return _value(listed[0] if listed and isinstance(value, list) else arguments[0], value, where)
    if origin is Literal:
        if value not in arguments:
            raise _mismatch(where, " or ".join(map(str, arguments)), value)
        return value
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise _mismatch(where, "a list", value)
        items = _read_all(lambda index: _value(arguments[0], value[index], f"{where}[{index}]"), range(len(value)))
        return cast("object", origin(items))
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(where, "a mapping of keys to values", value)
        return dict(
            _read_all(lambda key: (_scalar(str, key, where), _value(arguments[1], value[key], f"{where}.{key}")), value)
        )
    return _dataclass(cast("Any", hint), value, where) if is_dataclass(hint) else _scalar(hint, value, where)


_SCALARS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float and type(value) in (int, float, str):
        try:
            return float(cast("str", value))  # YAML reads 1e-4 as text
        except ValueError:
            raise _mismatch(where, _SCALARS[kind], value) from None
    if type(value) is not kind:
        raise _mismatch(where, _SCALARS[kind], value)
    return value


def write_settings(settings: DataclassInstance, path: Path) -> None:
    """Write a YAML file with all fields, including defaults, atomically."""
    write_atomic(path, yaml.safe_dump(json.loads(json.dumps(asdict(settings))), sort_keys=False).encode())


def claim_folder(folder: Path, name: str, settings: DataclassInstance) -> None:
    """Create the folder of a run, or refuse one that contains a run of another recipe.

    Args:
        folder: folder of the run.
        name: file name of the recipe in it.
        settings: the recipe.

    Raises:
        ConfigError: if the folder cannot be created, or holds another recipe.
    """
    try:
        as_path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"Cannot create the folder '{folder}': {error.strerror}.\nChoose another one.") from error
    path = folder / name
    if path.exists() and read_settings(type(settings), path, "recipe") != settings:
        raise ConfigError(
            f"The folder contains a run of another recipe.\n  recipe: '{path}'\n"
            "Choose another output folder, or use the same recipe to resume."
        )
