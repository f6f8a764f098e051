"""Resolve the method specs of a config."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from refinefuse.benchmark.classical import CLASSICAL
from refinefuse.benchmark.config import MethodEntry
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.image_datasets import PathVariables
from refinefuse.benchmark.methods import Method, load_module, plugins
from refinefuse.errors import ConfigError, InputError, WeightsError, format_names
from refinefuse.weights import store

FUSING = (
    "refinefuse.network", "refinefuse.inference.fuser", "refinefuse.inference.inputs", "refinefuse.image.color",
)  # fmt: skip
"""Packages whose code affects the results of weights."""


def find_methods(entries: Sequence[MethodEntry], variables: PathVariables, sets: Sequence[str]) -> list[Method]:
    """Find the methods of a config; if one has images and published scores, the latter cover datasets without images.

    Raises:
        RefineFuseError: a spec is unknown or cannot be used, or two methods have the same name.
    """
    found: dict[str, Method] = {}
    for entry in entries:
        for method in _find(entry, variables, sets):
            former = found.get(method.name)
            if former is not None and method.kind == "scores" and former.kind == "folder" and not former.published:
                found[method.name] = replace(former, published=method.published)
                continue
            if former is not None or method.slug in {other.slug for other in found.values()}:
                raise ConfigError(
                    f"Two methods of the config have the same name: '{method.name}'.\nGive one of them another `name`."
                )
            found[method.name] = method
    if entries and not found:
        raise ConfigError("No method is left: all are optional, and none is available.\nAdd one, such as `classical`.")
    return list(found.values())


def _find(entry: MethodEntry, variables: PathVariables, sets: Sequence[str]) -> list[Method]:
    kind, colon, target = entry.spec.partition(":")
    target = variables.fill(target)
    finders: Mapping[str, Callable[[], list[Method]]] = {
        "weights": lambda: _weights(entry, target),
        "folder": lambda: _folders(entry, target, sets),
        "python": lambda: [_python(entry, target)],
        "onnx": lambda: [_onnx(entry, target)],
        "scores": lambda: _scores(entry, target, sets),
    }
    try:
        methods = finders[kind]() if colon and kind in finders else _by_name(entry)
    except InputError:
        if entry.optional:
            return []
        raise
    if entry.name is not None and len(methods) > 1:
        raise ConfigError(
            f"`name` must name one method, but the source stands for {len(methods)}.\n  source: {entry.spec}"
        )
    return methods


def _by_name(entry: MethodEntry) -> list[Method]:
    if entry.spec == "classical":
        return [_classical(name, name, entry.ranked) for name in CLASSICAL]
    if entry.spec in CLASSICAL:
        return [_classical(entry.spec, entry.name or entry.spec, entry.ranked)]
    known = plugins()
    if entry.spec in known:
        content = _of_module(load_module(known[entry.spec].module))
        identity = checksum(known[entry.spec].value, content)
        return [Method(entry.name or entry.spec, "plugin", entry.spec, entry.ranked, identity, content)]
    raise ConfigError(
        "A method's source must be weights:NAME, folder:PATH, python:module:function, onnx:FILE, scores:FILE.csv, or "
        f"the name of a classical method or a plug-in.\n  got: {entry.spec}\n"
        f"  names: {', '.join(['classical', *CLASSICAL, *known])}"
    )


def _classical(name: str, shown: str, ranked: bool) -> Method:
    code = code_checksum("refinefuse.benchmark.classical")
    return Method(shown, "classical", name, ranked and not CLASSICAL[name].sanity, checksum(name, code), code)


def _weights(entry: MethodEntry, target: str) -> list[Method]:
    paths = sorted(Path().glob(target) if not Path(target).is_absolute() else Path("/").glob(target[1:]))
    names = [str(path) for path in paths] if "*" in target else [target]
    if not names:
        raise WeightsError(
            f"No weights file matches '{target}'.\nTrain the network first, or remove this line from the config."
        )
    code = code_checksum(*FUSING)
    methods = []
    for name in names:
        shipped = store.shipped().get(name)
        trained_on = tuple(str(row["name"]) for row in shipped.datasets) if shipped else ()
        shown = entry.name or (name if shipped else Path(name).stem if "*" in target else name.rpartition("/")[2])
        content = file_checksum(store.locate(name))
        methods.append(Method(shown, "weights", name, entry.ranked, checksum(content, code), content, trained_on))
    return methods


def _folders(entry: MethodEntry, target: str, sets: Sequence[str]) -> list[Method]:
    """Return one method, or with `*` in the last part of the path one per folder that matches for any dataset."""
    parent, last = Path(target).parent, Path(target).name
    if last == "*":
        parents = [Path(str(parent).replace("{dataset}", name)) for name in sets]
        names = sorted(
            {path.name for folder in parents if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
        )
        targets = {name: str(parent / name) for name in names}
    else:
        plain = [part for part in Path(target).parts if "{dataset}" not in part]
        targets = {entry.name or (plain[-1] if plain else target): target}
        folders = [Path(target.replace("{dataset}", name)) for name in sets]
        targets = targets if any(folder.is_dir() for folder in folders) else {}
    if not targets:
        tried = [str(Path(target.replace("{dataset}", name))) for name in sets]
        raise InputError(f"This method has no images: none of these folders exists.\n{format_names(tried)}")
    return [Method(name, "folder", path, entry.ranked) for name, path in targets.items()]


def _scores(entry: MethodEntry, target: str, sets: Sequence[str]) -> list[Method]:
    files = [path for name in sets if (path := Path(target.replace("{dataset}", name))).is_file()]
    if not files:
        tried = [target.replace("{dataset}", name) for name in sets]
        raise InputError(f"This method has no scores: none of these files exists.\n{format_names(tried)}")
    names = dict.fromkeys(name for path in files for name in read_scores(path))
    return [Method(name, "scores", target, entry.ranked, published=target) for name in names]


def read_scores(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Read method -> image -> column -> text from a CSV with the columns `method`, `image` and one per metric.

    Raises:
        InputError: the file cannot be read or lacks these columns.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read the scores '{path}': {error}.") from None
    if not rows or not {"method", "image"} <= rows[0].keys():
        found = ", ".join(map(str, rows[0])) if rows else "no row"
        raise InputError(f"A score file needs the columns method and image.\n  file: '{path}'\n  got: {found}")
    scores: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        scores.setdefault(row["method"], {})[row["image"]] = row
    return scores


def numbers(row: Mapping[str, str], metrics: Sequence[str], convention: str, path: Path) -> dict[str, float]:
    """Parse the metrics of a row of a scores file. A column `convention` must match the config.

    Raises:
        InputError: the convention differs, or a value is not a number.
    """
    stated = row.get("convention") or convention
    if stated != convention:
        raise InputError(
            f"The scores in '{path}' use a different convention from the config.\n  config: {convention}\n"
            f"  file: {stated}"
        )
    try:
        return {key: float(row[key]) for key in metrics if row.get(key)}
    except ValueError as error:
        raise InputError(f"The scores in '{path}' contain values that are not numbers: {error}.") from None


def _python(entry: MethodEntry, target: str) -> Method:
    module_name, _, name = target.rpartition(":")
    if not module_name:
        raise ConfigError(f"A Python method must be given as python:module:function.\n  got: python:{target}")
    module = load_module(module_name)
    if not callable(getattr(module, name, None)):
        raise ConfigError(f"The module '{module_name}' has no function '{name}'.")
    content = _of_module(module)
    return Method(entry.name or name, "python", target, entry.ranked, checksum(name, content), content)


def _onnx(entry: MethodEntry, target: str) -> Method:
    content = file_checksum(Path(target))
    identity = checksum(content, code_checksum("refinefuse.benchmark.onnx_file"))
    return Method(entry.name or Path(target).stem, "onnx", target, entry.ranked, identity, content)


def _of_module(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return file_checksum(Path(file)) if file else checksum(module.__name__)
