"""RefineFuse: fuse two aligned images of the same scene from different sensors.

The names below are the whole public interface. Each is imported on first use, so that `import refinefuse` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from refinefuse._version import __version__

if TYPE_CHECKING:
    from refinefuse import errors, losses, metrics
    from refinefuse.alignment.align import Alignment, SimilarityMetric, align
    from refinefuse.alignment.transform import Transform, TransformType
    from refinefuse.errors import RefineFuseError
    from refinefuse.image.color import Color
    from refinefuse.image.files import read_counts, read_image, write_image
    from refinefuse.image.medical.options import VolumeOptions
    from refinefuse.image.medical.registration import VolumeRegistration
    from refinefuse.image.thermal import IntensityRange
    from refinefuse.inference.align_volumes import align_volume
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.inference.backend import Backend
    from refinefuse.inference.device import Precision
    from refinefuse.inference.folders import fuse_folder
    from refinefuse.inference.fuser import Fuser, FusionResult, fuse, load_model
    from refinefuse.inference.inputs import ImageInput
    from refinefuse.inference.inspection import PairWarning, inspect_pair
    from refinefuse.inference.onnx_export import ExportReport, export_onnx
    from refinefuse.inference.results import FolderResult, VolumeResult
    from refinefuse.inference.thermal import ThermalOptions
    from refinefuse.inference.tiling import TileSize
    from refinefuse.inference.video.fuse import fuse_video
    from refinefuse.inference.video.options import VideoOptions, VideoResult
    from refinefuse.inference.volumes import fuse_volume
    from refinefuse.network.config import NetworkConfig
    from refinefuse.network.model import RefineFuse
    from refinefuse.rig.calibrate import calibrate_rig
    from refinefuse.rig.check import RigCheck, check_rig
    from refinefuse.rig.model import Rig, load_rig
    from refinefuse.scoring.folders import ScoreTable
    from refinefuse.scoring.score import score
    from refinefuse.training.entry import train
    from refinefuse.training.recipe import Recipe
    from refinefuse.weights.store import list_models

_MODULES = ("errors", "losses", "metrics")
_DEFINED_IN = {
    "Alignment": "alignment.align",
    "AlignmentOptions": "inference.alignment_options",
    "Backend": "inference.backend",
    "Color": "image.color",
    "ExportReport": "inference.onnx_export",
    "FolderResult": "inference.results",
    "Fuser": "inference.fuser",
    "FusionResult": "inference.fuser",
    "ImageInput": "inference.inputs",
    "IntensityRange": "image.thermal",
    "NetworkConfig": "network.config",
    "PairWarning": "inference.inspection",
    "Precision": "inference.device",
    "Recipe": "training.recipe",
    "RefineFuse": "network.model",
    "RefineFuseError": "errors",
    "Rig": "rig.model",
    "RigCheck": "rig.check",
    "ScoreTable": "scoring.folders",
    "SimilarityMetric": "alignment.align",
    "ThermalOptions": "inference.thermal",
    "TileSize": "inference.tiling",
    "Transform": "alignment.transform",
    "TransformType": "alignment.transform",
    "VideoOptions": "inference.video.options",
    "VideoResult": "inference.video.options",
    "VolumeOptions": "image.medical.options",
    "VolumeRegistration": "image.medical.registration",
    "VolumeResult": "inference.results",
    "align": "alignment.align",
    "align_volume": "inference.align_volumes",
    "calibrate_rig": "rig.calibrate",
    "check_rig": "rig.check",
    "export_onnx": "inference.onnx_export",
    "fuse": "inference.fuser",
    "fuse_folder": "inference.folders",
    "fuse_video": "inference.video.fuse",
    "fuse_volume": "inference.volumes",
    "inspect_pair": "inference.inspection",
    "list_models": "weights.store",
    "load_model": "inference.fuser",
    "load_rig": "rig.model",
    "read_counts": "image.files",
    "read_image": "image.files",
    "score": "scoring.score",
    "train": "training.entry",
    "write_image": "image.files",
}

__all__ = [
    "Alignment",
    "AlignmentOptions",
    "Backend",
    "Color",
    "ExportReport",
    "FolderResult",
    "Fuser",
    "FusionResult",
    "ImageInput",
    "IntensityRange",
    "NetworkConfig",
    "PairWarning",
    "Precision",
    "Recipe",
    "RefineFuse",
    "RefineFuseError",
    "Rig",
    "RigCheck",
    "ScoreTable",
    "SimilarityMetric",
    "ThermalOptions",
    "TileSize",
    "Transform",
    "TransformType",
    "VideoOptions",
    "VideoResult",
    "VolumeOptions",
    "VolumeRegistration",
    "VolumeResult",
    "__version__",
    "align",
    "align_volume",
    "calibrate_rig",
    "check_rig",
    "errors",
    "export_onnx",
    "fuse",
    "fuse_folder",
    "fuse_video",
    "fuse_volume",
    "inspect_pair",
    "list_models",
    "load_model",
    "load_rig",
    "losses",
    "metrics",
    "read_counts",
    "read_image",
    "score",
    "train",
    "write_image",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _MODULES:
        return import_module(f"refinefuse.{name}")
    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'refinefuse' has no attribute {name!r}")
    return getattr(import_module(f"refinefuse.{_DEFINED_IN[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
