"""`refinefuse fuse`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal


def run(
    a: str,
    b: str,
    *more: str,
    output: Path,
    weights: str | None = None,
    color: Literal["b", "a", "both", "gray"] = "b",
    range: str | None = None,  # noqa: A002  # the option's name
    range_per_image: bool = False,
    white_hot: bool = False,
    black_hot: bool = False,
    window: str | None = None,
    suv_range: str | None = None,
    colormap: Literal["inferno", "magma", "hot", "gray"] | None = None,
    grid: Literal["a", "b"] | None = None,
    kind: str | None = None,
    series: str | None = None,
    anonymize: bool = False,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    backend: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto",
    weight_map: Path | None = None,
    montage: Path | None = None,
    tile: Literal["auto", "off"] | int = "auto",
    codec: Literal["auto", "h264", "hevc", "ffv1"] = "auto",
    fps: float | None = None,
    frame_stride: int = 1,
    on_error: Literal["skip", "stop"] = "skip",
    align: bool = False,
    transform: Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> int:
    """Fuse a pair of images, medical volumes or videos, or two folders of images.

    In two folders, images are paired by name without extension; what is fused already is skipped unless
    --overwrite is given. With three and more sources, the last is the one whose color is kept; the order of the
    others plays no part.

    Videos are files, cameras (/dev/video0) or streams (rtsp://...), and folders if OUTPUT is a video (extra `video`).

    NIfTI files, DICOM files and folders of DICOM files are volumes (extra `medical`; not a medical device).

    Args:
        a: infrared (CT, MRI) image, video or folder: the source that gives no color.
        b: visible (PET, SPECT) image, video or folder: the source whose color is kept; of videos also its pace and
            sound.
        more: further sources; the last of all is then the one whose color is kept.
        output: the fused image or video, or the folder for fused images (PNG). Of volumes: .nii, .nii.gz, or a
            folder for DICOM.
        weights: a shipped name, a .safetensors or .onnx file, a folder, or a repository of the Hugging Face Hub; by
            default infrared-visible.
        color: whose color the result gets; `both` weighs each by its saturation.
        range: which counts of `a` become black and white: full, percentile:LOW,HIGH, MIN,MAX or celsius:MIN,MAX; fixed
            over a folder or volume. Without it, all that the file's type can hold; for volumes, by what made them.
        range_per_image: fit the range to each image of a folder by itself.
        white_hot: hot things are bright in `a`: do not check.
        black_hot: hot things are dark in `a`: turn it round before fusing.
        window: of CT volumes: brain, bone, lung, tissue or CENTER,WIDTH in Hounsfield units.
        suv_range: MIN,MAX of PET volumes, in SUV by body weight.
        colormap: of the last volume; without it, inferno for PET and SPECT, and none otherwise.
        grid: the source on whose grid volumes are fused; by default the one with the smallest voxels.
        kind: A,B: the modality of each volume (ct, mri, pet or spect); by default by the file or its name.
        series: A,B: numbers or UIDs of the DICOM series, where a folder holds several.
        anonymize: keep nothing of patient and study in DICOM results.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the network's features; auto is float32 on a CPU.
        backend: what computes the network; onnxruntime and openvino use the CPU. auto is torch, and onnxruntime for an
            ONNX file that `refinefuse export` wrote.
        weight_map: also write which share of each pixel came from `a`, as a gray image (white: all). A folder in a
            folder run.
        montage: also write `a`, `b` and the result side by side. A folder in a folder run.
        tile: side of the tiles in which large images are painted, in pixels, or auto or off. The result does not
            depend on it; TIFF files larger than the memory are read and written piece by piece.
        codec: of a fused video; auto is h264, but ffv1 (without loss) for .avi.
        fps: frames a second of folders that become a video; by default those of the video beside it, or 25.
        frame_stride: fuse only each n-th frame of a video.
        on_error: leave a damaged frame of a video out, or stop there.
        align: bring `a` onto the grid of `b` first, each pair by itself (`refinefuse align` has more options).
        transform: bring `a` onto the grid of `b` by this transform, from `refinefuse align --save-transform`.
        strict: refuse pairs that look misaligned, swapped or inverted, instead of warning.
        overwrite: replace files that are there.
    """
    from refinefuse.cli.reporting import fuse_and_tell_images, fuse_and_tell_videos
    from refinefuse.errors import InputError
    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.inference.resources import limit_threads

    retain_freed_memory()
    limit_threads()
    from refinefuse.alignment.transform import load_transform
    from refinefuse.image.medical.intensity import parse_kinds
    from refinefuse.image.thermal import IntensityRange
    from refinefuse.inference.alignment_options import AlignmentOptions
    from refinefuse.inference.folders import OutputPaths
    from refinefuse.inference.fuser import Fuser
    from refinefuse.inference.thermal import ThermalOptions
    from refinefuse.inference.video.sources import is_video
    from refinefuse.inference.volumes import VolumeOptions, are_volumes, fuse_volumes
    from refinefuse.weights.store import DEFAULT, MEDICAL

    if white_hot and black_hot:
        raise InputError("--white-hot and --black-hot exclude each other.\nGive the one that is true of `a`.")
    if align and transform is not None:
        raise InputError(
            "--align and --transform exclude each other.\n--align looks for the motion, --transform knows it: give one."
        )
    names, targets = (a, b, *more), OutputPaths(output, weight_map, montage)
    sources = tuple(map(Path, names))
    videos = any(map(is_video, (*names, str(output))))
    volumes = not videos and are_volumes(sources)
    if not videos:
        _check_unused(
            "videos", codec=codec != "auto", fps=fps, frame_stride=frame_stride != 1, on_error=on_error != "skip"
        )
    if volumes or videos:
        _check_unused("images", align=align, strict=strict)
    if volumes:
        _check_unused("images and videos", transform=transform)
        _check_unused("images", range_per_image=range_per_image, white_hot=white_hot, black_hot=black_hot)
    else:
        _check_unused(
            "volumes", window=window, suv_range=suv_range, colormap=colormap, grid=grid, kind=kind, series=series,
            anonymize=anonymize,
        )  # fmt: skip

    def load() -> Fuser:
        chosen = weights or (MEDICAL if volumes else DEFAULT)
        return Fuser(chosen, device=device, precision=precision, color=color, tile=tile, backend=backend)

    if volumes:
        options = VolumeOptions.parse(
            window, range, suv_range, series, colormap=colormap, grid=grid, anonymize=anonymize,
            kinds=parse_kinds(kind, len(sources)) if kind else (),
        )  # fmt: skip
        told = fuse_volumes(load, sources, targets, options, overwrite=overwrite)
        print("\n".join(told.messages))
        for warning in told.warnings:
            print(f"warning: {warning}.", file=sys.stderr)
        return 0
    polarity: Literal["white-hot", "black-hot"] | None = (
        "white-hot" if white_hot else "black-hot" if black_hot else None
    )
    thermal = ThermalOptions(None if range is None else IntensityRange.parse(range), polarity)
    alignment = AlignmentOptions(align, None if transform is None else load_transform(transform), strict)
    if videos:
        _check_unused("images", weight_map=weight_map, montage=montage, range_per_image=range_per_image)
        how = {"codec": codec, "fps": fps, "frame_stride": frame_stride, "on_error": on_error}
        return fuse_and_tell_videos(load, names, output, thermal, alignment.transform, how, overwrite)
    return fuse_and_tell_images(load, sources, targets, thermal, alignment, range_per_image, overwrite)


def _check_unused(kind: str, /, **options: object) -> None:
    """Refuse options that would say nothing about the sources."""
    from refinefuse.errors import InputError

    used = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if used:
        raise InputError(f"{', '.join(used)}: for {kind} only, and the sources are none.\nLeave it out.")
