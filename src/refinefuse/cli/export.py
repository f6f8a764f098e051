"""`refinefuse export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def run(
    weights: str,
    *,
    output: Path,
    precision: Literal["float32", "int8"] = "float32",
    calibration_data: str | None = None,
    opset: int = 18,
    overwrite: bool = False,
) -> int:
    """Write a network as an ONNX file, for images of any size, and check it against torch.

    Inputs `a` and `b`: luma in [0, 1], float32, (1, 1, height, width). Outputs `fused` and `weight_map`, of the same
    size. `refinefuse fuse --weights FILE.onnx` uses the file, and so can any other runtime.

    Args:
        weights: a shipped name, a .safetensors file, a folder, or a repository of the Hugging Face Hub.
        output: the ONNX file.
        precision: of the convolutions; int8 is faster with --backend openvino and needs --calibration-data.
        calibration_data: a folder of typical pairs, with folders `ir` and `vi` (or `a` and `b`) in it, or two folders
            separated by a comma: A,B.
        opset: version of the ONNX operators, 14 to 20.
        overwrite: replace an existing file.
    """
    from refinefuse.errors import InputError
    from refinefuse.inference.onnx_export import export_onnx
    from refinefuse.inference.parity import SIZES_TEXT

    folders = calibration_data.split(",") if calibration_data else []
    if len(folders) > 2:
        raise InputError(f"--calibration-data takes a folder, or two: A,B.\n  got: {calibration_data}")
    report = export_onnx(
        weights,
        output,
        precision=precision,
        calibration_data=(folders[0], folders[1]) if len(folders) == 2 else calibration_data,
        opset=opset,
        overwrite=overwrite,
    )
    if report.quantization:
        print(f"Difference from torch: {report.quantization.to_markdown()}")
    else:
        print(f"Difference from torch: at most {report.max_difference:.1e} levels, over random images of {SIZES_TEXT}.")
    print(f"'{output}': {report.num_bytes / 1e6:.1f} MB, opset {opset}.")
    return 0
