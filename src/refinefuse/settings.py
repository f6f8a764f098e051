"""Settings in YAML files: a dataclass says what may stand in one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from refinefuse.atomic import write_atomic
from refinefuse.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")


def read_settings(kind: type[Settings], path: Path, called: str, hint: str = "") -> Settings:
    """Read a YAML file.

    Args:
        kind: the dataclass that is made of it.
        path: the file.
        called: what to call it in a message ("recipe").
        hint: what to say where there is no such file.

    Raises:
        ConfigError: if the file is missing, is no YAML, has an unknown key, or a value of the wrong type or out of
            range.
    """
    if not path.is_file():
        raise ConfigError(f"There is no {called} '{path}'.{hint}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        return kind(**vars(parser.instantiate(parser.parse_path(str(path)))))
    except ConfigError:
        raise
    except (ArgumentError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"The {called} '{path}' cannot be used.\n  {error}") from error


def write_settings(settings: DataclassInstance, path: Path) -> None:
    """Write a YAML file with every field, defaults too, whole or not at all."""
    write_atomic(path, yaml.safe_dump(json.loads(json.dumps(asdict(settings))), sort_keys=False).encode())


def claim_folder(folder: Path, name: str, settings: DataclassInstance) -> None:
    """Make the folder of a run, or refuse one that holds the run of another recipe.

    Args:
        folder: of the run.
        name: of the recipe's file in it.
        settings: the recipe.

    Raises:
        ConfigError: if the folder cannot be made, or holds another recipe.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder '{folder}' cannot be made: {error.strerror}.\nGive another one.") from error
    path = folder / name
    if path.exists() and read_settings(type(settings), path, "recipe") != settings:
        raise ConfigError(
            f"The folder holds a run by another recipe.\n  recipe: '{path}'\n"
            "Give another output folder, or the same recipe to go on."
        )
