"""Methods: whatever gives a fused image for a pair.

A method that can be run fuses two images; the images of a `folder` and the numbers of a `scores` file are taken as
they are. Its `identity` is a checksum over everything that decides what it gives: when that changes, and only then,
results that are kept are made anew.
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
"""The entry points by which another package brings a method: a function of two images."""


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        name: what tables call it.
        kind: a key of `OPENERS` for a method that can be run, `folder` or `scores`.
        target: what the spec says after the colon, with variables filled in except for `{dataset}`.
        ranked: whether it is ranked.
        identity: checksum over what decides its results; empty where each image has its own.
        content: checksum of the weights, the ONNX file or the module alone, which the scores name.
        trained_on: for weights, the names of the datasets that they were trained on.
        published: a file of scores, with `{dataset}` in its path, for sets of which there are no images.
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
        """Whether it can fuse any pair."""
        return self.kind in OPENERS

    @property
    def slug(self) -> str:
        """Its name as that of a folder."""
        name = re.sub(r"[^\w.+-]+", "_", self.name)
        return name.replace(".", "_") if set(name) <= {"."} else name

    def open(self) -> Fuse:
        """The function that fuses two images; the first call of a process loads what it needs.

        Raises:
            RefineFuseError: what it needs cannot be loaded.
        """
        return _opened(self.kind, self.target)


@lru_cache(maxsize=64)
def _opened(kind: str, target: str) -> Fuse:
    return OPENERS[kind](target)


def load_module(module_name: str) -> ModuleType:
    """A module by its name, also from the current folder, or by the path of its file.

    Raises:
        ConfigError: it is not there, or cannot be imported.
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
    except Exception as error:  # whatever the user's file does
        raise ConfigError(f"Cannot run the file '{module_name}': {type(error).__name__}: {error}.") from error
    return module


def plugins() -> dict[str, EntryPoint]:
    """The methods that other packages bring, by name."""
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
    """Fuse a pair, and refuse a result that is no image of its size. Floating point becomes 8 bit, rounded half up.

    Raises:
        RefineFuseError: the method fails, or what it returns is no image of the sources' size with values in range.
    """
    try:
        fused = np.asarray(method.open()(a, b))
    except RefineFuseError:
        raise
    except Exception as error:  # whatever somebody's method does
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
