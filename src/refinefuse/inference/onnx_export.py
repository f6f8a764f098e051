"""Export weights to an ONNX file, tested in every installed runtime before it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

from refinefuse.atomic import write_atomic
from refinefuse.errors import InputError
from refinefuse.export import GraphForm, cpu_copy, quantized, to_onnx
from refinefuse.image.files import check_target
from refinefuse.inference.parity import QuantizationReport, calibration_pairs, quantization_report
from refinefuse.inference.runtimes import RUNTIMES, ExportPrecision, RuntimeCheck, check_file, package_fused
from refinefuse.network.model import RefineFuse
from refinefuse.paths import as_path

CALIBRATION_FOLDERS = (("ir", "vi"), ("a", "b"))


@dataclass(frozen=True)
class ExportReport:
    """What `export_onnx` wrote.

    Attributes:
        path: the ONNX file.
        num_bytes: its size.
        opset: version of the ONNX operators.
        precision: precision of weights and features.
        checks: comparison with every installed runtime; at least one of them confirmed the file.
        quantization: for int8, the loss of quality on real pairs; otherwise None.
    """

    path: Path
    num_bytes: int
    opset: int
    precision: ExportPrecision
    checks: tuple[RuntimeCheck, ...]
    quantization: QuantizationReport | None


def export_onnx(
    weights: str | os.PathLike[str] | RefineFuse,
    output: str | os.PathLike[str],
    *,
    precision: ExportPrecision = "float32",
    color: bool = False,
    size: tuple[int, int] | None = None,
    batch_size: int | None = None,
    contrast: float | None = None,
    calibration_data: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    opset: int | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export a network as an ONNX file, and compare its results in every installed runtime with this package.

    Inputs: `a`, luma in [0, 1], float32, (batch, 1, height, width), and `b`, of the same size, luma, or RGB with
    `color`. Outputs: `fused`, with the channels of `b`, and `weight_map`. Needs the extra `onnx`.

    Args:
        weights: what `load_model` takes, or a network, which is left unchanged.
        output: the ONNX file.
        precision: precision of weights and features; the grid statistics and the head always use float32. `int8` needs
            `calibration_data`.
        color: whether `b` and `fused` are RGB. Luma and hue are preserved as in `fuse`.
        size: fixed height and width, for runtimes that need them; None allows any size.
        batch_size: fixed batch size; None allows any, or means 1 if the size is fixed.
        contrast: from 0 to 1, as in `load_model`; None uses that of the weights.
        calibration_data: for `int8`, two folders of typical pairs with the same names, or one folder that contains both
            as `ir` and `vi`, or `a` and `b`.
        opset: version of the ONNX operators, 14 to 20; None means 18, or 22 for bfloat16.
        overwrite: replace an existing file.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        ConfigError: if the contrast is not a number from 0 to 1.
        InputError: if an option cannot be used, the file exists, or no runtime confirms it: nothing is written then.
        MissingDependencyError: if onnx, onnxruntime or, for a fixed size, onnxslim is not installed.
    """
    output = Path(output)
    check_target(output, overwrite=overwrite, suffixes=(".onnx",))
    if precision not in get_args(ExportPrecision):
        raise InputError(f"`precision` must be one of {', '.join(get_args(ExportPrecision))}.\n  got: {precision!r}")
    if (precision == "int8") != (calibration_data is not None):
        raise InputError(
            "`precision=int8` and `calibration_data` go together: real pairs set the scale of the integers.\n"
            f"  precision: {precision}\n  calibration data: {calibration_data}"
        )
    form = GraphForm(color, size, batch_size, "float32" if precision == "int8" else precision)
    pairs = [] if calibration_data is None else calibration_pairs(*_two_folders(calibration_data))
    network = cpu_copy(weights if isinstance(weights, RefineFuse) else RefineFuse.from_pretrained(weights))
    if contrast is not None:
        network.config = replace(network.config, contrast=contrast)
    model = to_onnx(network, opset, form)
    pairs = [form.fit(*pair) for pair in pairs]
    model = quantized(model, iter(pairs[::2])) if pairs else model
    content = model.SerializeToString()
    checks = check_file(content, form, precision, network)
    report = None
    if pairs:
        integers, _ = RUNTIMES["onnxruntime"][1](content, form)
        report = quantization_report(partial(package_fused, network), integers, pairs[1::2])
    write_atomic(output, content)
    return ExportReport(output, len(content), model.opset_import[0].version, precision, tuple(checks), report)


def _two_folders(
    data: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]],
) -> tuple[Path, Path]:
    if isinstance(data, tuple):
        return as_path(data[0]), as_path(data[1])
    for names in CALIBRATION_FOLDERS:
        a, b = (as_path(data) / name for name in names)
        if a.is_dir() and b.is_dir():
            return a, b
    raise InputError(
        f"'{data}' must contain two folders of pairs, `ir` and `vi` or `a` and `b`.\n"
        "Pass both folders if they have other names."
    )
