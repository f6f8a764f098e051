"""Measure fusion on one NVIDIA GPU, in two minutes: rates, fractions of the peaks, large images, and what costs time.

Usage: PYTHONPATH=src python benchmarks/gpu.py [--seconds 110] [--json gpu.json]. Prints Markdown. It needs torch,
numpy, opencv-python-headless, tifffile, safetensors, tqdm, typing-extensions and jaxtyping, and no network.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.cuda import CudaModel
from refinefuse.inference.folders import fuse_files
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.network.model import RefineFuse
from refinefuse.weights.store import DEFAULT, shipped

SIZES = {"480x640": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840)}
PRECISIONS = ("float32", "bfloat16", "float16")
SIDE = 10_000  # of the large image
Row = dict[str, Any]


class Bytes(TorchDispatchMode):
    """Counts what kernels read and write: the tensors of every call that is no view."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.total += sum(x.nbytes for x in _tensors([args, result]))
        return result


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [x for value in values for x in _tensors(value)] if isinstance(values, tuple | list) else []


def seconds_of(work: Callable[[], object], budget: float = 0.25) -> float:
    """The median time of some work, of five rounds within a budget, after three calls that warm up."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    calls = max(1, int(budget / 5 / (time.perf_counter() - start)))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def peaks() -> Row:
    """Bytes a second of a copy, and FLOP a second of large matrix products."""
    x = torch.empty(1 << 28, device="cuda")
    y = torch.empty_like(x)
    found: Row = {"GB/s": 2 * x.nbytes / seconds_of(lambda: y.copy_(x)) / 1e9}
    for name in PRECISIONS:
        m = torch.rand(8192, 8192, device="cuda", dtype=getattr(torch, name))
        found[f"TFLOP/s {name}"] = 2 * 8192**3 / seconds_of(lambda m=m: m @ m) / 1e12
    return found


def pair_of(size: tuple[int, int], count: int = 1) -> tuple[Tensor, Tensor]:
    """Random lumas on the GPU."""
    a, b = torch.rand(2, count, 1, *size, generator=torch.Generator().manual_seed(0)).cuda()
    return a, b


@torch.inference_mode()
def costs(fuser: Fuser, size: tuple[int, int]) -> tuple[float, float]:
    """FLOP and bytes of a pair, as torch runs it layer by layer."""
    a, b = pair_of(size)
    with fuser._computing(a), FlopCounterMode(display=False) as flop, Bytes() as moved:
        fuser.model.predict(a, b, fuser.model.encode_context(a, b))
    return float(flop.get_total_flops()), float(moved.total)


def network_rows(peak: Row, names: list[str]) -> list[Row]:
    """Lumas on the GPU in and out."""
    rows = []
    for name in names:
        for precision in PRECISIONS:
            fuser = Fuser(name, device="cuda", precision=precision)  # type: ignore[arg-type]
            for size_name, size in SIZES.items():
                flop, moved = costs(fuser, size)
                for batch in (1, 8, 32) if size_name == "480x640" else (1,):
                    pair = pair_of(size, batch)
                    taken = seconds_of(lambda f=fuser, p=pair: f.fuse_lumas(p)) / batch
                    rows.append(
                        {
                            "weights": name, "precision": precision, "size": size_name, "batch": batch,
                            "ms": 1e3 * taken, "images/s": 1 / taken,
                            "of bandwidth": moved / taken / 1e9 / peak["GB/s"],
                            "of tensor peak": flop / taken / 1e12 / peak[f"TFLOP/s {precision}"],
                        }
                    )  # fmt: skip
    return rows


def end_to_end_rows() -> list[Row]:
    """8-bit arrays in memory in and out, color and rounding with them, one pair after the other."""
    rows, noise = [], np.random.default_rng(0)
    fuser = Fuser(device="cuda")
    for name, size in SIZES.items():
        a, b = noise.integers(0, 256, size, np.uint8), noise.integers(0, 256, (*size, 3), np.uint8)
        taken = seconds_of(lambda a=a, b=b: fuser(a, b))
        rows.append({"what": f"arrays, {name}, {fuser.dtype}", "ms": 1e3 * taken, "images/s": 1 / taken})
    return rows


def large_rows() -> list[Row]:
    """100 megapixels by tiles: lumas in memory, and TIFF files strip by strip."""
    rows = []
    a, b = torch.rand(2, 1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for where in ("cuda", "cpu"):
        fuser = Fuser(device="cuda")
        x, y = a.to(where), b.to(where)
        fuser.fuse_lumas([x[..., :4096, :4096], y[..., :4096, :4096]])
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        fuser.fuse_lumas([x, y])
        torch.cuda.synchronize()
        taken = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated() / 1e9
        rows.append({"what": f"100 megapixels, lumas on {where}, tile auto", "s": taken, "GB of the GPU": peak})
        del x, y
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("a.tif", "b.tif")]
        for path, x in zip(paths, (a, b), strict=True):
            tifffile.imwrite(path, (255 * x[0, 0]).byte().numpy(), rowsperstrip=64)
        start = time.perf_counter()
        outputs = OutputPaths(Path(folder) / "fused.tif")
        fuse_files(lambda: fuser, paths, outputs, ThermalOptions(), AlignmentOptions())
        rows.append({"what": "100 megapixels, TIFF files", "s": time.perf_counter() - start})
    return rows


def dense(network: RefineFuse) -> RefineFuse:
    """The same network without groups in its convolutions: twice the arithmetic, half of it by zeros."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and layer.groups == 2:
                inputs, outputs = layer.in_channels, layer.out_channels
                new = nn.Conv2d(inputs, outputs, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]
                weight = torch.zeros_like(new.weight)
                weight[: outputs // 2, : inputs // 2], weight[outputs // 2 :, inputs // 2 :] = layer.weight.chunk(2)
                new.weight, new.bias = nn.Parameter(weight), layer.bias
                setattr(parent, name, new.to(layer.weight, memory_format=torch.channels_last))  # type: ignore[call-overload]
    return network


@torch.inference_mode()
def variant_rows(deadline: float) -> list[Row]:
    """What other ways of computing would bring, in bfloat16 with the default weights."""
    network = Fuser(device="cuda").model
    rows = []
    for name, size in SIZES.items():
        a, b = pair_of(size)

        def timed(what: str, model: CudaModel, *, name: str = name, a: Tensor = a, b: Tensor = b) -> None:
            taken = seconds_of(lambda: model.predict(a, b, model.encode_context(a, b)))
            rows.append({"what": what, "size": name, "ms": 1e3 * taken})

        plain = CudaModel(network, torch.bfloat16)
        timed("as it is", plain)
        plain.recorder.run = lambda _, work, inputs: work(*inputs)  # type: ignore[method-assign]
        timed("without graphs", plain)
        timed("without groups", CudaModel(dense(network), torch.bfloat16))
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True
        timed("cudnn.benchmark", CudaModel(network, torch.bfloat16))
        timed("cudnn.benchmark, without groups", CudaModel(dense(network), torch.bfloat16))
        torch.backends.cudnn.benchmark = before
    for name in ("480x640", "1080p"):
        if time.perf_counter() > deadline:
            break
        compiled = CudaModel(network, torch.bfloat16)
        start = time.perf_counter()
        compiled.network.predict_padded = torch.compile(compiled.network.predict_padded, dynamic=False)
        a, b = pair_of(SIZES[name])
        compiled.predict(a, b, compiled.encode_context(a, b))
        torch.cuda.synchronize()
        compiling = time.perf_counter() - start
        taken = seconds_of(lambda m=compiled, a=a, b=b: m.predict(a, b, m.encode_context(a, b)))
        rows.append({"what": "torch.compile in the graph", "size": name, "ms": 1e3 * taken, "s to compile": compiling})
    return rows


def kernel_rows() -> list[Row]:
    """The kernels that take the most time, in bfloat16 at 1080p."""
    fuser, pair = Fuser(device="cuda"), pair_of(SIZES["1080p"])
    plain = CudaModel(fuser.model, torch.bfloat16)
    plain.recorder.run = lambda _, work, inputs: work(*inputs)  # type: ignore[method-assign]
    for _ in range(3):
        plain.predict(*pair, plain.encode_context(*pair))
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(10):
            plain.predict(*pair, plain.encode_context(*pair))
        torch.cuda.synchronize()
    averages = sorted(profile.key_averages(), key=lambda one: -one.self_device_time_total)
    total = sum(one.self_device_time_total for one in averages)
    return [
        {"kernel": one.key[:90], "ms": one.self_device_time_total / 1e4, "share": one.self_device_time_total / total}
        for one in averages[:20]
    ]


def table(rows: list[Row]) -> str:
    """Rows as Markdown."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *cells])


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def main() -> None:
    """Measure what the time suffices for; what fails is reported, and the rest continues."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=110)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    deadline = time.perf_counter() + options.seconds
    found: Row = {"GPU": torch.cuda.get_device_name(), "torch": torch.__version__}
    print(f"{found['GPU']}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    peak = found["peaks"] = peaks()
    print("peaks:", ", ".join(f"{name} {value:.0f}" for name, value in peak.items()), flush=True)
    names = sorted(shipped(), key=lambda name: (name != DEFAULT, name))
    sections: dict[str, Callable[[], list[Row]]] = {
        "from arrays to arrays": end_to_end_rows,
        "large images": large_rows,
        "kernels": kernel_rows,
        **{f"network, {name}": lambda name=name: network_rows(peak, [name]) for name in names},  # type: ignore[misc]
        "variants": lambda: variant_rows(deadline - 15),
    }
    for title, measure in sections.items():
        if time.perf_counter() > deadline:
            break
        start = time.perf_counter()
        try:
            found[title] = measure()
            print(f"\n## {title}\n\n{table(found[title])}", flush=True)
        except Exception:  # the other sections are still wanted
            print(f"\n## {title}\n\n{traceback.format_exc()}", flush=True)
        print(f"\n({time.perf_counter() - start:.1f} s)", flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
