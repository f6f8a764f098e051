"""Groups of options of several commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from refinefuse.alignment.transform import Transform
    from refinefuse.image.color import Color
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.inference.fuser import Fuser
    from refinefuse.inference.thermal import ThermalOptions


@dataclass
class NetworkArguments:
    """Network.

    Attributes:
        weights: Shipped name, .safetensors or .onnx file, folder, or hf://owner/name.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: Of the features.
        backend: What computes the network; auto is torch, and onnxruntime for an ONNX file.
        tile: Side of the tiles of large images in pixels, auto or off.
        contrast: From 0 (the mean of the sources) to 1 (the brighter); else the weights'.
    """

    weights: str | None = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    backend: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    tile: Literal["auto", "off"] | int = "auto"
    contrast: float | None = None

    def load(self, default: str, color: Color = "b") -> Fuser:
        """Make the fuser."""
        from refinefuse.inference.fuser import Fuser

        return Fuser(
            self.weights or default,
            color=color,
            device=self.device,
            precision=self.precision,
            backend=self.backend,
            tile=self.tile,
            contrast=self.contrast,
        )


@dataclass
class ThermalArguments:
    """Thermal source A.

    Attributes:
        range: Counts of the black and the white point: full, percentile:LOW,HIGH, MIN,MAX or celsius:MIN,MAX; fixed
            over a video. Without it, the range of the file's type.
        polarity: What hot things are in A. With auto, black-hot images cause a warning; with black-hot, A is inverted.
    """

    range: str | None = None
    polarity: Literal["auto", "white-hot", "black-hot"] = "auto"

    def options(self, *, per_image: bool = False, palette: str | None = None) -> ThermalOptions:
        """As the library takes them."""
        from refinefuse.image.thermal import IntensityRange
        from refinefuse.inference.thermal import ThermalOptions

        return ThermalOptions(
            None if self.range is None else IntensityRange.parse(self.range), self.polarity, per_image, palette=palette
        )


@dataclass
class FolderThermalArguments(ThermalArguments):
    """Thermal source A.

    Attributes:
        range: Counts of the black and the white point: full, percentile:LOW,HIGH, MIN,MAX or celsius:MIN,MAX; fixed
            over a folder. Without it, raw 16-bit counts get the range of nearly all of them, others that of their type.
        polarity: What hot things are in A. With auto, black-hot images cause a warning; with black-hot, A is inverted.
        range_per_image: Fit the range to each image of a folder separately.
        palette: Read false color as values: jet, iron, rainbow, hot, inferno, turbo ...
    """

    range_per_image: bool = False
    palette: str | None = None


@dataclass
class RegistrationArguments:
    """Alignment.

    Attributes:
        align: Align each pair first (`refinefuse align` has more options).
        transform_type: What --align may change.
        transform: Apply this transform to A, from `refinefuse align --save-transform`.
        rig: Apply this rig to A, from `refinefuse rig calibrate`.
        distance: Of the scene in meters, for a rig that was calibrated at two distances.
        strict: Refuse pairs with warnings, such as misaligned or false color.
    """

    align: bool = False
    transform_type: Literal["auto", "translation", "rigid", "similarity", "affine", "homography", "bspline"] = "auto"
    transform: Path | None = None
    rig: Path | None = None
    distance: float | None = None
    strict: bool = False

    def options(self) -> AlignmentOptions:
        """As the library takes them."""
        from refinefuse.inference.alignment_options import AlignmentOptions

        transform = load_given(self.transform, self.rig, self.distance)
        return AlignmentOptions(self.align, transform, self.transform_type, self.strict)


def load_given(transform: Path | None, rig: Path | None = None, distance: float | None = None) -> Transform | None:
    """The transform of a file, or that of a rig for things at a distance, if one is named.

    Raises:
        InputError: if both are named, or a distance without a rig.
    """
    from refinefuse.alignment.transform import load_transform
    from refinefuse.errors import InputError
    from refinefuse.rig.model import holds_rig, load_rig

    if transform is not None and rig is not None:
        raise InputError("--transform and --rig exclude each other.\nGive one of them.")
    rig = transform if transform is not None and holds_rig(transform) else rig
    if rig is not None:
        return load_rig(rig).transform(distance)
    if distance is not None:
        raise InputError("--distance needs the rig that is applied at that distance (--rig).")
    return None if transform is None else load_transform(transform)
