"""`refinefuse export`."""

from __future__ import annotations

from pathlib import Path


def run(
    weights: str,
    *,
    output: Path,
    int8: bool = False,
    calibration_data: Path | None = None,
    opset: int = 18,
    overwrite: bool = False,
) -> int:
    """Write a network as an ONNX file, for images of any size, and check it against torch.

    Inputs `a` and `b`: luma in [0, 1], float32, (1, 1, height, width). Outputs `fused` and `weight_map`, of the same size.
    `refinefuse fuse --weights FILE.onnx` uses the file, and any other runtime can.

    Args:
        weights: a shipped name, a .safetensors file, a folder, or a repository of the Hugging Face Hub.
        output: the ONNX file.
        int8: convolutions in 8-bit integers, faster with --backend openvino; needs --calibration_data-data.
        calibration_data: a folder of typical pairs, in two folders `ir` and `vi` (or `a` and `b`) with the same names.
        opset: version of the ONNX operators.
        overwrite: replace a file that is there.
    """
    from refinefuse.errors import InputError
    from refinefuse.export import quantized, to_onnx
    from refinefuse.image.files import check_target, write_atomic
    from refinefuse.inference.backend import OnnxRuntimeModel
    from refinefuse.inference.parity import SIZES_SAID, calibration_pairs, check_equivalence, losses
    from refinefuse.network.model import RefineFuse

    check_target(output, overwrite=overwrite, endings=(".onnx",))
    if int8 != (calibration_data is not None):
        raise InputError(
            "--int8 and --calibration_data-data FOLDER belong together: integers are scaled by real pairs."
        )
    pairs = calibration_pairs(calibration_data) if calibration_data else []
    network = RefineFuse.from_pretrained(weights)
    model = to_onnx(network, opset)
    if pairs:
        model = quantized(model, iter(pairs[::2]))
        lost = losses(network, OnnxRuntimeModel(model, threads=1), pairs[1::2])
        print(f"Against torch, {len(pairs[1::2])} pairs that did not scale it: {lost.said()}")
    else:
        apart = check_equivalence(network, OnnxRuntimeModel(model, threads=1))
        print(f"Against torch: at most {apart:.1e} levels apart, over random images of {SIZES_SAID}.")
    write_atomic(output, model.SerializeToString())
    print(f"'{output}': {output.stat().st_size / 1e6:.1f} MB, opset {opset}.")
    return 0
