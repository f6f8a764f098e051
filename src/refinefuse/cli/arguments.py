"""Option groups shared by several commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from refinefuse.alignment.transform import Transform
    from refinefuse.image.color import Color
    from refinefuse.image.medical.options import VolumeOptions
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.inference.fuser import Fuser
    from refinefuse.inference.thermal import ThermalOptions


@dataclass
class NetworkArguments:
    """Network.

    Attributes:
        weights: Shipped name, .safetensors or .onnx file, folder, or hf://owner/name.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: Feature precision.
        backend: Runtime for the network. auto is torch, or onnxruntime for an ONNX file.
        tile: Tile size for large images: pixels, auto or off.
        contrast: From 0 (source mean) to 1 (brighter source); default: as in the weights.
    """

    weights: str | None = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    backend: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    tile: Literal["auto", "off"] | int = "auto"
    contrast: float | None = None

    def load(self, default: str, color: Color = "b") -> Fuser:
        """Create the fuser."""
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
        range: Black and white points: full, percentile:LOW,HIGH, MIN,MAX or celsius:MIN,MAX; fixed over a video.
            Without it, the range of the data type.
        polarity: How A shows hot objects. auto warns of black-hot images; black-hot inverts A.
    """

    range: str | None = None
    polarity: Literal["auto", "white-hot", "black-hot"] = "auto"

    def options(self, *, per_image: bool = False, palette: str | None = None) -> ThermalOptions:
        """Convert to the library's options."""
        from refinefuse.image.thermal import IntensityRange
        from refinefuse.inference.thermal import ThermalOptions

        return ThermalOptions(
            None if self.range is None else IntensityRange.parse(self.range), self.polarity, per_image, palette=palette
        )


@dataclass
class FolderThermalArguments(ThermalArguments):
    """Thermal source A.

    Attributes:
        range: Black and white points: full, percentile:LOW,HIGH, MIN,MAX or celsius:MIN,MAX; fixed over a folder.
            Without it, raw 16-bit counts get percentiles 0.1 to 99.9, others the range of their type.
        polarity: How A shows hot objects. auto warns of black-hot images; black-hot inverts A.
        range_per_image: Fit the range to each image of a folder.
        palette: Convert false color to values: jet, iron, rainbow, hot, inferno, turbo ...
    """

    range_per_image: bool = False
    palette: str | None = None


@dataclass
class RegistrationArguments:
    """Alignment.

    Attributes:
        align: Align each pair first (`refinefuse align` has more options).
        transform_type: Type of transform that --align estimates.
        transform: Apply a transform to A, from `refinefuse align --save-transform`.
        rig: Apply a rig to A, from `refinefuse rig calibrate`.
        distance: Distance of the scene in meters, for a rig calibrated at two distances.
        strict: Refuse pairs that cause warnings, such as misaligned or false-color ones.
    """

    align: bool = False
    transform_type: Literal["auto", "translation", "rigid", "similarity", "affine", "homography", "bspline"] = "auto"
    transform: Path | None = None
    rig: Path | None = None
    distance: float | None = None
    strict: bool = False

    def options(self) -> AlignmentOptions:
        """Convert to the library's options."""
        from refinefuse.inference.alignment_options import AlignmentOptions

        transform = load_given(self.transform, self.rig, self.distance)
        return AlignmentOptions(self.align, transform, self.transform_type, self.strict)


@dataclass
class VolumeArguments:
    """Volumes.

    Attributes:
        window: CT window: brain, bone, lung, tissue or CENTER,WIDTH in HU.
        range: Black and white points of all sources but the last, whatever their modality: MIN,MAX or
            percentile:LOW,HIGH.
        suv_range: Black and white points of PET: MIN,MAX in SUV by body weight.
        colormap: Colormap of the last volume; without it, inferno for PET and SPECT, otherwise none.
        kind: Modality of each source (ct, mri, pet or spect), separated by commas; without it, from the file or its
            name.
        series: Numbers or UIDs of the DICOM series, separated by commas, if a folder holds several.
    """

    window: str | None = None
    range: str | None = None
    suv_range: str | None = None
    colormap: Literal["inferno", "magma", "hot", "gray"] | None = None
    kind: str | None = None
    series: str | None = None

    def options(self, count: int) -> VolumeOptions:
        """Convert to the library's options for `count` volumes."""
        from refinefuse.image.medical.intensity import parse_kinds
        from refinefuse.image.medical.options import VolumeOptions, parse_series

        return VolumeOptions(
            window=self.window,
            range=self.range,
            suv_range=self.suv_range,
            colormap=self.colormap,
            series=parse_series(self.series),
            kinds=parse_kinds(self.kind, count) if self.kind else (),
        )


def load_given(transform: Path | None, rig: Path | None = None, distance: float | None = None) -> Transform | None:
    """Load a transform from a file, or that of a rig at a distance; None if neither is given.

    Raises:
        InputError: both are given, or a distance without a rig.
    """
    from refinefuse.alignment.transform import load_transform
    from refinefuse.errors import InputError
    from refinefuse.rig.model import holds_rig, load_rig

    if transform is not None and rig is not None:
        raise InputError("--transform and --rig exclude each other.\nUse one of them.")
    rig = transform if transform is not None and holds_rig(transform) else rig
    if rig is not None:
        return load_rig(rig).transform(distance)
    if distance is not None:
        raise InputError("--distance needs a rig.\nAdd --rig.")
    return None if transform is None else load_transform(transform)
