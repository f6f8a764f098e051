"""RefineFuse: fuse two aligned images of one scene that different sensors took.

The names below are the whole public interface; each is imported when it is first used, so that `import refinefuse`
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from refinefuse import errors, metrics
    from refinefuse.errors import RefineFuseError
    from refinefuse.image.files import read_image, write_image
    from refinefuse.inference.fuser import Fuser, fuse, load_model
    from refinefuse.network.config import NetworkConfig
    from refinefuse.network.model import RefineFuse

_LAZY_ATTRIBUTES = {
    "Fuser": "refinefuse.inference.fuser",
    "NetworkConfig": "refinefuse.network.config",
    "RefineFuse": "refinefuse.network.model",
    "RefineFuseError": "refinefuse.errors",
    "errors": "refinefuse",
    "fuse": "refinefuse.inference.fuser",
    "load_model": "refinefuse.inference.fuser",
    "metrics": "refinefuse",
    "read_image": "refinefuse.image.files",
    "write_image": "refinefuse.image.files",
}

__all__ = [
    "Fuser",
    "NetworkConfig",
    "RefineFuse",
    "RefineFuseError",
    "errors",
    "fuse",
    "load_model",
    "metrics",
    "read_image",
    "write_image",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    home = _LAZY_ATTRIBUTES.get(name)
    if home is None:
        raise AttributeError(f"module 'refinefuse' has no attribute {name!r}")
    return import_module(f"refinefuse.{name}") if home == "refinefuse" else getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
