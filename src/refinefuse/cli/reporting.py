"""What `refinefuse fuse` says of images and of videos, and with which exit code. Imports torch: only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refinefuse.alignment.transform import Transform
from refinefuse.errors import InputError, format_names
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.folders import OutputPaths, fuse_files, fuse_folders
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.video.fuse import fuse_videos

WINDOW = 2.0
"""Seconds of the stretch whose frame rate is told as the lowest."""


def fuse_and_tell_images(
    load: Callable[[], Fuser],
    sources: Sequence[Path],
    targets: OutputPaths,
    thermal: ThermalOptions,
    alignment: AlignmentOptions,
    each: bool,
    overwrite: bool,
) -> int:
    """Fuse files or folders of images and say what became of them."""
    if not any(source.is_dir() for source in sources):
        for warning in fuse_files(load(), sources, targets, thermal, alignment, overwrite=overwrite):
            print(f"warning: {warning}.", file=sys.stderr)
        return 0
    outcome = fuse_folders(load, sources, targets, thermal, alignment, each=each, overwrite=overwrite)
    counts = f"{len(outcome.fused)} fused, {len(outcome.skipped)} there already, {len(outcome.failed)} failed"
    print(f"{counts}. See '{targets.output}'.")
    for fitted in outcome.ranges:
        print(f"range: {fitted.low:g} to {fitted.high:g} counts, in every image (--range-per-image: by image)")
    _report(outcome.warnings, outcome.failed, outcome.unpaired)
    return 1 if outcome.failed or outcome.unpaired else 0


def fuse_and_tell_videos(
    load: Callable[[], Fuser],
    names: Sequence[str],
    output: Path,
    thermal: ThermalOptions,
    transform: Transform | None,
    how: Mapping[str, Any],
    overwrite: bool,
) -> int:
    """Fuse two videos and say what became of them."""
    if len(names) != 2:
        raise InputError(f"Videos are fused in pairs.\n  expected: 2 sources\n  got: {len(names)}")
    a, b = names
    outcome = fuse_videos(load, a, b, output, thermal, transform, **how, overwrite=overwrite)
    rate, lowest = outcome.frames / outcome.seconds, outcome.lowest_rate(WINDOW)
    slowest = outcome.slowest()
    at_least = "" if lowest is None else f", at least {lowest:.1f} in any {WINDOW:g} s"
    print(
        f"{outcome.frames} frames in {outcome.seconds:.1f} s, {rate:.1f} a second{at_least}; slowest: {slowest.name} "
        f"({slowest.busy / outcome.seconds:.0%} of the time). See '{output}'."
    )
    if outcome.note:
        print(f"{outcome.note}.")
    if outcome.damaged:
        print(f"\nDamaged frames ({len(outcome.damaged)}):\n{format_names(outcome.damaged)}", file=sys.stderr)
    if outcome.failure:
        print(f"\n{outcome.failure}", file=sys.stderr)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return 1 if outcome.damaged or outcome.failure else 0


def _report(warnings: dict[str, list[str]], failed: dict[str, str], unpaired: list[str]) -> None:
    """Say on standard error what looks wrong, and what was not fused."""
    for warning, names in warnings.items():
        print(f"warning, in {len(names)} of the pairs: {warning}.\n{format_names(names)}", file=sys.stderr)
    for name, message in failed.items():
        print(f"\n{name}: {message}", file=sys.stderr)
    if unpaired:
        print(f"\nWithout a partner of the same name ({len(unpaired)}):\n{format_names(unpaired)}", file=sys.stderr)
