"""Exported networks in every runtime, at every size: `python tests/clients/exports.py [WEIGHTS ...]` prints the tables.

Levels are those of 8 bits, the largest and the mean difference from the package over a scene and noise, of int8 over
the scene alone. OpenCV takes files of one size; int8 is calibrated with the pairs of `--calibration-data IR VI`, or
with the samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from document import write
from torch import Tensor

from refinefuse import RefineFuse, list_models
from refinefuse.export import GraphForm, quantized, to_onnx
from refinefuse.image.color import to_tensor, to_ycbcr
from refinefuse.inference.parity import CALIBRATION, calibration_pairs
from refinefuse.inference.runtimes import RUNTIMES, SIZES, FuseLike, example_pairs, package_fused
from refinefuse.samples import SAMPLES, read_sample

PRECISIONS = ("float32", "float16", "bfloat16", "int8")
Pairs = list[tuple[Tensor, Tensor]]


def _openvino_float32(content: bytes, _: GraphForm) -> FuseLike:
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda a, b: torch.from_numpy(compiled({"a": a.numpy(), "b": b.numpy()})["fused"].copy())


def _at_defaults(name: str) -> Callable[[bytes, GraphForm], FuseLike]:
    return lambda content, form: RUNTIMES[name][1](content, form)[0]


LOADERS: dict[str, Callable[[bytes, GraphForm], FuseLike]] = {
    "onnxruntime": _at_defaults("onnxruntime"),
    "OpenVINO, defaults": _at_defaults("OpenVINO"),
    "OpenVINO, float32": _openvino_float32,
    "OpenCV DNN": _at_defaults("OpenCV DNN"),
}


def sample_pairs() -> Pairs:
    """The pairs that ship with the package."""
    pairs = (tuple(to_ycbcr(to_tensor(image)).luma for image in read_sample(name)) for name in SAMPLES)
    return [(a, b) for a, b in pairs]


def cells(
    network: RefineFuse, precision: str, calibration: Pairs, expected: Callable[[GraphForm, bool], list[Tensor]]
) -> Iterator[tuple[str, str]]:
    """Runtime and "largest / mean" of one network in one precision, size by size."""

    @cache
    def content(form: GraphForm) -> bytes:
        model = to_onnx(network, form=form)
        if precision == "int8":
            model = quantized(model, (form.fit(*pair) for pair in calibration))
        return bytes(model.SerializeToString())

    is_int8 = precision == "int8"
    plain = "float32" if is_int8 else precision
    for runtime, load in LOADERS.items():
        loaded = cache(lambda file, load=load: load(content(file), file))
        for size in SIZES:
            file = GraphForm(size=size if runtime == "OpenCV DNN" else None, precision=plain)
            try:
                images = [loaded(file)(*pair) for pair in example_pairs(GraphForm(size=size), noise=not is_int8)]
            except Exception:  # what a runtime raises has no class in common
                yield runtime, "does not run it"
                continue
            wanted = expected(GraphForm(size=size), not is_int8)
            found = [255 * (one - other).abs() for one, other in zip(images, wanted, strict=True)]
            yield runtime, f"{max(float(x.max()) for x in found):.2g} / {max(float(x.mean()) for x in found):.2g}"


def table(weights: str, calibration: Pairs) -> str:
    """A table in Markdown of one network."""
    network = RefineFuse.from_pretrained(weights).eval()
    expected = cache(lambda form, noise: [package_fused(network, *x) for x in example_pairs(form, noise=noise)])
    lines = [
        f"| {weights} | runtime | {' | '.join(f'{h}x{w}' for h, w in SIZES)} |",
        "|---|---|" + "---|" * len(SIZES),
    ]
    for precision in PRECISIONS:
        rows: dict[str, list[str]] = {}
        for runtime, text in cells(network, precision, calibration, expected):
            rows.setdefault(runtime, []).append(text)
        lines += [f"| {precision} | {runtime} | {' | '.join(row)} |" for runtime, row in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="*", default=list_models())
    parser.add_argument("--calibration-data", nargs=2, type=Path)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/compatibility.md")
    given = parser.parse_args()
    pairs = calibration_pairs(*given.calibration_data)[::2][:CALIBRATION] if given.calibration_data else sample_pairs()
    tables = []
    for one in given.weights:
        tables.append(table(one, pairs))
        print(tables[-1], end="\n\n", flush=True)
    if given.write:
        write("exports", "\n\n".join(tables))
