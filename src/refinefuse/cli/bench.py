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
    """Measure time and memory of the networks on this machine, interleaved in one run.

    Times fusing one pair of gray images from memory to memory, without reading and writing files. To compare the
    quality of methods, use `refinefuse benchmark`.

    Args:
        weights: Shipped names or files (also ONNX), separated by commas; by default all that ship.
        backends: Backends (torch, onnxruntime, openvino), separated by commas; by default all that are installed.
        precisions: Precisions for torch (auto, float32, bfloat16, float16), separated by commas.
        sizes: Sizes in pixels as HEIGHTxWIDTH, separated by commas.
        device: Device for torch: auto, cpu, cuda, cuda:N or mps.
        threads: Number of CPU threads; 0 means all that this process may use.
        repeats: Number of repeats, of which the median is reported.
        reference: Also report times relative to a fixed reference network (ten 3x3 convolutions of 32 channels,
            float32), which can be compared between machines, and the fraction of the fastest convolution on this
            machine.
        json: Also write all figures to this file.
        overwrite: Replace an existing file.
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
        _listed(backends) or installed_backends(),  # type: ignore[arg-type]  # Fuser rejects unknown names
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
