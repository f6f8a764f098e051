"""`refinefuse fuse`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal


def run(
    a: Path,
    b: Path,
    *more: Path,
    output: Path,
    weights: str | None = None,
    color: Literal["b", "a", "both", "gray"] = "b",
    range: str | None = None,  # noqa: A002  # the option's name
    range_each: bool = False,
    white_hot: bool = False,
    black_hot: bool = False,
    window: str | None = None,
    suv: str | None = None,
    colormap: Literal["inferno", "magma", "hot", "gray"] | None = None,
    grid: Literal["a", "b"] = "b",
    series: str | None = None,
    anonymize: bool = False,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    explain: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Fuse a pair of pictures or medical volumes, or two folders of pictures.

    In two folders, pictures are paired by name without extension; what is fused already is skipped unless
    --overwrite is given. With three and more sources, the last is the one whose colour is kept; the order of the
    others plays no part.

    NIfTI files, DICOM files and folders of DICOM files are volumes (extra `medical`; not a medical device).

    Args:
        a: infrared (CT, MRI) picture or folder: the source that gives no colour.
        b: visible (PET, SPECT) picture or folder: the source whose colour is kept.
        more: further sources; the last of all is then the one whose colour is kept.
        output: the fused picture, or the folder for fused pictures (PNG). Of volumes: .nii, .nii.gz, or a folder for
            DICOM.
        weights: a shipped name, a .safetensors file, a folder, or a repository of the Hugging Face Hub; by default
            infrared-visible.
        color: whose colour the result gets; `both` weighs each by its saturation.
        range: which counts of `a` become black and white: full, percentile:LOW,HIGH, MIN,MAX or celsius:MIN,MAX; fixed
            over a folder or volume. Without it, all that the file's type can hold; for volumes, by what made them.
        range_each: fit the range to each picture of a folder by itself.
        white_hot: hot things are bright in `a`: do not check.
        black_hot: hot things are dark in `a`: turn it round before fusing.
        window: of CT volumes: brain, bone, lung, tissue or CENTER,WIDTH in Hounsfield units.
        suv: MIN,MAX of PET volumes, in SUV by body weight.
        colormap: of the last volume; without it, inferno for PET and SPECT, and none otherwise.
        grid: whether volumes are fused on the grid of `a` or of `b`.
        series: A,B: numbers or UIDs of the DICOM series, where a folder holds several.
        anonymize: keep nothing of patient and study in DICOM results.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the network's features; auto is float32 on a CPU.
        explain: also write which share of each pixel came from `a`, as a grey picture (white: all). A folder in a
            folder run.
        sheet: also write `a`, `b` and the result side by side. A folder in a folder run.
        overwrite: replace files that are there.
    """
    from refinefuse.errors import InputError
    from refinefuse.inference.device import keep_freed_memory

    keep_freed_memory()
    from refinefuse.image.thermal import Range
    from refinefuse.inference.folders import Targets, fuse_files, fuse_folders
    from refinefuse.inference.fuser import Fuser
    from refinefuse.inference.thermal import Reading
    from refinefuse.inference.volumes import VolumeOptions, are_volumes, fuse_volumes
    from refinefuse.weights.store import DEFAULT, MEDICAL

    if white_hot and black_hot:
        raise InputError("--white-hot and --black-hot exclude each other.\nGive the one that is true of `a`.")
    sources, targets = (a, b, *more), Targets(output, explain, sheet)
    volumes = are_volumes(sources)
    if volumes:
        _check_unused("pictures", range_each=range_each, white_hot=white_hot, black_hot=black_hot)
    else:
        _check_unused(
            "volumes", window=window, suv=suv, colormap=colormap, grid=grid == "a", series=series, anonymize=anonymize
        )

    def load() -> Fuser:
        chosen = weights or (MEDICAL if volumes else DEFAULT)
        return Fuser(chosen, device=device, precision=precision, color=color)

    if volumes:
        options = VolumeOptions.parse(window, range, suv, series, colormap=colormap, grid=grid, anonymize=anonymize)
        told = fuse_volumes(load, sources, targets, options, overwrite=overwrite)
        print("\n".join(told.lines))
        for warning in told.warnings:
            print(f"warning: {warning}.", file=sys.stderr)
        return 0
    polarity: Literal["white-hot", "black-hot"] | None = (
        "white-hot" if white_hot else "black-hot" if black_hot else None
    )
    reading = Reading(None if range is None else Range.parse(range), polarity)
    if not any(source.is_dir() for source in sources):
        for doubt in fuse_files(load(), sources, targets, reading, overwrite=overwrite):
            print(f"warning: {doubt}.", file=sys.stderr)
        return 0
    outcome = fuse_folders(load, sources, targets, reading, each=range_each, overwrite=overwrite)
    counts = f"{len(outcome.fused)} fused, {len(outcome.skipped)} there already, {len(outcome.failed)} failed"
    print(f"{counts}. See '{output}'.")
    for fitted in outcome.ranges:
        print(f"range: {fitted.low:g} to {fitted.high:g} counts, in every picture (--range-each: by picture)")
    _report(outcome.doubts, outcome.failed, outcome.alone)
    return 1 if outcome.failed or outcome.alone else 0


def _check_unused(kind: str, **options: object) -> None:
    """Refuse options that would say nothing about the sources."""
    from refinefuse.errors import InputError

    used = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if used:
        raise InputError(f"{', '.join(used)}: for {kind} only, and the sources are none.\nLeave it out.")


def _report(doubts: dict[str, list[str]], failed: dict[str, str], alone: list[str]) -> None:
    """Say on standard error what looks wrong, and what was not fused."""
    from refinefuse.errors import listing

    for doubt, names in doubts.items():
        print(f"warning, in {len(names)} of the pairs: {doubt}.\n{listing(names)}", file=sys.stderr)
    for name, message in failed.items():
        print(f"\n{name}: {message}", file=sys.stderr)
    if alone:
        print(f"\nWithout a partner of the same name ({len(alone)}):\n{listing(alone)}", file=sys.stderr)
