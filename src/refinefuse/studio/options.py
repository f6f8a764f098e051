"""Job options that a user of the studio can choose: only names and numbers, no paths."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from refinefuse.alignment.align import TransformChoice
from refinefuse.image.color import Color
from refinefuse.image.medical.intensity import Colormap
from refinefuse.inference.backend import Backend
from refinefuse.inference.thermal import Polarity

#: Input of a job: one pair, all pairs of two folders, two videos, or two medical volumes.
Kind = Literal["images", "folders", "videos", "volumes"]
VolumeModality = Literal["", "ct", "mri", "pet", "spect"]


class Options(BaseModel):
    """Options of a job. Each kind of job uses those that apply to it.

    Attributes:
        weights: name from the list of the studio; empty for the default of the kind.
        backend: runtime of the network.
        color: source of the color.
        range: range of `a`, as for `IntensityRange.parse`; empty fits it to raw counts and leaves images as stored.
        polarity: how hot objects appear in `a`.
        align: estimate a transform first.
        transform_type: type of transform to estimate.
        metrics: evaluate the result.
        frame_stride: fuse every n-th frame.
        window: CT window.
        volume_range: range of all volumes but the last.
        suv_range: range of PET in SUV.
        colormap: colormap of the last volume.
        grid: volume whose grid the result gets.
        modality_a: modality of the first volume.
        modality_b: modality of the last volume.
        dicom: write DICOM instead of NIfTI.
        anonymize: remove all patient and study data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str = Field(default="", max_length=100)
    backend: Backend = "auto"
    color: Color = "b"
    range: str = Field(default="", max_length=80)
    polarity: Polarity = "auto"
    align: bool = False
    transform_type: TransformChoice = "auto"
    metrics: bool = True
    frame_stride: int = Field(default=1, ge=1, le=10_000)
    window: str = Field(default="", max_length=40)
    volume_range: str = Field(default="", max_length=80)
    suv_range: str = Field(default="", max_length=40)
    colormap: Colormap | None = None
    grid: Literal["a", "b"] | None = None
    modality_a: VolumeModality = ""
    modality_b: VolumeModality = ""
    dicom: bool = False
    anonymize: bool = True
