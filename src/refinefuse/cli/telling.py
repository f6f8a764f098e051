"""What `refinefuse fuse` says of pictures and of videos, and with which exit code. Imports torch: only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refinefuse.alignment.transform import Transform
from refinefuse.errors import InputError, listing
from refinefuse.inference.folders import Targets, fuse_files, fuse_folders
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.placing import Placing
from refinefuse.inference.thermal import Reading
from refinefuse.inference.video.fuse import fuse_videos

WINDOW = 2.0
"""Seconds of the stretch whose frame rate is told as the lowest."""


def fuse_and_tell_pictures(
    load: Callable[[], Fuser],
    sources: Sequence[Path],
    targets: Targets,
    reading: Reading,
    placing: Placing,
    each: bool,
    overwrite: bool,
) -> int:
    """Fuse files or folders of pictures and say what became of them."""
    if not any(source.is_dir() for source in sources):
        for doubt in fuse_files(load(), sources, targets, reading, placing, overwrite=overwrite):
            print(f"warning: {doubt}.", file=sys.stderr)
        return 0
    outcome = fuse_folders(load, sources, targets, reading, placing, each=each, overwrite=overwrite)
    counts = f"{len(outcome.fused)} fused, {len(outcome.skipped)} there already, {len(outcome.failed)} failed"
    print(f"{counts}. See '{targets.output}'.")
    for fitted in outcome.ranges:
        print(f"range: {fitted.low:g} to {fitted.high:g} counts, in every picture (--range-each: by picture)")
    _report(outcome.doubts, outcome.failed, outcome.alone)
    return 1 if outcome.failed or outcome.alone else 0


def fuse_and_tell_videos(
    load: Callable[[], Fuser],
    names: Sequence[str],
    output: Path,
    reading: Reading,
    transform: Transform | None,
    how: Mapping[str, Any],
    overwrite: bool,
) -> int:
    """Fuse two videos and say what became of them."""
    if len(names) != 2:
        raise InputError(f"Videos are fused in pairs.\n  expected: 2 sources\n  got: {len(names)}")
    a, b = names
    outcome = fuse_videos(load, a, b, output, reading, transform, **how, overwrite=overwrite)
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
        print(f"\nDamaged frames ({len(outcome.damaged)}):\n{listing(outcome.damaged)}", file=sys.stderr)
    if outcome.failure:
        print(f"\n{outcome.failure}", file=sys.stderr)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return 1 if outcome.damaged or outcome.failure else 0


def _report(doubts: dict[str, list[str]], failed: dict[str, str], alone: list[str]) -> None:
    """Say on standard error what looks wrong, and what was not fused."""
    for doubt, names in doubts.items():
        print(f"warning, in {len(names)} of the pairs: {doubt}.\n{listing(names)}", file=sys.stderr)
    for name, message in failed.items():
        print(f"\n{name}: {message}", file=sys.stderr)
    if alone:
        print(f"\nWithout a partner of the same name ({len(alone)}):\n{listing(alone)}", file=sys.stderr)
