"""`refinefuse fuse`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal


def run(
    a: Path,
    b: Path,
    *,
    output: Path,
    weights: str = "infrared-visible",
    color: Literal["b", "a", "both", "gray"] = "b",
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    explain: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Fuse a pair of pictures, or two folders of them.

    In two folders, pictures are paired by name without extension; what is fused already is skipped unless
    --overwrite is given.

    Args:
        a: infrared (CT, MRI) picture or folder: the source that gives no colour.
        b: visible (PET, SPECT) picture or folder: the source whose colour is kept.
        output: the fused picture, or the folder for fused pictures (PNG).
        weights: a shipped name, a .safetensors file, a folder, or a repository of the Hugging Face Hub.
        color: whose colour the result gets; `both` weighs each by its saturation.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the network's features; auto is float32 on a CPU.
        explain: also write which share of each pixel came from `a`, as a grey picture (white: all). A folder in a
            folder run.
        sheet: also write `a`, `b` and the result side by side. A folder in a folder run.
        overwrite: replace files that are there.
    """
    from refinefuse.inference.device import keep_freed_memory

    keep_freed_memory()
    from refinefuse.inference.folders import Targets, fuse_files, fuse_folders
    from refinefuse.inference.fuser import Fuser

    def load() -> Fuser:
        return Fuser(weights, device=device, precision=precision, color=color)

    targets = Targets(output, explain, sheet)
    if not (a.is_dir() or b.is_dir()):
        fuse_files(load(), a, b, targets, overwrite=overwrite)
        return 0
    outcome = fuse_folders(load, a, b, targets, overwrite=overwrite)
    counts = f"{len(outcome.fused)} fused, {len(outcome.skipped)} there already, {len(outcome.failed)} failed"
    print(f"{counts}. See '{output}'.")
    _report(outcome.failed, outcome.alone)
    return 1 if outcome.failed or outcome.alone else 0


def _report(failed: dict[str, str], alone: list[str]) -> None:
    """Say on standard error what was not fused."""
    from refinefuse.errors import listing

    for name, message in failed.items():
        print(f"\n{name}: {message}", file=sys.stderr)
    if alone:
        print(f"\nWithout a partner of the same name ({len(alone)}):\n{listing(alone)}", file=sys.stderr)
