"""`export_onnx`: weights to an ONNX file that is checked against torch before it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from refinefuse.atomic import write_atomic
from refinefuse.errors import InputError
from refinefuse.export import OPSET, cpu_copy, quantized, to_onnx
from refinefuse.image.files import check_target
from refinefuse.inference.backend import OnnxRuntimeModel
from refinefuse.inference.parity import (
    QuantizationReport,
    calibration_pairs,
    check_equivalence,
    max_abs_difference,
    quantization_report,
)
from refinefuse.network.model import RefineFuse

ExportPrecision: TypeAlias = Literal["float32", "int8"]
CALIBRATION_FOLDERS = (("ir", "vi"), ("a", "b"))


@dataclass(frozen=True)
class ExportReport:
    """What `export_onnx` wrote.

    Attributes:
        path: the ONNX file.
        num_bytes: its size.
        opset: version of the ONNX operators.
        precision: of the convolutions of the trunk.
        max_difference: largest difference from torch over random images, in 8-bit levels.
        quantization: how much real pairs lose by int8, else None.
    """

    path: Path
    num_bytes: int
    opset: int
    precision: ExportPrecision
    max_difference: float
    quantization: QuantizationReport | None


def export_onnx(
    weights: str | os.PathLike[str] | RefineFuse,
    output: str | os.PathLike[str],
    *,
    precision: ExportPrecision = "float32",
    calibration_data: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    opset: int = OPSET,
    overwrite: bool = False,
) -> ExportReport:
    """Write a network as an ONNX file for images of any size, and check it against torch.

    Inputs `a` and `b`: luma in [0, 1], float32, (1, 1, height, width). Outputs `fused` and `weight_map`, of the same
    size. Needs the extra `onnx`.

    Args:
        weights: a network, which is left as it is, or what `load_model` takes.
        output: the ONNX file.
        precision: of the convolutions of the trunk; `int8` needs `calibration_data`.
        calibration_data: for `int8`, two folders of typical pairs with the same names, or one folder that holds the
            two as `ir` and `vi`, or `a` and `b`.
        opset: version of the ONNX operators, 14 to 20.
        overwrite: replace an existing file.

    Raises:
        WeightsError: if the weights are unknown, unsafe or damaged.
        InputError: if an option cannot be used, the file exists, or the network in float32 differs from torch.
        MissingDependencyError: if onnx or onnxruntime is not installed.
    """
    output = Path(output)
    check_target(output, overwrite=overwrite, suffixes=(".onnx",))
    if precision not in get_args(ExportPrecision):
        raise InputError(f"`precision` must be {' or '.join(get_args(ExportPrecision))}.\n  got: {precision!r}")
    if (precision == "int8") != (calibration_data is not None):
        raise InputError(
            "The precision int8 and calibration data belong together: the integers are scaled by real pairs.\n"
            f"  precision: {precision}\n  calibration data: {calibration_data}"
        )
    pairs = [] if calibration_data is None else calibration_pairs(*_two_folders(calibration_data))
    reference = cpu_copy(weights if isinstance(weights, RefineFuse) else RefineFuse.from_pretrained(weights))
    model = to_onnx(reference, opset)
    report = None
    if pairs:
        model = quantized(model, iter(pairs[::2]))
        runtime = OnnxRuntimeModel(model, threads=1)
        report = quantization_report(reference, runtime, pairs[1::2])
        difference = max_abs_difference(reference, runtime)
    else:
        difference = check_equivalence(reference, OnnxRuntimeModel(model, threads=1))
    content = model.SerializeToString()
    write_atomic(output, content)
    return ExportReport(output, len(content), opset, precision, difference, report)


def _two_folders(
    data: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]],
) -> tuple[Path, Path]:
    if isinstance(data, tuple):
        return Path(data[0]), Path(data[1])
    for names in CALIBRATION_FOLDERS:
        a, b = (Path(data) / name for name in names)
        if a.is_dir() and b.is_dir():
            return a, b
    raise InputError(
        f"'{data}' must hold two folders of pairs, `ir` and `vi`, or `a` and `b`.\n"
        "Pass both folders if they have other names."
    )
