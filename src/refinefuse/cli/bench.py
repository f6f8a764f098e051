"""`refinefuse bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refinefuse.benchmark.speed import Speed


def run(
    *,
    weights: str = "",
    backends: str = "",
    precisions: str = "auto",
    sizes: str = "480x640",
    device: str = "auto",
    threads: int = 0,
    rounds: int = 9,
    calibrate: bool = False,
    json: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Time and memory of the networks on this machine, every combination in turns in one run.

    What is timed is fusing one pair of grey pictures from memory to memory; reading and writing files is not.

    Args:
        weights: shipped names or files, ONNX files too, with commas between; by default all that ship.
        backends: torch, onnxruntime, openvino, with commas between; by default all that are installed.
        precisions: auto, float32, bfloat16, float16, with commas between; for torch alone.
        sizes: HEIGHTxWIDTH in pixels, with commas between.
        device: where torch computes: auto, cpu, cuda, cuda:N or mps.
        threads: of the processor; 0: all that this process may use.
        rounds: how often each is timed; the median counts.
        calibrate: also as multiples of the time of a fixed reference network (ten 3x3 convolutions of 32 channels,
            float32), which can be compared between machines, and as a share of the fastest convolution here.
        json: write all figures to this file.
        overwrite: replace a file that is there.
    """
    from refinefuse.inference.device import keep_freed_memory
    from refinefuse.inference.resources import limit_threads

    keep_freed_memory()
    limit_threads()
    import torch

    from refinefuse.benchmark.speed import installed_backends, measure, setups_of
    from refinefuse.errors import InputError
    from refinefuse.image.files import check_target, place_file
    from refinefuse.weights.store import shipped

    if json is not None:
        check_target(json, overwrite=overwrite, endings=(".json",))
    if threads < 0:
        raise InputError(f"--threads must not be negative.\n  expected: 0 or more\n  found: {threads}")
    setups = setups_of(
        _listed(weights) or list(shipped()),
        _listed(backends) or installed_backends(),  # type: ignore[arg-type]  # what is unknown, Fuser refuses
        _listed(precisions),  # type: ignore[arg-type]
        [_size(text) for text in _listed(sizes)],
        device,
        threads or torch.get_num_threads(),
    )
    speeds = measure(setups, rounds, calibrate=calibrate)
    print(_table(speeds, calibrate=calibrate))
    if json is not None:
        place_file(json, _as_json(speeds, rounds).encode())
    return 0


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _size(text: str) -> tuple[int, int]:
    from refinefuse.errors import InputError

    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise InputError(f"--sizes must be HEIGHTxWIDTH in pixels, with commas between.\n  found: {text!r}")
    return int(height), int(width)


def _table(speeds: Sequence[Speed], *, calibrate: bool) -> str:
    """Markdown."""
    header = ["weights", "backend", "precision", "size", "ms", "frames/s", "Mpixel/s", "added MiB", "GFLOP"]
    header += ["units", "of the peak"] if calibrate else []
    rows = [header, ["---"] * len(header)]
    for speed in speeds:
        s = speed.setup
        cells = [s.weights, s.backend, s.precision if s.backend == "torch" else "as its file", f"{s.height}x{s.width}"]
        cells += [f"{speed.milliseconds:.1f}", f"{speed.frames_per_second:.1f}", f"{speed.megapixels_per_second:.2f}"]
        cells += [f"{speed.peak_mb:.0f}", f"{speed.gflop:.2f}"]
        cells += [f"{speed.units:.3f}", f"{speed.peak_share:.0%}"] if calibrate else []
        rows.append([cell if cell not in ("nan", "nan%") else "–" for cell in cells])
    where = speeds[0].setup
    said = f"{where.threads} thread{'s' * (where.threads > 1)}, medians of interleaved rounds"
    return "\n".join([said, "", *(f"| {' | '.join(row)} |" for row in rows)])


def _as_json(speeds: Sequence[Speed], rounds: int) -> str:
    import json
    import math
    import platform
    from dataclasses import asdict

    import torch

    import refinefuse

    rows = []
    for speed in speeds:
        row = asdict(speed)
        row = row.pop("setup") | row
        rows.append({name: None if isinstance(x, float) and math.isnan(x) else x for name, x in row.items()})
    about = {"version": refinefuse.__version__, "torch": torch.__version__, "machine": platform.processor()}
    return json.dumps({**about, "rounds": rounds, "speeds": rows}, indent=2) + "\n"
