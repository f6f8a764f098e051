"""`refinefuse bench`."""

from __future__ import annotations

from pathlib import Path


def run(
    *,
    weights: str = "",
    backends: str = "",
    precisions: str = "auto",
    sizes: str = "480x640",
    device: str = "auto",
    threads: int = 0,
    repeats: int = 9,
    reference: bool = False,
    json: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Time and memory of the networks on this machine, every combination, interleaved in one run.

    What is timed is fusing one pair of gray images from memory to memory; reading and writing files is not.

    Args:
        weights: shipped names or files, ONNX files too, with commas between; by default all that ship.
        backends: torch, onnxruntime, openvino, with commas between; by default all that are installed.
        precisions: auto, float32, bfloat16, float16, with commas between; for torch alone.
        sizes: HEIGHTxWIDTH in pixels, with commas between.
        device: where torch computes: auto, cpu, cuda, cuda:N or mps.
        threads: of the processor; 0: all that this process may use.
        repeats: how often each is timed; the median counts.
        reference: also as multiples of the time of a fixed reference network (ten 3x3 convolutions of 32 channels,
            float32), which can be compared between machines, and as a fraction of the fastest convolution here.
        json: write all figures to this file.
        overwrite: replace a file that is there.
    """
    from refinefuse.inference.device import retain_freed_memory
    from refinefuse.inference.resources import limit_threads

    retain_freed_memory()
    limit_threads()
    import torch

    from refinefuse.atomic import write_atomic
    from refinefuse.benchmark.speed import as_json, as_text, installed_backends, measure, setups_of
    from refinefuse.cli.parsing import parse_size
    from refinefuse.errors import check_field
    from refinefuse.image.files import check_target
    from refinefuse.weights.store import shipped

    if json is not None:
        check_target(json, overwrite=overwrite, suffixes=(".json",))
    check_field(threads >= 0, "threads", "0 or more", threads)
    setups = setups_of(
        _listed(weights) or list(shipped()),
        _listed(backends) or installed_backends(),  # type: ignore[arg-type]  # what is unknown, Fuser refuses
        _listed(precisions),  # type: ignore[arg-type]
        [parse_size("--sizes", text) for text in _listed(sizes)],
        device,
        threads or torch.get_num_threads(),
    )
    speeds = measure(setups, repeats, reference=reference)
    print(as_text(speeds, reference=reference))
    if json is not None:
        write_atomic(json, as_json(speeds, repeats).encode())
    return 0


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
