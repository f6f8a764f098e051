"""Fusion methods of a benchmark.

Some methods can be run on any pair; the images of a `folder` and the scores of a `scores` file are used as they are.
The `identity` of a method is a checksum of everything that affects its results: cached results are recomputed only when
it changes.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

import numpy as np

from refinefuse.benchmark.classical import CLASSICAL, Rule
from refinefuse.errors import ConfigError, InputError, RefineFuseError
from refinefuse.image.color import to_array, to_tensor, to_ycbcr
from refinefuse.image.pixels import Pixels

Fuse = Callable[[Pixels, Pixels], Pixels]
GROUP = "refinefuse.methods"
"""Entry point group for methods of other packages: functions of two images."""


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        name: name in tables.
        kind: a key of `OPENERS` for a method that can be run, `folder` or `scores`.
        target: part of the spec after the colon, with all variables except `{dataset}` substituted.
        ranked: whether it is ranked.
        identity: checksum of everything that affects its results; empty if each image has its own.
        content: checksum of only the weights, the ONNX file or the module, for the scores file.
        trained_on: for weights, the names of their training datasets.
        published: file of scores, with `{dataset}` in its path, for datasets without images.
    """

    name: str
    kind: str
    target: str
    ranked: bool
    identity: str = ""
    content: str = ""
    trained_on: tuple[str, ...] = ()
    published: str = ""

    @property
    def runs(self) -> bool:
        """Whether it can be run on any pair."""
        return self.kind in OPENERS

    @property
    def slug(self) -> str:
        """Name as a valid folder name."""
        name = re.sub(r"[^\w.+-]+", "_", self.name)
        return name.replace(".", "_") if set(name) <= {"."} else name

    def open(self) -> Fuse:
        """Return the function that fuses two images, loaded once per process.

        Raises:
            RefineFuseError: the method cannot be loaded.
        """
        return _opened(self.kind, self.target)


@lru_cache(maxsize=64)
def _opened(kind: str, target: str) -> Fuse:
    return OPENERS[kind](target)


def load_module(module_name: str) -> ModuleType:
    """Import a module by name, also from the current folder, or by the path of its file.

    Raises:
        ConfigError: the module does not exist or cannot be imported.
    """
    if not module_name.endswith(".py"):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        try:
            return importlib.import_module(module_name)
        except ImportError as error:
            raise ConfigError(f"Cannot import the module '{module_name}': {error}.") from error
    spec = importlib.util.spec_from_file_location(f"_refinefuse_method_{Path(module_name).stem}", module_name)
    if spec is None or spec.loader is None or not Path(module_name).is_file():
        raise ConfigError(f"The Python file '{module_name}' does not exist.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # user code can raise anything
        raise ConfigError(f"Cannot run the file '{module_name}': {type(error).__name__}: {error}.") from error
    return module


def plugins() -> dict[str, EntryPoint]:
    """Return the methods provided by other packages, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _open_weights(target: str) -> Fuse:
    from refinefuse.inference.fuser import Fuser

    fuser = Fuser(target, device="cpu", color="gray", check=False)
    return lambda a, b: np.asarray(fuser(a, b))


def _open_classical(target: str) -> Fuse:
    return _on_luma(CLASSICAL[target].fuse)


def _on_luma(rule: Rule) -> Fuse:
    def fuse(a: Pixels, b: Pixels) -> Pixels:
        first, second = (to_ycbcr(to_tensor(x)).luma[0, 0].numpy() for x in (a, b))
        return np.asarray(rule(first, second), np.float32).clip(0, 1)

    return fuse


def _open_python(target: str) -> Fuse:
    module_name, _, name = target.rpartition(":")
    function: Fuse = getattr(load_module(module_name), name)
    return function


def _open_plugin(target: str) -> Fuse:
    function: Fuse = plugins()[target].load()
    return function


def _open_onnx(target: str) -> Fuse:
    from refinefuse.benchmark.onnx_file import open_onnx

    return _on_luma(open_onnx(Path(target)))


OPENERS: Mapping[str, Callable[[str], Fuse]] = {
    "weights": _open_weights,
    "classical": _open_classical,
    "python": _open_python,
    "plugin": _open_plugin,
    "onnx": _open_onnx,
}


def fuse_checked(method: Method, a: Pixels, b: Pixels) -> Pixels:
    """Fuse a pair and validate the result. Floating-point results become 8 bit, rounded half up.

    Raises:
        RefineFuseError: the method fails, or does not return an image of the sources' size with values in range.
    """
    try:
        fused = np.asarray(method.open()(a, b))
    except RefineFuseError:
        raise
    except Exception as error:  # a user's method can raise anything
        raise InputError(f"The method '{method.name}' failed: {type(error).__name__}: {error}") from error
    if fused.shape[:2] != a.shape[:2]:
        sizes = [" x ".join(map(str, x.shape[:2])) for x in (a, fused)]
        raise InputError(
            f"The method '{method.name}' returned an image of the wrong size.\n  expected: {sizes[0]}\n"
            f"  got: {sizes[1]}"
        )
    if fused.dtype.kind == "f":
        fused = to_array(to_tensor(fused.astype(np.float32)), np.uint8)
    return fused
