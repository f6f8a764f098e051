"""Runtimes for exported files: each runs with its default settings and is compared with the package."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import torch
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.export import RESULTS, SOURCES, GraphForm
from refinefuse.image.color import YCbCrImage, restore_color, to_tensor, to_ycbcr
from refinefuse.inference.onnx_session import onnx_session
from refinefuse.network.fusion_model import FusionModel
from refinefuse.samples import read_sample

ExportPrecision: TypeAlias = Literal["float32", "float16", "bfloat16", "int8"]
FuseLike: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps the sources, in the format of the file, to `fused`."""

SIZES = ((480, 640), (301, 496), (255, 257), (33, 17), (7, 513), (1, 1))
"""Sizes checked if the file accepts any: a common one, three not divisible by a stride, a thin one and the smallest."""
LARGEST = 1.0
"""Maximum difference per pixel in levels, if file and runtime both compute in float32."""
MEAN = {"float32": 1.5, "float16": 1.5, "bfloat16": 1.5, "int8": 4.0}
"""Maximum mean difference in levels, by precision of the file."""


@dataclass(frozen=True)
class RuntimeCheck:
    """The check of an exported file in one runtime, at its default settings.

    Attributes:
        runtime: name of the runtime.
        version: version of the runtime.
        computes_in: the precision that it chose.
        largest: largest difference from the package over all images, in 8-bit levels; NaN if it cannot run the file.
        mean: mean difference over the image that differs most, in levels.
        problem: why the check failed; None if it passed.
    """

    runtime: str
    version: str
    computes_in: str
    largest: float
    mean: float
    problem: str | None

    @property
    def differs(self) -> bool:
        """Whether its output differs too much."""
        return self.problem is not None and not math.isnan(self.largest)

    def to_markdown(self) -> str:
        """Format as one row of `checks_table`."""
        numbers = ["–", "–"] if math.isnan(self.largest) else [f"{self.largest:.4f}", f"{self.mean:.4f}"]
        name = f"{self.runtime} {self.version}"
        return f"| {' | '.join([name, self.computes_in, *numbers, self.problem or 'checked'])} |"


def checks_table(checks: tuple[RuntimeCheck, ...]) -> str:
    """Format the checks as a Markdown table."""
    header = "| runtime | computes in | largest | mean | |\n|---|---|---|---|---|"
    return "\n".join([header, *(check.to_markdown() for check in checks)])


def _onnxruntime(content: bytes, form: GraphForm) -> tuple[FuseLike, str]:
    session = onnx_session(content, torch.get_num_threads(), "Checking an ONNX file")

    def run(a: Tensor, b: Tensor) -> Tensor:
        return torch.from_numpy(session.run(RESULTS[:1], {"a": a.numpy(), "b": b.numpy()})[0])

    return run, "float32"


def _openvino(content: bytes, form: GraphForm) -> tuple[FuseLike, str]:
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU")
    chosen = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()

    def run(a: Tensor, b: Tensor) -> Tensor:
        return torch.from_numpy(compiled({"a": a.numpy(), "b": b.numpy()})[RESULTS[0]].copy())

    return run, {"bf16": "bfloat16", "f16": "float16"}.get(chosen, "float32")


def _opencv(content: bytes, form: GraphForm) -> tuple[FuseLike, str]:
    if form.size is None:
        raise InputError("needs a fixed size: export the file with one")
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            path.write_bytes(content)
            net = cv2.dnn.readNetFromONNX(str(path))
    finally:
        cv2.utils.logging.setLogLevel(before)

    def run(a: Tensor, b: Tensor) -> Tensor:
        for name, x in zip(SOURCES, (a, b), strict=True):
            net.setInput(x.numpy(), name)
        return torch.from_numpy(net.forward(RESULTS[0]))

    return run, "float32"


