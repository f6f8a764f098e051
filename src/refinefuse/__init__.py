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
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.inference.folders import fuse_folder
    from refinefuse.inference.fuser import Fuser, FusionResult, fuse, list_models, load_model
    from refinefuse.inference.inspection import PairWarning, inspect_pair
    from refinefuse.inference.stills import FolderResult
    from refinefuse.inference.thermal import ThermalOptions
    from refinefuse.inference.video.fuse import fuse_video
    from refinefuse.inference.video.options import VideoOptions, VideoResult
    from refinefuse.inference.volume_options import VolumeOptions, VolumeResult
    from refinefuse.inference.volumes import fuse_volume
    from refinefuse.network.config import NetworkConfig
    from refinefuse.network.model import RefineFuse

_LAZY_ATTRIBUTES = {
    "AlignmentOptions": "refinefuse.inference.alignment_options",
    "FolderResult": "refinefuse.inference.stills",
    "Fuser": "refinefuse.inference.fuser",
    "FusionResult": "refinefuse.inference.fuser",
    "NetworkConfig": "refinefuse.network.config",
    "PairWarning": "refinefuse.inference.inspection",
    "RefineFuse": "refinefuse.network.model",
    "RefineFuseError": "refinefuse.errors",
    "ThermalOptions": "refinefuse.inference.thermal",
    "VideoOptions": "refinefuse.inference.video.options",
    "VideoResult": "refinefuse.inference.video.options",
    "VolumeOptions": "refinefuse.inference.volume_options",
    "VolumeResult": "refinefuse.inference.volume_options",
    "errors": "refinefuse",
    "fuse": "refinefuse.inference.fuser",
    "fuse_folder": "refinefuse.inference.folders",
    "fuse_video": "refinefuse.inference.video.fuse",
    "fuse_volume": "refinefuse.inference.volumes",
    "inspect_pair": "refinefuse.inference.inspection",
    "list_models": "refinefuse.inference.fuser",
    "load_model": "refinefuse.inference.fuser",
    "metrics": "refinefuse",
    "read_image": "refinefuse.image.files",
    "write_image": "refinefuse.image.files",
}

__all__ = [
    "AlignmentOptions",
    "FolderResult",
    "Fuser",
    "FusionResult",
    "NetworkConfig",
    "PairWarning",
    "RefineFuse",
    "RefineFuseError",
    "ThermalOptions",
    "VideoOptions",
    "VideoResult",
    "VolumeOptions",
    "VolumeResult",
    "errors",
    "fuse",
    "fuse_folder",
    "fuse_video",
    "fuse_volume",
    "inspect_pair",
    "list_models",
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
