"""`refinefuse export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def run(
    weights: str,
    *,
    output: Path,
    precision: Literal["float32", "float16", "bfloat16", "int8"] = "float32",
    color: bool = False,
    size: str | None = None,
    batch_size: int | None = None,
    contrast: float | None = None,
    calibration_data: str | None = None,
    opset: int | None = None,
    overwrite: bool = False,
) -> int:
    """Export a network as an ONNX file, and check it in every installed runtime.

    Inputs: `a`, luma in [0, 1], float32, (batch, 1, height, width), and `b`, of the same size, luma, or RGB with
    --color. Outputs: `fused`, with the channels of `b`, and `weight_map`. onnxruntime, OpenVINO and OpenCV run the
    network, each at its default settings, and the results are compared with this package. The file is written if at
    least one runtime confirms it; the exit code is 1 if another one computes a different image.

    `refinefuse fuse --weights FILE.onnx` can use a file without --color, --size and --batch-size.

    Args:
        weights: Shipped name, .safetensors file, folder, or hf://owner/name on the Hugging Face Hub.
        output: ONNX file to write.
        precision: Precision of weights and features; the head stays in float32. int8 needs --calibration-data.
        color: Take `b` as RGB and return RGB.
        size: Fixed size in pixels as HEIGHTxWIDTH, for runtimes that need one, such as OpenCV; without it, any size.
        batch_size: Fixed batch size; without it, any, or 1 with --size.
        contrast: From 0 (fewest artifacts) to 1 (most contrast); without it, that of the weights.
        calibration_data: Folder of typical pairs, with subfolders `ir` and `vi` (or `a` and `b`), or two folders
            separated by a comma: A,B.
        opset: Version of the ONNX operators, 14 to 20; without it 18, and 22 for bfloat16.
        overwrite: Replace an existing file.
    """
    from refinefuse.cli.parsing import parse_size
    from refinefuse.errors import InputError
    from refinefuse.inference.onnx_export import export_onnx
    from refinefuse.inference.runtimes import checks_table

    folders = calibration_data.split(",") if calibration_data else []
    if len(folders) > 2:
        raise InputError(f"--calibration-data takes a folder, or two: A,B.\n  got: {calibration_data}")
    report = export_onnx(
        weights,
        output,
        precision=precision,
        color=color,
        size=None if size is None else parse_size("--size", size),
        batch_size=batch_size,
        contrast=contrast,
        calibration_data=(folders[0], folders[1]) if len(folders) == 2 else calibration_data,
        opset=opset,
        overwrite=overwrite,
    )
    print(f"Difference from this package in 8-bit levels:\n\n{checks_table(report.checks)}\n")
    if report.quantization:
        print(f"Real pairs, by onnxruntime: {report.quantization.to_markdown()}\n")
    print(f"'{output}': {report.num_bytes / 1e6:.1f} MB, {precision}, opset {report.opset}.")
    return int(any(check.differs for check in report.checks))