RUNTIMES: dict[str, tuple[str, Callable[[bytes, GraphForm], tuple[FuseLike, str]]]] = {
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "OpenVINO": ("openvino", _openvino),
    "OpenCV DNN": ("cv2", _opencv),
}
"""By name: the module, and a function that loads a file with the runtime's defaults."""


def check_file(content: bytes, form: GraphForm, precision: ExportPrecision, network: FusionModel) -> list[RuntimeCheck]:
    """Run an exported file in every installed runtime, and compare the output with that of the package.

    Args:
        content: the ONNX file.
        form: its input format.
        precision: its precision.
        network: the exported network, in torch.

    Raises:
        InputError: if no runtime confirms the file.
    """
    pairs = list(example_pairs(form, noise=precision != "int8"))  # int8 scales are calibrated on images
    expected = [package_fused(network, *pair) for pair in pairs]
    checks = []
    for name, (module, load) in RUNTIMES.items():
        if importlib.util.find_spec(module) is not None:
            checks.append(_check(name, lambda load=load: load(content, form), precision, pairs, expected))  # type: ignore[misc]
    if all(check.problem for check in checks):
        raise InputError(
            "No installed runtime reproduces the output of the network, so nothing was written.\n"
            + "\n".join(f"  {check.runtime} {check.version}: {check.problem}" for check in checks)
            + "\nInstall another runtime (onnxruntime; openvino for bfloat16), or choose another precision or opset."
        )
    return checks


def _check(
    name: str,
    load: Callable[[], tuple[FuseLike, str]],
    precision: ExportPrecision,
    pairs: list[tuple[Tensor, Tensor]],
    expected: list[Tensor],
) -> RuntimeCheck:
    is_opencv = RUNTIMES[name][0] == "cv2"
    release = cv2.__version__ if is_opencv else version(RUNTIMES[name][0])
    try:
        run, chosen = load()
        differences = [255 * (run(*pair) - image).abs() for pair, image in zip(pairs, expected, strict=True)]
    except Exception as error:  # runtimes have no common error class
        reason = " ".join(str(error).split())
        return RuntimeCheck(name, release, "–", math.nan, math.nan, f"cannot run it: {reason[:200]}")
    computes_in = chosen if precision == "float32" else precision
    largest = max(float(x.max()) for x in differences)
    mean = max(float(x.mean()) for x in differences)
    is_near = mean <= MEAN[precision] and (computes_in != "float32" or largest <= LARGEST)
    limit = f"at most {LARGEST:g}" if computes_in == "float32" else f"{MEAN[precision]:g} on average"
    return RuntimeCheck(name, release, computes_in, largest, mean, None if is_near else f"differs: {limit} allowed")


@torch.inference_mode()
def package_fused(network: FusionModel, a: Tensor, b: Tensor) -> Tensor:
    """Fuse with the package, with the inputs of an exported file: luma, or RGB if `b` is RGB."""
    colored = to_ycbcr(b)
    fused = network.predict(a, colored.luma, network.encode_context(a, colored.luma)).fused
    return restore_color(fused, YCbCrImage(a), colored)


@lru_cache(maxsize=1)
def _scene() -> tuple[Tensor, Tensor]:
    infrared, visible = read_sample("night_street")
    return to_tensor(infrared), to_tensor(visible)


def example_pairs(form: GraphForm, *, noise: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a scene and noise in every checked size; also as a batch of two if any batch size is accepted."""
    scene = _scene()
    generator = torch.Generator().manual_seed(0)
    for size in SIZES if form.size is None else [form.size]:
        fit = GraphForm(color=form.color, size=size, batch_size=form.batch_size or 1).fit
        random = torch.rand(1, 4, *size, generator=generator)
        pairs = [fit(*scene), fit(random[:, :1], random[:, 1:])][: 1 + noise]
        yield from pairs
    if form.batch_size is None:
        yield torch.cat([pairs[0][0], pairs[-1][0]]), torch.cat([pairs[0][1], pairs[-1][1]])
