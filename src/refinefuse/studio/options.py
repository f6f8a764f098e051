"""What a user of the studio can choose about a job. Only names and numbers: no path of this machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from refinefuse.alignment.align import TransformChoice
from refinefuse.image.color import Color
from refinefuse.image.medical.intensity import Colormap
from refinefuse.inference.backend import Backend
from refinefuse.inference.thermal import Polarity

#: What a job fuses: one pair, all pairs of two folders, two videos, or two medical volumes.
Kind = Literal["images", "folders", "videos", "volumes"]
VolumeModality = Literal["", "ct", "mri", "pet", "spect"]


class Options(BaseModel):
    """The options of a job. Each kind of job reads those that concern it.

    Attributes:
        weights: a name in the list of the studio; empty: the default of the kind.
        backend: what computes the network.
        color: whose color the result gets.
        range: of `a`, as `IntensityRange.parse` reads it; empty: raw counts get their own, images are as stored.
        polarity: what hot things are in `a`.
        align: estimate the transform first.
        transform_type: what `align` may change.
        metrics: evaluate the result.
        frame_stride: fuse each n-th frame.
        window: of CT.
        volume_range: of all volumes but the last.
        suv_range: of PET.
        colormap: of the last volume.
        grid: the volume whose grid the result gets.
        modality_a: of the first volume.
        modality_b: of the last volume.
        dicom: write DICOM instead of NIfTI.
        anonymize: keep nothing of patient and study.
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
